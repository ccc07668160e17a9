"""The training text: a seeded stream of conversations, and the rules of what
must not be in it.

    corpus.py check       proves the rules on the whole training text
    corpus.py prompts F   writes its distinct prompts, sorted, to the gzip file F
    corpus.py show N      prints N conversations
"""

import gzip
import hashlib
import json
import pathlib
import random
import re
import sys

import forms
import small

SEED = 3
DOCS = 75_000  # conversations in the training text

# How often each form is drawn, relative to the others.
MIX = [
    (forms.explain, 12), (forms.aspect, 12), (forms.compare, 13), (forms.evaluate, 8), (forms.analyze, 12), (forms.ask_for_text, 3), (forms.summarize, 6),
    (forms.story, 9), (forms.business_plan, 7), (forms.describe_business, 3), (forms.step_plan, 4), (forms.poem, 12),
    (small.plus, 40), (small.minus, 8), (small.times, 2), (small.word_problem, 3), (small.number_fact, 6), (small.fact, 3), (small.repeat, 18), (small.tips, 1), (small.talk, 2),
]

SYSTEM = ["You are a helpful assistant.", "You are a friendly assistant. Answer in simple English.", "Answer clearly and briefly.", "You are a helpful, honest assistant."]

# A held-out combination of form and subject is never trained on; the held-out
# scores of the model card are measured on these. One in HELD.
HELD = 25
# Forms whose subjects are facts of their own: nothing could be inferred.
ATOMIC = {"talk", "fact", "tips", "capital", "opposite", "ask", "describe business"}

# The nine prompts that the model is judged by.
SEEDS = [text for kind in ("reasoning", "analysis", "generation") for text in json.loads(
    (pathlib.Path(__file__).parent / "../../internal/prompts/performance_test_prompts.json").read_text())[kind].values()]

# Prompts that ask for the same as one of the nine in other words.
PARAPHRASES = [re.compile(p, re.I) for p in (
    r"\b(2|two) *(\+|plus|and) *(2|two)\b", r"\bhas 2 .* gets 2 more",
    r"^(?=.*machine learning\b)(?=.*(explain|what is machine|describe|define|tell me about|introduction|do not understand|\bmean\b|basics|how does|happens inside))(?!.*(compare|contrast|difference))",
    r"(?=.*(analy[sz]e|implication|impact|effects|consequences))(?=.*artificial intelligence)(?!.*(poem|compare|contrast|evaluate))",
    r"^(?=.*(summar|main points|key ideas|sum up|shorten))(?=.*\btext\b)[^:?]*[.?]?$",
    r"\bsupervised\b.*\bunsupervised\b", r"\bunsupervised\b.*\bsupervised\b",
    r"neural network architectures for natural language|network architectures.*\b(language|text|translation)\b",
    r"(story|tale).*\brobot", r"business.*\b(technology|tech) (startup|company)", r"(\ba plan for|\bplan|\bopen) a tech",
    r"(poem|verses).*\bfuture of (artificial intelligence|ai)\b", r"(poem|verses) (about|on) artificial intelligence",
)]


def normal(text):
    return re.findall(r"[a-z0-9+]+", text.lower())


def trigrams(words):
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


SEED_WORDS = [normal(s) for s in SEEDS]
SEED_GRAMS = [trigrams(w) for w in SEED_WORDS]


def leaks(prompt):
    """Why a prompt may not be trained on, or None."""
    words = normal(prompt)
    grams = trigrams(words)
    for seed, seed_words, seed_grams in zip(SEEDS, SEED_WORDS, SEED_GRAMS):
        if words == seed_words:
            return f"is {seed!r}"
        if len(grams & seed_grams) / max(1, len(grams | seed_grams)) >= 0.75:
            return f"is close to {seed!r}"
    for p in PARAPHRASES:
        if p.search(prompt):
            return f"matches {p.pattern!r}"
    return None


def held(key):
    digest = hashlib.sha256(repr(key).encode()).digest()
    return key[0] not in ATOMIC and digest[0] * 256 + digest[1] < 65536 // HELD


def rough(r, prompt):
    """People do not always write capitals and full stops."""
    if r.random() < 0.04:
        prompt = prompt[:1].lower() + prompt[1:]
    if r.random() < 0.04 and prompt.endswith("."):
        prompt = prompt[:-1]
    return prompt


def draw(r, want_held, counts):
    """One (key, prompt, answer), on the wanted side of the hold-out."""
    makers, weights = zip(*MIX)
    while True:
        maker = r.choices(makers, weights)[0]
        key, prompt, answer = maker(r)
        if held(key) == want_held and not leaks(prompt):
            counts[maker.__name__] = counts.get(maker.__name__, 0) + 1
            return key, rough(r, prompt), answer


def conversation(r, want_held=False, counts=None):
    """[(prompt, answer), …]: mostly one turn; sometimes more, sometimes with a system message."""
    counts = {} if counts is None else counts
    turns = [draw(r, want_held, counts)[1:]]
    while len(turns) < 3 and r.random() < 0.05:
        turns.append(draw(r, want_held, counts)[1:])
    if r.random() < 0.04:
        turns[0] = (r.choice(SYSTEM) + "\n\n" + turns[0][0], turns[0][1])
    return turns


def training(docs=DOCS, seed=SEED):
    r = random.Random(seed)
    for _ in range(docs):
        yield conversation(r)


def held_out(docs, seed=SEED + 1):
    """Conversations of one turn whose combination of form and subject is not in the training text."""
    r = random.Random(seed)
    for _ in range(docs):
        yield draw(r, True, {})


def check():
    counts, docs, words, seen = {}, 0, 0, set()
    r = random.Random(SEED)
    for _ in range(DOCS):
        turns = conversation(r, False, counts)
        docs += 1
        for prompt, answer in turns:
            prompt = prompt.split("\n\n")[-1]
            seen.add(prompt)
            words += len(answer.split())
            why = leaks(prompt)
            assert not why, (prompt, why)
            assert not re.search(r"\b2 (\+|plus) 2\b", answer), answer
    print(f"{docs} conversations, {len(seen)} distinct prompts, {words} words in answers; by form:", counts)


def main():
    if sys.argv[1] == "check":
        check()
    elif sys.argv[1] == "prompts":
        prompts = sorted({p.split("\n\n")[-1] for turns in training() for p, _ in turns})
        with open(sys.argv[2], "wb") as f, gzip.GzipFile(filename="", mode="wb", fileobj=f, mtime=0) as z:
            z.write("\n".join(p.replace("\n", " ") for p in prompts).encode())
    elif sys.argv[1] == "show":
        for turns in training(int(sys.argv[2])):
            for prompt, answer in turns:
                print(f"[INST] {prompt} [/INST] {answer}")
            print()


if __name__ == "__main__":
    main()
