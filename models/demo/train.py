"""Trains the demo model; a killed or stopped run goes on where it was.

    train.py --work DIR [--steps N]

DIR/vocab.json must be there. DIR gets the encoded text (data.npz), the newest
state (state.pt) and the log (train.log).
"""

import argparse
import json
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

import corpus
import vocab
from model import Config, Mixtral
from optim import Muon

ROW = 256  # tokens of a packed row; the few longer conversations are left out
BALANCE = 0.01  # weight of the router's balance loss: Switch Transformer's value


def weight(said):
    """How much each token of an answer of this many tokens counts: a sum of ten tokens must not drown among essays."""
    return min(max((64 / said) ** 0.5, 0.7), 3)


def pack(docs, encoder):
    """Whole conversations first-fit into rows: ids, the number of the document in its row (0 for padding), and learn,
    the weight of each token in the loss (0: not learned)."""
    rows, open_rows = [], []
    for turns in docs:
        ids, learn = encoder.chat(turns)
        if len(ids) > ROW:
            continue
        for row in open_rows:
            if row["n"] + len(ids) <= ROW:
                break
        else:
            row = {"n": 0, "parts": []}
            rows.append(row)
            open_rows = (open_rows + [row])[-16:]
        row["n"] += len(ids)
        row["parts"].append((ids, learn))
    ids = np.zeros((len(rows), ROW), np.int16)
    doc = np.zeros((len(rows), ROW), np.int16)
    learn = np.zeros((len(rows), ROW), np.float32)
    for i, row in enumerate(rows):
        at = 0
        for k, (part, said) in enumerate(row["parts"], 1):
            ids[i, at : at + len(part)] = part
            doc[i, at : at + len(part)] = k
            learn[i, at : at + len(part)] = np.array(said) * weight(sum(said))
            at += len(part)
    return {"ids": ids, "doc": doc, "learn": learn}


def data(work, encoder):
    path = work / "data.npz"
    if not path.exists():
        sets = {"train": pack(corpus.training(), encoder), "held": pack(([(p, a)] for _, p, a in corpus.held_out(600)), encoder)}
        np.savez(path.with_name("new.npz"), **{f"{s}_{k}": v for s, d in sets.items() for k, v in d.items()})
        os.replace(path.with_name("new.npz"), path)
    z = np.load(path)
    return [{k: torch.from_numpy(z[f"{s}_{k}"]) for k in ("ids", "doc", "learn")} for s in ("train", "held")]


def loss_of(model, d, rows):
    """Weighted mean loss per learned token, and the balance loss."""
    ids, doc, learn = (d[k][rows] for k in ("ids", "doc", "learn"))
    ids = ids.long()
    hidden, balance = model.hidden(ids[:, :-1], doc[:, :-1])
    want = learn[:, 1:] > 0
    counts = learn[:, 1:][want]
    each = F.cross_entropy(model.head(hidden[want]), ids[:, 1:][want], reduction="none")
    return (each * counts).sum() / counts.sum(), balance


@torch.no_grad()
def held_loss(model, held):
    losses, n = 0.0, 0.0
    for i in range(0, len(held["ids"]), 16):
        rows = slice(i, i + 16)
        k = float(held["learn"][rows].sum())
        losses += float(loss_of(model, held, rows)[0]) * k
        n += k
    return losses / n


def schedule(step, steps, warmup=100, decay=0.45):
    """Warm up, stay, and fall to zero over the last part (WSD)."""
    left = (steps - step) / (decay * steps)
    return min((step + 1) / warmup, 1.0, max(left, 0.0))


def save(path, **state):
    new = path.with_suffix(".new")
    torch.save(state, new)
    os.replace(new, path)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--steps", type=int, default=2200)
    p.add_argument("--batch", type=int, default=12, help="rows")
    p.add_argument("--until", type=int, default=None, help="stop early, at this step")
    p.add_argument("--muon", type=float, default=0.02, help="learning rate of the matrices; 0: AdamW for all")
    p.add_argument("--adam", type=float, default=4e-3, help="learning rate of the rest")
    a = p.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)  # tiny attention weights would take the slow path
    encoder = vocab.load(a.work / "vocab.json")
    train, held = data(a.work, encoder)
    cfg = Config(vocab=len(encoder.pieces))
    model = Mixtral(cfg)
    optimizers = Muon.split(model, a.muon, a.adam)
    start, state = 0, a.work / "state.pt"
    if state.exists():
        s = torch.load(state)
        model.load_state_dict(s["model"])
        for o, old in zip(optimizers, s["optim"]):
            o.load_state_dict(old)
        start = s["step"]
    rows = len(train["ids"])
    log = open(a.work / "train.log", "a", buffering=1)

    def say(**record):
        line = json.dumps(record)
        print(line, flush=True)
        print(line, file=log)

    say(start=start, rows=rows, tokens=int((train["doc"] > 0).sum()), parameters=model.sizes())
    began, saved, tokens, seen = time.time(), time.time(), 0, []
    end = min(a.until or a.steps, a.steps)
    for step in range(start, end):
        epoch, at = divmod(step * a.batch, rows - rows % a.batch)
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(epoch))
        pick = order[at : at + a.batch]
        factor = schedule(step, a.steps)
        for o in optimizers:
            for g in o.param_groups:
                g["lr"] = g["base"] * factor
        loss, balance = loss_of(model, train, pick)
        (loss + BALANCE * balance).backward()
        for o in optimizers:
            o.step()
        model.zero_grad()
        tokens += a.batch * ROW
        seen.append(float(loss))
        if (step + 1) % 25 == 0:
            say(step=step + 1, loss=round(sum(seen) / len(seen), 4), balance=round(float(balance), 3), tps=round(tokens / (time.time() - began)))
            seen = []
        if (step + 1) % 200 == 0:
            say(step=step + 1, held=round(held_loss(model, held), 4))
        if time.time() - saved > 120 or step + 1 == end:
            save(state, model=model.state_dict(), optim=[o.state_dict() for o in optimizers], step=step + 1, config=cfg.dict())
            saved = time.time()
    say(step=end, held=round(held_loss(model, held), 4))


if __name__ == "__main__":
    main()
