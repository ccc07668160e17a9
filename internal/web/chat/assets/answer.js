// How an answer is shown: readable text, or its tokens with their alternatives.
import { make, $ } from "./common.js";

// blocks splits a text at fences of code and at empty lines.
function blocks(text) {
  const list = [];
  let code = null, part = [];
  const flush = () => { if (part.length) list.push({ kind: "p", text: part.join("\n") }); part = []; };
  for (const line of text.split("\n")) {
    if (code) {
      if (/^\s*```\s*$/.test(line)) { list.push({ kind: "pre", text: code.join("\n") }); code = null; }
      else code.push(line);
    } else if (/^\s*```/.test(line)) { flush(); code = []; }
    else if (line.trim() === "") flush();
    else if (/^#{1,6} /.test(line)) { flush(); list.push({ kind: "head", text: line.replace(/^#+ /, "") }); }
    else part.push(line);
  }
  if (code) list.push({ kind: "pre", text: code.join("\n") });
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
  if (b.kind === "pre") return make("pre", { tabindex: "0" }, b.text);
  return make("p", b.kind === "head" ? { class: "head" } : {}, ...inline(b.text));
}

// show brings a body up to date. Only blocks that changed are made again: while an answer streams, that is the last.
export function show(body, text) {
  const want = blocks(text), had = body.blocks ?? [];
  let same = 0;
  while (same < had.length && same < want.length && had[same].kind === want[same].kind &&
    had[same].text === want[same].text) same++;
  while (body.childNodes.length > same) body.lastChild.remove();
  for (const b of want.slice(same)) body.append(element(b));
  body.blocks = want;
}

const percent = (logprob) => {
  const p = Math.exp(logprob) * 100;
  return p >= 99.995 ? "100 %" : p >= 0.01 ? p.toFixed(2) + " %" : "<0.01 %";
};
const visible = (s) => s.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅";

// tokens shows each token; hovering or focusing one shows its alternatives.
export function tokens(body, list) {
  body.replaceChildren();
  body.blocks = null;
  for (const t of list) {
    const p = Math.exp(t.p);
    const span = make("span", { class: "tok p" + (p >= 0.8 ? 1 : p >= 0.3 ? 2 : 3), tabindex: "0",
      "aria-label": `${visible(t.t)}, ${percent(t.p)}; ` + t.a.map((x) => `${visible(x[0])} ${percent(x[1])}`).join(", ") },
      t.t);
    for (const e of ["mouseenter", "focus"]) span.addEventListener(e, () => tip(span, t));
    for (const e of ["mouseleave", "blur"]) span.addEventListener(e, () => { $("tip").hidden = true; });
    body.append(span);
  }
}

function tip(span, t) {
  const rows = t.a.some((x) => x[0] === t.t) ? t.a : [[t.t, t.p], ...t.a];
  $("tip").replaceChildren(make("table", {}, make("tbody", {}, ...rows.map(([text, logprob]) =>
    make("tr", text === t.t ? { class: "chosen" } : {}, make("td", { class: "mono" }, visible(text)),
      make("td", { class: "n" }, percent(logprob)), make("td", { class: "n soft" }, logprob.toFixed(3)))))));
  $("tip").hidden = false;
  const at = span.getClientRects()[0], own = $("tip").getBoundingClientRect();
  const below = at.bottom + 6 + own.height < innerHeight;
  $("tip").style.left = Math.max(8, Math.min(at.left, innerWidth - own.width - 8)) + "px";
  $("tip").style.top = (below ? at.bottom + 6 : at.top - own.height - 6) + "px";
}
