"""Lets a training state answer, greedily: a look at a run under way.

    talk.py DIR ["prompt" …]     without prompts: the nine that the model is judged by
"""

import pathlib
import sys

import torch

import corpus
import vocab
from model import Config, Mixtral


@torch.no_grad()
def answer(model, encoder, prompts, limit=220):
    """The answers to all prompts, computed side by side; every row is padded on the right."""
    rows = [encoder.chat([(p, None)])[0] for p in prompts]
    begin = [len(r) for r in rows]
    done = [False] * len(rows)
    for _ in range(limit):
        width = max(map(len, rows))
        ids = torch.tensor([r + [0] * (width - len(r)) for r in rows])
        hidden, _ = model.hidden(ids)
        last = model.head(hidden[torch.arange(len(rows)), torch.tensor([len(r) - 1 for r in rows])]).argmax(-1).tolist()
        for i, token in enumerate(last):
            done[i] = done[i] or token == vocab.EOS
            if not done[i]:
                rows[i].append(token)
        if all(done):
            break
    return [encoder.decode(r[b:]).removeprefix(" ") + ("" if d else " [cut]") for r, b, d in zip(rows, begin, done)]


def main():
    work = pathlib.Path(sys.argv[1])
    state = torch.load(work / "state.pt", map_location="cpu")
    model = Mixtral(Config(**state["config"]))
    model.load_state_dict(state["model"])
    prompts = sys.argv[2:] or corpus.SEEDS
    print("step", state["step"])
    for p, a in zip(prompts, answer(model, vocab.load(work / "vocab.json"), prompts)):
        print(f"\n> {p}\n{a}")


if __name__ == "__main__":
    main()
