"""The held-out scores of the model card: loss for each kind of task, and
how many sums come out right, on combinations that were not trained on.

    scores.py DIR
"""

import collections
import math
import pathlib
import re
import sys

import torch
import torch.nn.functional as F

import corpus
import vocab
from model import Config, Mixtral
from talk import answer

DOCS = 600
ARITHMETIC = ("sum", "difference", "product")


@torch.no_grad()
def losses(model, encoder, docs):
    """Kind → (tokens, mean loss per token of the answers)."""
    sums = collections.defaultdict(lambda: [0, 0.0])
    for key, prompt, said in docs:
        ids, learn = encoder.chat([(prompt, said)])
        if len(ids) > model.cfg.context:
            continue
        want = torch.tensor(learn[1:])
        logits = model(torch.tensor([ids[:-1]]))[0][0]
        entry = sums[key[0]]
        entry[0] += int(want.sum())
        entry[1] += float(F.cross_entropy(logits[want], torch.tensor(ids[1:])[want], reduction="sum"))
    return {k: (n, total / n) for k, (n, total) in sorted(sums.items())}


def arithmetic(model, encoder, docs):
    """Kind → (right, asked): the last number of the answer is that of the expected one."""
    rows = {p: (k[0], a) for k, p, a in docs if k[0] in ARITHMETIC}
    found = answer(model, encoder, list(rows), limit=40)
    score = collections.defaultdict(lambda: [0, 0])
    for (kind, want), got in zip(rows.values(), found):
        numbers = [re.findall(r"\d+", text)[-1:] for text in (want, got)]
        score[kind][0] += numbers[0] == numbers[1]
        score[kind][1] += 1
    return dict(score)


def main():
    work = pathlib.Path(sys.argv[1])
    torch.set_num_threads(2)
    state = torch.load(work / "state.pt", map_location="cpu")
    model = Mixtral(Config(**state["config"]))
    model.load_state_dict(state["model"])
    encoder = vocab.load(work / "vocab.json")
    docs = list(corpus.held_out(DOCS, seed=corpus.SEED + 3))
    by_kind = losses(model, encoder, docs)
    for kind, (n, loss) in by_kind.items():
        print(f"{kind:18} {n:6} tokens  loss {loss:.3f}  perplexity {math.exp(loss):.2f}")
    n = sum(n for n, _ in by_kind.values())
    print(f"{'all':18} {n:6} tokens  loss {sum(n * loss for n, loss in by_kind.values()) / n:.3f}")
    print("arithmetic, right of asked:", arithmetic(model, encoder, docs))


if __name__ == "__main__":
    main()
