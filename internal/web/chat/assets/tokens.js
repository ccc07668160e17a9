// Text to ids and back.
import { make, $, call, show } from "./common.js";

const MOST = 400; // tokens whose texts are asked for: more are shown as ids only
let ids = [], turn = 0;
const texts = new Map(); // id → its text after another token; ids mean the same for as long as the page is open

async function text(list) { return (await (await call("/detokenize", { tokens: list })).json()).prompt; }

// piece gives the text of a token within a text. Alone, a token loses the space that it begins with: so it is read
// behind another one, and that one's text is cut off.
async function piece(id) {
  if (!texts.has(id)) {
    const [both, one] = await Promise.all([text([id, id]), text([id])]);
    texts.set(id, both.endsWith(one) && both.length >= one.length ? both.slice(one.length) : one);
  }
  return texts.get(id);
}

const visible = (s) => s.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅";

async function encode() {
  const mine = ++turn;
  try {
    const list = (await (await call("/tokenize", { prompt: $("text").value, add_special_tokens: $("special").checked })).json());
    if (mine !== turn) return;
    ids = list.tokens;
    show($("trouble"));
    $("count").textContent = `${list.count} of the ${list.max_model_len} tokens that the context holds; characters: ${[...$("text").value].length}`;
    const shown = ids.slice(0, MOST);
    const boxes = shown.map((id) => make("span", { class: "piece", role: "listitem" }, make("b", {}, "…"), make("i", {}, String(id))));
    $("pieces").replaceChildren(...boxes);
    if (ids.length > MOST) $("pieces").append(make("span", { class: "soft" }, `and ${ids.length - MOST} more: ${ids.slice(MOST, 2 * MOST).join(" ")}${ids.length > 2 * MOST ? " …" : ""}`));
    let next = 0;
    await Promise.all(Array.from({ length: 4 }, async () => {
      while (next < shown.length && mine === turn) {
        const i = next++;
        boxes[i].firstChild.textContent = visible(await piece(shown[i]));
      }
    }));
  } catch (e) { if (mine === turn) trouble(e); }
}

// trouble says what went wrong.
function trouble(e) {
  show($("trouble"), e.status === 501 ? "This service passes requests on to another server, and that one does not tell how it makes tokens of a text." : e.message);
}

async function decode() {
  const words = $("ids").value.split(/[\s,[\]]+/).filter(Boolean), bad = words.find((w) => !/^\d+$/.test(w));
  if (bad) return show($("trouble"), `“${bad}” is not an id: ids are whole numbers from 0 on`);
  try {
    $("back").textContent = words.length ? await text(words.map(Number)) : "";
    show($("trouble"));
  } catch (e) { trouble(e); }
}

const later = (f) => { let t; return () => { clearTimeout(t); t = setTimeout(f, 200); }; };
$("text").addEventListener("input", later(encode));
$("special").addEventListener("change", encode);
$("ids").addEventListener("input", later(decode));
$("copyids").addEventListener("click", () => { $("ids").value = ids.join(" "); decode(); });
addEventListener("newkey", encode);
$("text").value = "The quick brown fox jumps over the lazy dog.";
encode();
