// The conversation: what is sent, how the answer comes in, and the buttons around it.
import { make, $, call, show as alert, seconds } from "./common.js";
import * as keep from "./keep.js";
import * as answer from "./answer.js";

let chats = keep.all(), chat = chats[0] ?? keep.fresh();
// Browsers hand over what comes within some milliseconds together: a speed needs longer than that.
const RESOLUTION = 20; // ms

let running = null; // AbortController of the answer that streams

const numbers = ["temperature", "max_tokens", "top_p", "top_k", "min_p", "seed", "presence_penalty",
  "frequency_penalty", "repetition_penalty"];

// request makes the body for the messages before index end. It throws where a setting makes no sense.
function request(end) {
  const s = chat.settings, body = { model: $("model").value || undefined, messages: [], stream: true,
    stream_options: { include_usage: true } };
  if (s.system?.trim()) body.messages.push({ role: "system", content: s.system });
  for (const m of chat.messages.slice(0, end)) {
    if (m.role === "user") body.messages.push({ role: "user", content: m.text });
    else body.messages.push({ role: "assistant", content: m.variants[m.at].text });
  }
  for (const name of numbers) if (s[name]) body[name] = Number(s[name]);
  const stop = (s.stop ?? "").split("\n").filter((line) => line !== "");
  if (stop.length) body.stop = stop;
  if (!s.no_logprobs) {
    body.logprobs = true;
    body.top_logprobs = s.top_logprobs ? Number(s.top_logprobs) : 5;
  }
  if (s.schema?.trim()) {
    let schema;
    try { schema = JSON.parse(s.schema); } catch (e) { throw new Error("The JSON schema of the settings is not valid JSON: " + e.message); }
    body.response_format = { type: "json_schema", json_schema: { name: "answer", schema, strict: true } };
  }
  return body;
}

// events gives the data of each server-sent event.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}

// generate streams a new variant of the answer at index.
async function generate(index) {
  if (running) return;
  alert($("notice"));
  const of = chat, message = chat.messages[index], variant = { text: "", tokens: [] };
  let body;
  try { body = request(index); } catch (e) { return alert($("notice"), e.message); }
  const target = message ?? { role: "assistant", variants: [], at: 0, model: body.model };
  if (!message) chat.messages.push(target);
  target.variants.push(variant);
  target.at = target.variants.length - 1;
  variant.request = { ...body, messages: undefined };
  running = new AbortController();
  render();
  say("The model answers.", true);
  let dirty = false, first = 0, last = 0, shown = null;
  const paint = () => {
    dirty = false;
    if (of !== chat || target.variants[target.at] !== variant) return;
    shown ??= elements.get(target).querySelector(".body");
    const stick = nearEnd();
    for (const text of answer.grow(shown, variant.text)) say(text);
    if (stick) $("log").scrollTop = $("log").scrollHeight;
  };
  const start = performance.now();
  try {
    const response = await call("/v1/chat/completions", body, running.signal);
    for await (const data of events(response.body)) {
      if (data === "[DONE]") { variant.whole = true; break; }
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      if (event.usage) variant.usage = event.usage;
      const choice = event.choices?.[0];
      if (!choice) continue;
      for (const t of choice.logprobs?.content ?? []) {
        variant.tokens.push({ t: t.token, p: t.logprob, a: (t.top_logprobs ?? []).map((x) => [x.token, x.logprob]) });
      }
      if (choice.delta?.content) {
        last = performance.now();
        first ||= last;
        variant.count = (variant.count ?? 0) + 1;
        variant.text += choice.delta.content;
        if (!dirty) { dirty = true; requestAnimationFrame(paint); }
      }
      if (choice.finish_reason) variant.finish = choice.finish_reason;
    }
    if (!variant.whole) throw new Error("The answer broke off.");
  } catch (e) {
    if (e.name === "AbortError") variant.finish = "stopped";
    else variant.error = e.message;
  }
  if (first) {
    const n = variant.usage?.completion_tokens ?? (variant.tokens.length || variant.count);
    variant.stats = { ttft: (first - start) / 1000, tokens: n, rate: n > 1 && last - first >= RESOLUTION ? (n - 1) / (last - first) * 1000 : null };
  }
  running = null;
  of.changed = Date.now();
  keepIt(of);
  if (of === chat) {
    const rest = shown?.blocks?.at(-1)?.text;
    if (rest) say(rest);
    say(variant.error ?? (variant.finish === "stopped" ? "The answer was stopped." : "The answer is complete."));
  }
  render();
}

// say tells a screen reader something, politely. What it reads of an answer are paragraphs that are complete: read
// token by token nobody would understand it.
let silence;
function say(text, anew = false) {
  clearTimeout(silence);
  if (anew) $("said").replaceChildren();
  $("said").append(make("p", {}, text));
  silence = setTimeout(() => { if (!running) $("said").replaceChildren(); }, 10000); // it is not part of the page
}

function keepIt(c) {
  if (!chats.includes(c)) chats.unshift(c);
  if (!keep.save(c)) alert($("notice"), "This browser has no more room: delete conversations to keep this one.");
}

const nearEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 60;

function curl(variant, index) {
  const body = { ...variant.request, messages: request(index).messages };
  const quote = (s) => "'" + s.replaceAll("'", "'\\''") + "'";
  const key = sessionStorage.getItem("mixtral.key") ? ` \\\n  -H "Authorization: Bearer $MIXTRAL_API_KEY"` : "";
  return `curl -N ${location.origin}/v1/chat/completions${key} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quote(JSON.stringify(body, null, 1))}`;
}

async function copy(text, button) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = make("textarea", { class: "offscreen" }, text); // where the page has no right to the clipboard
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const was = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = was; }, 1200);
}

function foot(m, index, body) {
  const v = m.variants[m.at], list = [], last = index === chat.messages.length - 1;
  const quiet = (text, click, more = {}) => make("button", { type: "button", class: "quiet", onclick: click, ...more }, text);
  if (running && last) return [make("span", { class: "stats" }, "answering…")];
  const s = v.stats, words = [];
  if (s) words.push(`first token ${seconds(s.ttft)}`, s.rate ? `${s.rate.toFixed(1)} tokens/s` : "", `${s.tokens} ${s.tokens === 1 ? "token" : "tokens"}`);
  if (v.finish === "length") words.push("cut off at the token limit");
  if (v.finish === "stopped") words.push("stopped");
  list.push(make("span", { class: "stats" }, words.filter(Boolean).join(" · ")));
  if (m.variants.length > 1) {
    const move = (by) => () => { m.at += by; keepIt(chat); render(); };
    list.push(quiet("‹", move(-1), { "aria-label": "Earlier answer", disabled: m.at === 0 }),
      make("span", {}, `${m.at + 1} of ${m.variants.length}`),
      quiet("›", move(1), { "aria-label": "Later answer", disabled: m.at === m.variants.length - 1 }));
  }
  if (last) list.push(quiet("Regenerate", () => generate(index)));
  if (v.tokens?.length) {
    const toggle = quiet("Tokens", () => {
      const on = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", on);
      body.classList.toggle("tokens", on);
      if (on) answer.tokens(body, v.tokens);
      else answer.show(body, v.text);
    }, { "aria-pressed": "false" });
    list.push(toggle);
  }
  list.push(quiet("Copy", (e) => copy(v.text, e.target)), quiet("Copy as curl", (e) => copy(curl(v, index), e.target)));
  return list;
}

function messageElement(m, index) {
  const body = make("div", { class: "body" });
  const who = m.role === "user" ? "You" : m.model || "Answer";
  const box = make("article", { class: "message " + m.role, "data-index": index, "aria-label": m.role === "user" ? "You" : "Answer" },
    make("h2", { class: "who" }, who), body);
  if (m.role === "user") { body.textContent = m.text; return box; }
  const v = m.variants[m.at];
  answer.show(body, v.text);
  if (v.error) box.append(make("p", { class: "alert" }, v.error));
  box.append(make("div", { class: "foot" }, ...foot(m, index, body)));
  return box;
}

const elements = new WeakMap(); // message → its element, for as long as it looks the same

// elementOf gives the element of a message, and makes a new one only where something has changed.
function elementOf(m, index) {
  const v = m.variants?.[m.at], last = index === chat.messages.length - 1;
  const look = [index, m.at, m.variants?.length, last, last && !!running, v?.text.length, v?.finish, v?.error].join();
  const had = elements.get(m);
  if (had?.look === look) return had;
  const e = messageElement(m, index);
  e.look = look;
  elements.set(m, e);
  return e;
}

// arrange makes a list the children of an element. Those that stay are not touched.
function arrange(parent, list) {
  for (const [i, e] of list.entries()) if (parent.children[i] !== e) parent.insertBefore(e, parent.children[i] ?? null);
  while (parent.children.length > list.length) parent.lastChild.remove();
}

const label = (e) => e.getAttribute("aria-label") ?? e.textContent;

// keepFocus gives a function that brings the focus back where it was, or as near as there is something now.
function keepFocus() {
  const at = document.activeElement, index = at.closest?.("[data-index]")?.dataset.index, name = label(at);
  return () => {
    if (at.isConnected && at.getClientRects().length) return;
    const buttons = index === undefined ? [] : [...$("log").querySelectorAll(`[data-index="${index}"] .foot button:enabled`)];
    (buttons.find((b) => label(b) === name) ?? buttons[0] ?? $("text")).focus({ preventScroll: true });
  };
}

const empty = make("div", { class: "empty" }, make("h2", {}, "Ask the model"),
  make("p", {}, "The conversation stays in this browser. Nothing goes anywhere but to this server."));

function render() {
  const end = nearEnd(), restore = keepFocus();
  $("tip").hidden = true;
  arrange($("log"), chat.messages.length ? chat.messages.map(elementOf) : [empty]);
  if (end || running) $("log").scrollTop = $("log").scrollHeight;
  $("send").hidden = !!running;
  $("stop").hidden = !running;
  list();
  restore();
}

let listed = "";
function list() {
  const look = JSON.stringify(chats.map((c) => [c.id, keep.title(c), c === chat]));
  if (look === listed) return;
  listed = look;
  $("list").replaceChildren(...chats.map((c) => make("li", c === chat ? { class: "now" } : {},
    make("button", { type: "button", class: "open", "aria-current": c === chat ? "true" : null, onclick: () => open(c) }, keep.title(c)),
    make("button", { type: "button", class: "drop", "aria-label": "Delete " + keep.title(c), onclick: () => remove(c) }, "×"))));
}

function open(c) {
  running?.abort();
  chat = c;
  for (const e of $("options").elements) {
    if (e.type === "checkbox") e.checked = !!c.settings[e.name];
    else e.value = c.settings[e.name] ?? "";
  }
  toggle("side", false);
  render();
  $("log").scrollTop = $("log").scrollHeight;
  $("text").focus();
}

function remove(c) {
  if (!confirm(`Delete “${keep.title(c)}”?`)) return;
  const at = chats.indexOf(c);
  chats = chats.filter((x) => x !== c);
  keep.drop(c.id);
  const shown = $("side").classList.contains("shown");
  if (c === chat) open(chats[0] ?? keep.fresh());
  else render();
  if (shown) toggle("side", true);
  const rest = $("list").querySelectorAll(".drop");
  (rest[Math.min(at, rest.length - 1)] ?? $("new")).focus(); // whoever deletes several goes on from here
}

$("new").addEventListener("click", () => { const c = keep.fresh(); c.settings = { ...chat.settings }; open(c); });
$("options").addEventListener("input", (e) => {
  chat.settings[e.target.name] = e.target.type === "checkbox" ? e.target.checked : e.target.value;
  if (chat.messages.length) keepIt(chat);
});
$("options").addEventListener("submit", (e) => e.preventDefault());
$("form").addEventListener("submit", (e) => {
  e.preventDefault();
  const text = $("text").value.replace(/^\s*\n|\s+$/g, "");
  if (running || !text.trim()) return;
  chat.messages.push({ role: "user", text });
  $("text").value = "";
  grow();
  chat.changed = Date.now();
  keepIt(chat);
  $("log").scrollTop = $("log").scrollHeight;
  render();
  generate(chat.messages.length);
});
$("text").addEventListener("keydown", (e) => {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); $("form").requestSubmit(); }
});
const grow = () => { $("text").style.height = "auto"; $("text").style.height = Math.max(52, $("text").scrollHeight + 2) + "px"; };
$("text").addEventListener("input", grow);
$("stop").addEventListener("click", () => running?.abort());
addEventListener("keydown", (e) => {
  if (e.key !== "Escape" || $("keydialog").open) return;
  if (running) return running.abort();
  $("tip").hidden = true;
  for (const id of ["settings", "side"]) {
    if ($(id + "open").getAttribute("aria-expanded") !== "true") continue;
    const inside = $(id).contains(document.activeElement);
    toggle(id, false);
    if (inside) $(id + "open").focus();
  }
});

// toggle opens or closes what stands beside the conversation.
function toggle(id, on) {
  if (id === "settings") $("settings").hidden = !on;
  else $("side").classList.toggle("shown", on);
  $(id + "open").setAttribute("aria-expanded", String(on));
}
for (const id of ["settings", "side"]) {
  $(id + "open").addEventListener("click", () => {
    const on = $(id + "open").getAttribute("aria-expanded") !== "true";
    toggle(id, on);
    if (on) $(id).querySelector("button, input, textarea").focus();
  });
}

async function models() {
  try {
    const list = (await (await call("/v1/models")).json()).data;
    $("model").replaceChildren(...list.map((m) => make("option", { value: m.id }, m.id)));
    $("state").textContent = "";
    alert($("notice"));
  } catch (e) {
    $("state").textContent = e.message;
    if (e.status === 401) alert($("notice"), e.message + ". The button “API key” takes another one.");
    if (e.status !== 401) setTimeout(models, 2000); // it may still be loading its model
  }
}
addEventListener("newkey", models);
open(chat);
models();
