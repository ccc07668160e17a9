// What llama.cpp does that node-llama-cpp has no function for, or a slow one: node llama.mjs
// The library that the package brings is called directly, with one thread: two would wait for each other in loops.
// Each line of standard input is a JSON request, each line of standard output its answer:
//   {"op":"quantize","from":F,"to":T,"type":N,"pure":B,"importance":I,"edges":E}   {}
//   {"op":"types","from":F,"type":N,"weighted":B}       {"types":{TENSOR:TYPE, …}}, of tensors that would change
//   {"op":"prompt","from":F,"text":T,"special":B}       {"ids":[…]}, with BOS and EOS as the file says
//   {"op":"loss","from":F,"texts":[{"tokens":[…],"begin":N}, …]}                   {"loss":L}
// N is a llama_ftype, E the ggml_type of embedding and output if it is another. I is a JSON file, an array of [TENSOR,
// [mean square of each input, …]]. L is in nats, of all tokens of the texts from N on. An answer may instead be
// {"error":"…"}.
import {createInterface} from "node:readline";
import {readFileSync, readdirSync} from "node:fs";
import {join} from "node:path";
import koffi from "koffi";

const bins = join(import.meta.dirname, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64");
const named = (start) => join(bins, readdirSync(bins).find((name) => name.startsWith(start) && name.endsWith(".so")));
koffi.load(join(bins, "libggml-base.so"), {global: true});
const ggml = koffi.load(named("libggml.v"), {global: true});
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

koffi.struct("llama_model_params", {
    devices: "void *", tensor_buft_overrides: "void *", n_gpu_layers: "int32", split_mode: "int32", load_mode: "int32",
    lazy_mode: "int32", main_gpu: "int32", tensor_split: "void *", progress_callback: "void *",
    progress_callback_user_data: "void *", kv_overrides: "void *", vocab_only: "bool", check_tensors: "bool",
    use_extra_bufts: "bool", no_host: "bool", no_alloc: "bool", load_mtp: "bool"
});
koffi.struct("llama_context_params", {
    n_ctx: "uint32", n_batch: "uint32", n_ubatch: "uint32", n_seq_max: "uint32", n_rs_seq: "uint32",
    n_outputs_max: "uint32", n_outputs_max_per_seq: "uint32", n_threads: "int32", n_threads_batch: "int32",
    ctx_type: "int32", rope_scaling_type: "int32", pooling_type: "int32", attention_type: "int32",
    flash_attn_type: "int32", rope_freq_base: "float", rope_freq_scale: "float", yarn_ext_factor: "float",
    yarn_attn_factor: "float", yarn_beta_fast: "float", yarn_beta_slow: "float", yarn_orig_ctx: "uint32",
    defrag_thold: "float", cb_eval: "void *", cb_eval_user_data: "void *", type_k: "int32", type_v: "int32",
    abort_callback: "void *", abort_callback_data: "void *", embeddings: "bool", offload_kqv: "bool", no_perf: "bool",
    op_offload: "bool", swa_full: "bool", kv_unified: "bool", samplers: "void *", n_samplers: "size_t",
    ctx_other: "void *"
});
koffi.struct("llama_batch", {n_tokens: "int32", token: "int32 *", embd: "float *", pos: "int32 *", n_seq_id: "int32 *",
    seq_id: "int32 **", logits: "int8 *"});
const modelDefaults = llama.func("llama_model_params llama_model_default_params(void)");
const contextDefaults = llama.func("llama_context_params llama_context_default_params(void)");
const loadModel = llama.func("void *llama_model_load_from_file(const char *path, llama_model_params params)");
const freeModel = llama.func("void llama_model_free(void *model)");
const vocabulary = llama.func("void *llama_model_get_vocab(void *model)");
const pieces = llama.func("int32 llama_vocab_n_tokens(void *vocab)");
const tokenize = llama.func("int32 llama_tokenize(void *vocab, const char *text, int32 length, _Out_ int32 *tokens, int32 most, bool add_special, bool parse_special)");
const newContext = llama.func("void *llama_init_from_model(void *model, llama_context_params params)");
const freeContext = llama.func("void llama_free(void *context)");
const memory = llama.func("void *llama_get_memory(void *context)");
const clearMemory = llama.func("void llama_memory_clear(void *memory, bool data)");
const decode = llama.func("int32 llama_decode(void *context, llama_batch batch)");
const logitsOf = llama.func("void *llama_get_logits_ith(void *context, int32 i)");
ggml.func("void ggml_backend_load_all_from_path(const char *folder)")(bins);
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

function loss({from, texts}) {
    const model = loadModel(from, {...modelDefaults(), n_gpu_layers: 0});
    if (!model)
        throw new Error(log);
    const longest = Math.max(...texts.map(({tokens}) => tokens.length));
    const context = newContext(model, {...contextDefaults(), n_ctx: longest, n_batch: longest, n_ubatch: longest,
        n_threads: 1, n_threads_batch: 1});
    const n = pieces(vocabulary(model));
    let sum = 0;
    for (const {tokens, begin} of texts) {
        clearMemory(memory(context), true);
        const zero = [0];
        const status = decode(context, {n_tokens: tokens.length, token: tokens, embd: null,
            pos: tokens.map((_, i) => i), n_seq_id: tokens.map(() => 1), seq_id: tokens.map(() => zero),
            logits: tokens.map(() => 1)});
        if (status !== 0)
            throw new Error(`llama_decode gives ${status}: ${log}`);
        for (let i = begin; i < tokens.length; i++) {
            const logits = koffi.decode(logitsOf(context, i - 1), koffi.array("float", n, "Typed"));
            const top = logits.reduce((a, b) => Math.max(a, b));
            sum += top + Math.log(logits.reduce((total, v) => total + Math.exp(v - top), 0)) - logits[tokens[i]];
        }
    }
    freeContext(context);
    freeModel(model);
    return {loss: sum};
}

function prompt({from, text = "", special}) {
    const model = loadModel(from, {...modelDefaults(), vocab_only: true});
    if (!model)
        throw new Error(log);
    const ids = new Int32Array(4 * text.length + 16);
    const n = tokenize(vocabulary(model), text, Buffer.byteLength(text), ids, ids.length, true, special ?? false);
    freeModel(model);
    if (n < 0)
        throw new Error(`llama_tokenize gives ${n}`);
    return {ids: [...ids.slice(0, n)]};
}

function answer(request) {
    log = "";
    if (request.op === "prompt")
        return prompt(request);
    if (request.op === "loss")
        return loss(request);
    const entries = request.importance ? JSON.parse(readFileSync(request.importance, "utf8")) : [];
    const keep = [];
    const params = {...defaults(), nthread: 2, ftype: request.type, pure: request.pure ?? false, allow_requantize: true,
        dry_run: request.op === "types"};
    if (request.edges)
        params.output_tensor_type = params.token_embedding_type = request.edges;
    if (request.weighted || entries.length > 0)
        params.imatrix = importance(entries, keep);
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
