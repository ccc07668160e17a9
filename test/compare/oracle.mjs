// Answers questions about one GGUF file with llama.cpp: node oracle.mjs MODEL.gguf
// Each line of standard input is a JSON request, each line of standard output its answer:
//   {"op":"tokenize","text":T}          {"ids":[…]}         special tokens in T are plain text
//   {"op":"greedy","tokens":[…],"n":N}  {"ids":[…]}         the highest logit each time, the lowest id among equals
//   {"op":"logits","tokens":[…]}        {"logits":BASE64}   after each token: float32, little endian, tokens × vocabulary
// An answer may instead be {"error":"…"}.
import {createInterface} from "node:readline";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const llama = await getLlama({gpu: false, build: "never", skipDownload: true, maxThreads: 2, logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath: process.argv[2]});
const vocab = [...model.iterateAllTokens()].length;
const context = await model.createContext({contextSize: 1024, batchSize: 256, sequences: 1, flashAttention: false});
const sequence = context.getSequence();

function row(output) {
    const logits = new Float32Array(vocab);
    for (const [id, logit] of output.next.logits)
        logits[id] = logit;
    return logits;
}

const wanted = (token) => [token, {generateNext: {logits: true}}];

function best(logits) {
    let id = 0;
    for (let i = 1; i < logits.length; i++)
        if (logits[i] > logits[id])
            id = i;
    return id;
}

async function greedy(tokens, n) {
    await sequence.clearHistory();
    const ids = [];
    let input = [...tokens.slice(0, -1), wanted(tokens.at(-1))];
    while (ids.length < n) {
        const outputs = await sequence.controlledEvaluate(input);
        ids.push(best(row(outputs.at(-1))));
        input = [wanted(ids.at(-1))];
    }
    return ids;
}

async function teacherForced(tokens) {
    await sequence.clearHistory();
    const outputs = await sequence.controlledEvaluate(tokens.map(wanted));
    return Buffer.concat(outputs.map((output) => Buffer.from(row(output).buffer))).toString("base64");
}

async function answer(request) {
    switch (request.op) {
        case "tokenize": return {ids: model.tokenize(request.text, false)};
        case "greedy": return {ids: await greedy(request.tokens, request.n)};
        case "logits": return {logits: await teacherForced(request.tokens)};
        default: return {error: `unknown op ${request.op}`};
    }
}

for await (const line of createInterface({input: process.stdin})) {
    let reply;
    try {
        reply = await answer(JSON.parse(line));
    } catch (error) {
        reply = {error: String(error?.stack ?? error)};
    }
    process.stdout.write(JSON.stringify(reply) + "\n");
}
process.exit(0);
