"""Writes a trained state as a GGUF file in Q8_0, and what the framework makes
of the same rounded weights, for the Go engine to be held against.

    export.py --work DIR --out FILE.gguf [--vectors FILE.json.gz]
"""

import argparse
import gzip
import json
import pathlib
import struct

import numpy as np
import torch

import corpus
import vocab
from model import Config, Mixtral

ALIGN = 32
F32, Q8_0 = 0, 8  # ggml's tensor types
U32, FLOAT, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5  # GGUF's value types
TEMPLATE = ("{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
            "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}")
SEQUENCES, POSITIONS, TOP = 120, 3, 12  # of the vectors


def quantize(x):
    """Q8_0: blocks of 32 numbers, each a half-precision scale and 32 signed bytes. Gives (bytes, what they mean)."""
    blocks = x.reshape(-1, 32).astype(np.float32)
    scale = (np.abs(blocks).max(1) / 127).astype(np.float32)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    q = np.rint(blocks * inverse[:, None]).astype(np.int8)
    half = scale.astype(np.float16)
    raw = np.concatenate([half.view(np.uint8).reshape(-1, 2), q.view(np.uint8)], 1)
    back = q.astype(np.float32) * half.astype(np.float32)[:, None]
    return raw.tobytes(), back.reshape(x.shape)


def tensors(model):
    """(GGUF name, the module's parameters, stacked where the file stacks them, type) in file order."""
    yield "token_embd.weight", [model.embed.weight], Q8_0
    for i, b in enumerate(model.blocks):
        name = f"blk.{i}.{{}}.weight".format
        yield name("attn_norm"), [b.attn_norm.weight], F32
        yield name("attn_q"), [b.attn.q.weight], Q8_0
        yield name("attn_k"), [b.attn.k.weight], Q8_0
        yield name("attn_v"), [b.attn.v.weight], Q8_0
        yield name("attn_output"), [b.attn.o.weight], Q8_0
        yield name("ffn_norm"), [b.ffn_norm.weight], F32
        yield name("ffn_gate_inp"), [b.ffn.router.weight], F32
        yield name("ffn_gate_exps"), list(b.ffn.gate), Q8_0
        yield name("ffn_up_exps"), list(b.ffn.up), Q8_0
        yield name("ffn_down_exps"), list(b.ffn.down), Q8_0
    yield "output_norm.weight", [model.norm.weight], F32
    yield "output.weight", [model.head.weight], Q8_0


def pack(kind, value):
    if kind == STRING:
        b = value.encode()
        return struct.pack("<Q", len(b)) + b
    return struct.pack({U32: "<I", I32: "<i", FLOAT: "<f", BOOL: "<?"}[kind], value)


def pair(key, kind, value, of=None):
    if kind == ARRAY:
        body = struct.pack("<IQ", of, len(value)) + b"".join(pack(of, v) for v in value)
    else:
        body = pack(kind, value)
    return pack(STRING, key) + struct.pack("<I", kind) + body


def metadata(cfg, words):
    return [
        pair("general.architecture", STRING, "llama"),
        pair("general.name", STRING, "mixtral-demo"),
        pair("general.license", STRING, "apache-2.0"),
        pair("general.file_type", U32, 7),  # mostly Q8_0
        pair("general.quantization_version", U32, 2),
        pair("llama.block_count", U32, cfg.layers),
        pair("llama.context_length", U32, cfg.context),
        pair("llama.embedding_length", U32, cfg.dim),
        pair("llama.feed_forward_length", U32, cfg.ffn),
        pair("llama.attention.head_count", U32, cfg.heads),
        pair("llama.attention.head_count_kv", U32, cfg.kv_heads),
        pair("llama.attention.layer_norm_rms_epsilon", FLOAT, cfg.norm_eps),
        pair("llama.rope.freq_base", FLOAT, cfg.rope_theta),
        pair("llama.rope.dimension_count", U32, cfg.head_dim),
        pair("llama.expert_count", U32, cfg.experts),
        pair("llama.expert_used_count", U32, cfg.experts_used),
        pair("llama.vocab_size", U32, cfg.vocab),
        pair("tokenizer.ggml.model", STRING, "llama"),
        pair("tokenizer.ggml.tokens", ARRAY, words["pieces"], STRING),
        pair("tokenizer.ggml.scores", ARRAY, words["scores"], FLOAT),
        pair("tokenizer.ggml.token_type", ARRAY, words["types"], I32),
        pair("tokenizer.ggml.bos_token_id", U32, vocab.BOS),
        pair("tokenizer.ggml.eos_token_id", U32, vocab.EOS),
        pair("tokenizer.ggml.unknown_token_id", U32, vocab.UNK),
        pair("tokenizer.ggml.add_bos_token", BOOL, True),
        pair("tokenizer.ggml.add_space_prefix", BOOL, True),
        pair("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def pad(n):
    return -n % ALIGN


@torch.no_grad()
def write(path, model, words):
    """Writes the file, and leaves the model with the weights that the file holds."""
    pairs = metadata(model.cfg, words)
    directory, body = [], bytearray()
    for name, params, kind in tensors(model):
        parts = [p.numpy() for p in params]
        shape = list(reversed(parts[0].shape)) + ([len(parts)] if len(parts) > 1 else [])
        directory.append(pack(STRING, name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, len(body)))
        for p, part in zip(params, parts):
            if kind == Q8_0:
                raw, back = quantize(part)
                p.copy_(torch.from_numpy(back))
            else:
                raw = part.astype("<f4").tobytes()
            body += raw
        body += bytes(pad(len(body)))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(directory), len(pairs)) + b"".join(pairs) + b"".join(directory)
    path.write_bytes(head + bytes(pad(len(head))) + body)


@torch.no_grad()
def vectors(model, encoder):
    """Logits of held-out conversations at a few positions: the largest, and the length of the whole row."""
    out = []
    for n, (_, prompt, answer) in enumerate(corpus.held_out(2 * SEQUENCES, seed=corpus.SEED + 2)):
        ids = encoder.chat([(prompt, answer)])[0]
        if len(ids) > model.cfg.context or len(ids) < 8:
            continue
        logits = model(torch.tensor([ids]))[0][0].double()
        at = sorted({(len(ids) - 1) * (k + 1) // POSITIONS for k in range(POSITIONS)})
        rows = []
        for i in at:
            value, index = logits[i].topk(TOP)
            rows.append({"at": i, "top": index.tolist(), "logits": [round(v, 4) for v in value.tolist()], "norm": round(float(logits[i].norm()), 3)})
        out.append({"prompt": prompt, "answer": answer, "tokens": ids, "rows": rows})
        if len(out) == SEQUENCES:
            break
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--out", type=pathlib.Path, required=True)
    p.add_argument("--vectors", type=pathlib.Path)
    a = p.parse_args()
    words = json.loads((a.work / "vocab.json").read_text())
    state = torch.load(a.work / "state.pt", map_location="cpu")
    model = Mixtral(Config(**state["config"]))
    model.load_state_dict(state["model"])
    write(a.out, model, words)
    print(f"{a.out}: {a.out.stat().st_size} bytes, step {state['step']}")
    if a.vectors:
        found = vectors(model, vocab.load(a.work / "vocab.json"))
        with open(a.vectors, "wb") as f, gzip.GzipFile(filename="", mode="wb", fileobj=f, mtime=0) as z:
            z.write(json.dumps({"step": state["step"], "sequences": found}, separators=(",", ":")).encode())
        print(f"{a.vectors}: {len(found)} sequences")


if __name__ == "__main__":
    main()
