// What the server does now, from its own metrics, once a second.
import { make, $, call, show, seconds, bytes } from "./common.js";

const EVERY = 1000, WINDOW = 60, KEEP = 300; // ms between readings; readings of a latency; readings of a line

// parse reads the text format of Prometheus: name → list of [labels, value].
function parse(text) {
  const all = new Map();
  for (const line of text.split("\n")) {
    const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!m) continue;
    const labels = {};
    for (const [, name, value] of (m[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
    }
    if (!all.has(m[1])) all.set(m[1], []);
    all.get(m[1]).push([labels, m[3] === "+Inf" ? Infinity : Number(m[3])]);
  }
  return all;
}

const one = (all, name) => all.get(name)?.[0][1] ?? NaN;
const sum = (all, name) => (all.get(name) ?? []).reduce((n, [, v]) => n + v, 0);

// quantile reads a quantile from the growth of a histogram between two readings, as histogram_quantile does.
function quantile(q, now, then, name) {
  const before = new Map((then.get(name + "_bucket") ?? []).map(([l, v]) => [l.le, v]));
  const list = (now.get(name + "_bucket") ?? []).map(([l, v]) => [l.le === "+Inf" ? Infinity : Number(l.le), v - (before.get(l.le) ?? 0)])
    .sort((a, b) => a[0] - b[0]);
  const total = list.at(-1)?.[1] ?? 0;
  if (!total) return NaN;
  let low = 0, below = 0;
  for (const [le, n] of list) {
    if (n >= q * total) return le === Infinity ? low : low + (le - low) * (q * total - below) / (n - below || 1);
    low = le;
    below = n;
  }
  return low;
}

const brief = (n) => n.toLocaleString("en", { maximumSignificantDigits: 3 });

const past = []; // readings: { at, all }
const lines = new Map(); // figures drawn as lines

function figure(id, name, value, goal, plot, words = brief) {
  let box = $("f-" + id);
  if (!box) {
    box = make("div", { class: "figure", id: "f-" + id, role: "group", "aria-label": name }, make("div", { class: "name" }, name), make("div", { class: "value" }),
      make("div", { class: "goal" }));
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${KEEP} 34`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.append(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
    box.append(svg);
    $("figures").append(box);
    lines.set(id, []);
  }
  box.querySelector(".value").textContent = value;
  box.querySelector(".goal").textContent = goal;
  const list = lines.get(id);
  list.push(isFinite(plot) ? plot : 0);
  if (list.length > KEEP) list.shift();
  const top = Math.max(...list, 1e-9);
  box.querySelector("svg").setAttribute("aria-label", `${name} over the last ${Math.max(1, Math.round(list.length * EVERY / 60000))} min: from ${words(Math.min(...list))} to ${words(Math.max(...list))}`);
  box.querySelector("polyline").setAttribute("points", list.map((v, i) => `${KEEP - list.length + i},${(32 - 30 * v / top).toFixed(1)}`).join(" "));
}

const latencies = [["mixtral_time_to_first_token_seconds", "time to first token"], ["mixtral_inter_token_latency_seconds", "between tokens"],
  ["mixtral_e2e_request_latency_seconds", "whole request"], ["mixtral_request_queue_time_seconds", "in the queue"]];
const ends = { stop: "ended by the model or a stop string", length: "cut off at the token limit", abort: "left by the client", error: "failed",
  content_filter: "ended by a filter", tool_calls: "ended with calls of tools" };

function draw() {
  const { at, all } = past.at(-1), before = past.at(-2) ?? past.at(-1), took = (at - before.at) / 1000 || 1;
  const rate = (name) => Math.max(0, sum(all, name) - sum(before.all, name)) / took;
  const of = (limit, unit = "") => isFinite(limit) ? `of ${unit === "bytes" ? bytes(limit) : limit} at most` : "";
  const running = one(all, "mixtral_requests_running"), waiting = one(all, "mixtral_requests_waiting");
  figure("running", "Requests running", String(running || 0), of(one(all, "mixtral_requests_running_limit")), running);
  figure("waiting", "Requests waiting", String(waiting || 0), of(one(all, "mixtral_requests_waiting_limit")), waiting);
  const generated = rate("mixtral_generation_tokens_total"), prompt = rate("mixtral_prompt_tokens_total");
  figure("tokens", "Tokens generated", generated.toFixed(1) + " /s", sum(all, "mixtral_generation_tokens_total").toLocaleString("en") + " since the start", generated);
  figure("prompt", "Prompt tokens", prompt.toFixed(1) + " /s", sum(all, "mixtral_prompt_tokens_total").toLocaleString("en") + " since the start", prompt);
  const kv = one(all, "mixtral_kv_cache_usage_ratio");
  if (all.has("mixtral_kv_cache_bytes")) {
    figure("kv", "KV cache in use", (100 * kv).toFixed(0) + " %", "of " + bytes(one(all, "mixtral_kv_cache_bytes")), kv);
  }
  const memory = one(all, "process_resident_memory_bytes");
  figure("memory", "Memory", bytes(memory), of(one(all, "mixtral_memory_limit_bytes"), "bytes"), memory, bytes);
  const cpu = rate("process_cpu_seconds_total");
  figure("cpu", "Processor cores in use", cpu.toFixed(2), "", cpu);
  const open = one(all, "mixtral_connections");
  figure("connections", "Connections", String(open || 0), of(one(all, "mixtral_connections_limit")), open);

  const then = past.at(-WINDOW - 1) ?? past[0];
  $("latencies").replaceChildren(...latencies.map(([name, title]) => {
    const count = sum(all, name + "_count");
    return make("tr", {}, make("th", { scope: "row" }, title), make("td", { class: "n" }, String(count - sum(then.all, name + "_count"))),
      ...[0.5, 0.95, 0.99].map((q) => make("td", { class: "n" }, seconds(quantile(q, all, then.all, name)))),
      make("td", { class: "n" }, count ? seconds(sum(all, name + "_sum") / count) : "–"));
  }));
  const refused = (all.get("mixtral_refused_requests_total") ?? []).filter(([, n]) => n > 0);
  const row = (name, n) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "n" }, n.toLocaleString("en")));
  $("ends").replaceChildren(...(all.get("mixtral_requests_total") ?? []).map(([l, n]) => row(ends[l.finish_reason] ?? l.finish_reason, n)),
    ...refused.map(([l, n]) => row("refused: " + l.reason.replaceAll("_", " "), n)));
  const replicas = all.get("mixtral_upstream_up") ?? [];
  $("replicashead").hidden = $("replicastable").hidden = !replicas.length;
  const failures = new Map((all.get("mixtral_upstream_failures_total") ?? []).map(([l, n]) => [l.replica, n]));
  $("replicas").replaceChildren(...replicas.map(([l, up]) => make("tr", {}, make("th", { scope: "row", class: "mono" }, l.replica),
    make("td", {}, make("span", { class: "pill " + (up ? "v-pass" : "v-fail") }, up ? "UP" : "DOWN")),
    make("td", { class: "n" }, String(failures.get(l.replica) ?? 0)))));
  const since = Date.now() / 1000 - one(all, "process_start_time_seconds");
  const up = isFinite(since) ? ` Running for ${since < 120 ? since.toFixed(0) + " s" : since < 7200 ? (since / 60).toFixed(0) + " min" : (since / 3600).toFixed(1) + " h"}.` : "";
  $("summary").textContent = (one(all, "mixtral_ready") ? "Ready: requests are taken." : "Not ready: requests are refused.") + up;
}

async function read() {
  let wait = EVERY;
  if (!document.hidden) {
    try {
      past.push({ at: performance.now(), all: parse(await (await call("/console/metrics")).text()) });
      if (past.length > WINDOW + 1) past.shift();
      draw();
      show($("trouble"));
    } catch (e) {
      show($("trouble"), e.message);
      $("summary").textContent = past.length ? "The figures below are the last ones that came." : "There are no figures.";
      if (e.status === 401) return;
      wait = 3 * EVERY;
    }
  }
  setTimeout(read, wait);
}
addEventListener("newkey", read);
read();
