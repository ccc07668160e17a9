// Quantises GGUF files with llama.cpp: node quantize.mjs
// Its library, which node-llama-cpp brings, is called directly: the package itself offers no way to quantise.
// Each line of standard input is a JSON request, each line of standard output its answer:
//   {"op":"quantize","from":F,"to":T,"type":N,"pure":B,"importance":I}   {}
//   {"op":"types","from":F,"type":N,"weighted":B}                        {"types":{TENSOR:TYPE, …}}, nothing is written
// N is a llama_ftype. I is a JSON file, an array of [TENSOR, [mean square of each input, …]]. Types are those of the
// tensors that change. An answer may instead be {"error":"…"}.
import {createInterface} from "node:readline";
import {readFileSync, readdirSync} from "node:fs";
import {join} from "node:path";
import koffi from "koffi";

const bins = join(import.meta.dirname, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
const named = (start) => join(bins, readdirSync(bins).find((name) => name.startsWith(start) && name.endsWith(".so")));
koffi.load(join(bins, "libggml-base.so"), {global: true});
koffi.load(named("libggml.v"), {global: true});
const llama = koffi.load(named("libllama.v"));

koffi.struct("llama_model_imatrix_data", {name: "const char *", data: "float *", size: "size_t"});
koffi.struct("llama_model_quantize_params", {
    nthread: "int32", ftype: "int32", output_tensor_type: "int32", token_embedding_type: "int32",
    allow_requantize: "bool", quantize_output_tensor: "bool", only_copy: "bool", pure: "bool", keep_split: "bool",
    dry_run: "bool", imatrix: "void *", kv_overrides: "void *", tt_overrides: "void *", prune_layers: "void *",
    max_buf_size: "size_t"
});
const defaults = llama.func("llama_model_quantize_params llama_model_quantize_default_params(void)");
const quantize = llama.func("uint32 llama_model_quantize(const char *from, const char *to, llama_model_quantize_params *params)");
const logger = koffi.proto("void ggml_log_callback(int level, const char *text, void *data)");
const setLog = llama.func("void llama_log_set(ggml_log_callback *callback, void *data)");
llama.func("void llama_backend_init(void)")();

let log = "";
const callback = koffi.register((_, text) => { log += text; }, koffi.pointer(logger));
setLog(callback, null);

// The array ends with an entry without a name. What it points to must live as long as it is in use: keep holds it.
function importance(entries, keep) {
    const array = koffi.alloc("llama_model_imatrix_data", entries.length + 1);
    entries.forEach(([name, values], i) => {
        const data = koffi.alloc("float", values.length);
        koffi.encode(data, koffi.array("float", values.length), values);
        keep.push(data);
        koffi.encode(array, i * koffi.sizeof("llama_model_imatrix_data"), "llama_model_imatrix_data",
            {name, data, size: values.length});
    });
    koffi.encode(array, entries.length * koffi.sizeof("llama_model_imatrix_data"), "llama_model_imatrix_data",
        {name: null, data: null, size: 0});
    return array;
}

function answer(request) {
    const entries = request.importance ? JSON.parse(readFileSync(request.importance, "utf8")) : [];
    const keep = [];
    const params = {...defaults(), nthread: 2, ftype: request.type, pure: request.pure ?? false, allow_requantize: true,
        dry_run: request.op === "types"};
    if (request.weighted || entries.length > 0)
        params.imatrix = importance(entries, keep);
    log = "";
    const failed = quantize(request.from, request.to ?? "/dev/null", params);
    if (failed)
        return {error: log.trim().split("\n").at(-1)};
    if (request.op !== "types")
        return {};
    const types = {};
    for (const [, name, type] of log.matchAll(/^\[ *\d+\/ *\d+\] (\S+) .*-> .* \((\w+)\)$/gm))
        types[name] = type;
    return {types};
}

for await (const line of createInterface({input: process.stdin})) {
    let reply;
    try {
        reply = answer(JSON.parse(line));
    } catch (error) {
        reply = {error: String(error?.stack ?? error)};
    }
    process.stdout.write(JSON.stringify(reply) + "\n");
}
