"""SentencePiece-style BPE with byte fallback: training, and an encoder that
gives the same ids as internal/token (a Go test compares them).

    vocab.py FILE    trains on the corpus and writes FILE (JSON)
"""

import collections
import json
import re
import sys

import corpus

SIZE = 2560
SPACE = "\u2581"
UNK, BOS, EOS = 0, 1, 2
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
OPEN, SHUT = "[INST]", "[/INST]"
SAMPLE = 20_000  # conversations to count words in

# A digit is a piece of its own, and words and marks never share one; the two
# markers of an instruction are whole pieces.
UNIT = re.compile(rf"{SPACE}?(?:{re.escape(OPEN)}|{re.escape(SHUT)}|[^\W\d_{SPACE}]+)|[^\n]")


def turn_text(prompt):
    return f"{OPEN} {prompt} {SHUT}"


def count_units():
    units = collections.Counter()
    for turns in corpus.training(SAMPLE):
        for prompt, answer in turns:
            for text in (turn_text(prompt), answer):
                units.update(UNIT.findall(SPACE + text.replace(" ", SPACE)))
    return units


def train(units, size):
    """The pieces after the bytes, best first: characters, then merges by count."""
    chars = collections.Counter()
    for unit, n in units.items():
        for c in unit:
            chars[c] += n
    for c in map(chr, range(33, 127)):  # all of printable ASCII, seen or not
        chars[c] += 0
    pieces = [c for c, _ in sorted(chars.items(), key=lambda kv: (-kv[1], kv[0]))]
    words = [(list(u), n) for u, n in units.items()]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for i, (w, n) in enumerate(words):
        for p in zip(w, w[1:]):
            pairs[p] += n
            where[p].add(i)
    known = set(pieces)
    while len(pieces) < size:
        best = max(pairs, key=lambda p: (pairs[p], p))
        assert pairs[best] > 0, "the corpus has too few words for this vocabulary"
        joined = best[0] + best[1]
        if joined not in known:
            known.add(joined)
            pieces.append(joined)
        for i in list(where[best]):
            w, n = words[i]
            for p in zip(w, w[1:]):
                pairs[p] -= n
                where[p].discard(i)
            out, k = [], 0
            while k < len(w):
                if k + 1 < len(w) and (w[k], w[k + 1]) == best:
                    out.append(joined)
                    k += 2
                else:
                    out.append(w[k])
                    k += 1
            words[i] = (out, n)
            for p in zip(out, out[1:]):
                pairs[p] += n
                where[p].add(i)
        pairs.pop(best, None)
    return pieces


def build():
    pieces, types = ["<unk>", "<s>", "</s>"], [UNKNOWN, CONTROL, CONTROL]
    pieces += [f"<0x{b:02X}>" for b in range(256)]
    types += [BYTE] * 256
    learned = train(count_units(), SIZE - len(pieces))
    scores = [0.0] * len(pieces) + [-float(i) for i in range(len(learned))]
    return {"pieces": pieces + learned, "scores": scores, "types": types + [NORMAL] * len(learned)}


class Encoder:
    def __init__(self, vocab):
        self.pieces, self.types = vocab["pieces"], vocab["types"]
        self.ids = {p: i for i, (p, t) in enumerate(zip(self.pieces, self.types)) if t == NORMAL}
        self.scores = vocab["scores"]
        self.cache = {}

    def word(self, text):
        """The ids of one stretch: merge the best-scored pair, the leftmost among equals, until none is left."""
        if text in self.cache:
            return self.cache[text]
        w = list(text)
        while True:
            best, at = None, -1
            for i in range(len(w) - 1):
                k = self.ids.get(w[i] + w[i + 1])
                if k is not None and (best is None or self.scores[k] > best):
                    best, at = self.scores[k], i
            if best is None:
                break
            w[at : at + 2] = [w[at] + w[at + 1]]
        out = []
        for s in w:
            k = self.ids.get(s)
            out += [k] if k is not None else [3 + b for b in s.encode()]
        self.cache[text] = out
        return out

    def encode(self, text):
        """Ids of a run of text, with the space prefix and without BOS."""
        out = []
        for part in re.findall(rf"{SPACE}+[^{SPACE}]*", SPACE + text.replace(" ", SPACE)):
            out += self.word(part)
        return out

    def chat(self, turns):
        """(ids, learn): the conversation with BOS and EOS, and which ids the model is to say itself."""
        ids, learn = [BOS], [False]
        for prompt, answer in turns:
            asked = self.encode(turn_text(prompt))
            ids += asked
            learn += [False] * len(asked)
            if answer is not None:
                said = self.encode(answer) + [EOS]
                ids += said
                learn += [True] * len(said)
        return ids, learn

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            if self.types[i] == BYTE:
                out.append(i - 3)
            elif self.types[i] == NORMAL:
                out += self.pieces[i].replace(SPACE, " ").encode()
        return out.decode(errors="replace")


def load(path):
    with open(path) as f:
        return Encoder(json.load(f))


if __name__ == "__main__":
    with open(sys.argv[1], "w") as f:
        json.dump(build(), f, ensure_ascii=False)
