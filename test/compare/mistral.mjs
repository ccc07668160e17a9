// Mistral's own vocabulary, and how an independent implementation encodes texts with it:
// standard input is a JSON array of texts; the answer {"pieces":[…],"ranks":[…],"ids":[[…],…]}, ids without BOS.
// A piece's rank is that of the first merge that makes it, 0 the first of all; −1 where none does.
import {readFileSync} from "node:fs";
import tokenizer from "mistral-tokenizer-js";

const texts = JSON.parse(readFileSync(0, "utf8"));
const ids = texts.map((text) => tokenizer.encode(text, false, true));
const ranks = new Array(tokenizer.vocabById.length).fill(-1);
for (const [pair, rank] of tokenizer.merges) {
    const id = tokenizer.vocabByString.get(pair.replace(" ", ""));
    if (id !== undefined && (ranks[id] < 0 || rank < ranks[id]))
        ranks[id] = rank;
}
process.stdout.write(JSON.stringify({pieces: tokenizer.vocabById, ranks, ids}));
