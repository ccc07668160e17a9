// Texts through Hugging Face's tokenizers (the library in Rust): node added.mjs < REQUEST
// REQUEST is {"tokenizers": [FILE, …], "texts": […]}. The answer has for each file, a tokenizer.json, and each text
// {"ids": […], "text": T}: T is what the ids stand for, without special tokens.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";

const {Tokenizer} = createRequire(import.meta.url)("tokenizers");
const {tokenizers, texts} = JSON.parse(readFileSync(0, "utf8"));
const answers = [];
for (const file of tokenizers) {
    const tokenizer = Tokenizer.fromFile(file);
    const all = [];
    for (const text of texts) {
        const ids = (await tokenizer.encode(text, null, {addSpecialTokens: false})).getIds();
        all.push({ids, text: await tokenizer.decode(ids, true)});
    }
    answers.push(all);
}
process.stdout.write(JSON.stringify(answers));
