// How an answer is shown: readable text, or its tokens with their alternatives.
import { make, $ } from "./common.js";

// blocks splits a text, from an offset on, at fences of code, headings and empty lines. Each block knows the offset at
// which it begins.
function blocks(text, from = 0) {
  const list = [];
  let code = null, part = [], began = from, at = from;
  const flush = () => { if (part.length) list.push({ kind: "p", text: part.join("\n"), at: began }); part = []; };
  for (const line of text.slice(from).split("\n")) {
    if (code) {
      if (/^\s*```\s*$/.test(line)) { list.push({ kind: "pre", text: code.join("\n"), at: began }); code = null; }
      else code.push(line);
    } else if (/^\s*```/.test(line)) { flush(); code = []; began = at; }
    else if (line.trim() === "") flush();
    else if (/^#{1,6} /.test(line)) { flush(); list.push({ kind: "head", text: line.replace(/^#+ /, ""), at }); }
    else { if (!part.length) began = at; part.push(line); }
    at += line.length + 1;
  }
  if (code) list.push({ kind: "pre", text: code.join("\n"), at: began });
  flush();
  return list;
}

// inline makes code and bold of a paragraph's marks.
function inline(text) {
  const list = [];
  let at = 0;
  for (const m of text.matchAll(/`([^`\n]+)`|\*\*([^*\n]+)\*\*/g)) {
    if (m.index > at) list.push(text.slice(at, m.index));
    list.push(m[1] !== undefined ? make("code", {}, m[1]) : make("strong", {}, m[2]));
    at = m.index + m[0].length;
  }
  list.push(text.slice(at));
  return list;
}

function element(b) {
  if (b.kind === "pre") return make("pre", { tabindex: "0", role: "region", "aria-label": "Code" }, b.text);
  return make("p", b.kind === "head" ? { class: "head" } : {}, ...inline(b.text));
}

// show shows a text.
export function show(body, text) {
  body.blocks = blocks(text);
  body.replaceChildren(...body.blocks.map(element));
}

// grow brings a body up to date with a text that has got longer. What comes can change the last block alone, so the
// work does not grow with the answer. It gives the texts of the blocks that have become complete.
export function grow(body, text) {
  const list = body.blocks ?? [], last = list.pop(), news = blocks(text, last?.at ?? 0);
  let fresh = news;
  if (last && news.length && longer(body.lastChild, last, news[0])) fresh = news.slice(1);
  else if (last) body.lastChild.remove();
  body.append(...fresh.map(element));
  list.push(...news);
  body.blocks = list;
  const told = body.told ?? 0;
  body.told = Math.max(told, list.length - 1);
  return list.slice(told, body.told).map((b) => b.text);
}

// longer adds to an element what its block has got more, if it can stay: its text stays selected then, and code stays
// where it was scrolled to.
function longer(e, was, is) {
  const node = e.firstChild;
  if (was.kind !== is.kind || !is.text.startsWith(was.text) || e.childNodes.length !== 1 || node.nodeType !== Node.TEXT_NODE ||
    is.kind !== "pre" && /[`*]/.test(is.text)) return false;
  node.appendData(is.text.slice(was.text.length));
  return true;
}

const percent = (logprob) => {
  const p = Math.exp(logprob) * 100;
  return p >= 99.995 ? "100 %" : p >= 0.01 ? p.toFixed(2) + " %" : "<0.01 %";
};
const visible = (s) => s.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅";

// tokens shows each token; hovering or focusing one shows its alternatives. The Tab key reaches them as one, arrows move
// between them.
export function tokens(body, list) {
  body.replaceChildren();
  body.blocks = null;
  const box = make("div", { role: "listbox", "aria-label": "Tokens with their probabilities", "aria-orientation": "horizontal" });
  for (const t of list) {
    const p = Math.exp(t.p);
    const span = make("span", { class: "tok p" + (p >= 0.8 ? 1 : p >= 0.3 ? 2 : 3), tabindex: box.firstChild ? "-1" : "0", role: "option",
      "aria-selected": "false", "aria-label": `${visible(t.t)}, ${percent(t.p)}; ` + t.a.map((x) => `${visible(x[0])} ${percent(x[1])}`).join(", ") },
      t.t);
    for (const e of ["mouseenter", "focus"]) span.addEventListener(e, () => tip(span, t));
    for (const e of ["mouseleave", "blur"]) span.addEventListener(e, () => { $("tip").hidden = true; });
    box.append(span);
  }
  box.addEventListener("keydown", move);
  body.append(box);
}

// move goes from the focused token to another one.
function move(e) {
  const from = e.target, box = from.parentElement;
  const to = { ArrowRight: from.nextElementSibling, ArrowDown: from.nextElementSibling, ArrowLeft: from.previousElementSibling,
    ArrowUp: from.previousElementSibling, Home: box.firstElementChild, End: box.lastElementChild }[e.key];
  if (!to) return;
  e.preventDefault();
  from.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}

function tip(span, t) {
  const rows = t.a.some((x) => x[0] === t.t) ? t.a : [[t.t, t.p], ...t.a];
  $("tip").replaceChildren(make("table", { role: "presentation" }, make("tbody", {}, ...rows.map(([text, logprob]) =>
    make("tr", text === t.t ? { class: "chosen" } : {}, make("td", { class: "mono" }, visible(text)),
      make("td", { class: "n" }, percent(logprob)), make("td", { class: "n soft" }, logprob.toFixed(3)))))));
  $("tip").hidden = false;
  const at = span.getClientRects()[0], own = $("tip").getBoundingClientRect();
  const below = at.bottom + 6 + own.height < innerHeight;
  $("tip").style.left = Math.max(8, Math.min(at.left, innerWidth - own.width - 8)) + "px";
  $("tip").style.top = (below ? at.bottom + 6 : at.top - own.height - 6) + "px";
}
