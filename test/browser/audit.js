// What a page is checked for in the browser, as it is drawn. It gives a list of what is wrong.
(() => {
  const wrong = [];
  const all = (selector, of = document) => [...of.querySelectorAll(selector)];
  const name = (e) => e.localName + (e.id ? "#" + e.id : e.getAttribute("class") ? "." + e.getAttribute("class").trim().split(/\s+/).join(".") : "");
  const text = (e) => (e.getAttribute("aria-label") ?? e.textContent ?? "").trim().replace(/\s+/g, " ").slice(0, 40);
  const shown = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getClientRects().length > 0;
  const say = (what, e, more = "") => wrong.push(`${what}: ${e ? name(e) + " “" + text(e) + "”" : ""} ${more}`.trim());

  // colours, as four numbers
  const parse = (c) => {
    const m = /^rgba?\(([^)]+)\)$/.exec(c);
    if (!m) return null;
    const [r, g, b, a = 1] = m[1].split(/[\s,/]+/).filter(Boolean).map((x) => x.endsWith("%") ? parseFloat(x) / 100 : Number(x));
    return [r, g, b, a];
  };
  const over = (top, under, opacity = 1) => {
    const a = top[3] * opacity;
    return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a)).concat(1);
  };
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((x) => { x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  // ground is what an element is painted on: its own background, or what shines through it.
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const c = parse(getComputedStyle(at).backgroundColor);
      if (c && c[3] > 0) { layers.push(c); if (c[3] === 1) break; }
    }
    let under = parse(getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)");
    for (const c of layers.reverse()) under = over(c, under);
    return under;
  };
  const round = (x) => x.toFixed(2) + ":1";

  // every text against what it stands on
  const seen = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || !e || seen.has(e) || !shown(e) || e.closest(".offscreen, script, style, title, desc, option, :disabled")) continue;
    seen.add(e);
    const s = getComputedStyle(e), svg = e.ownerSVGElement;
    const c = parse(svg ? s.fill : s.color);
    if (!c) { say("a colour that cannot be read", e, svg ? s.fill : s.color); continue; }
    const large = parseFloat(s.fontSize) >= 24 || parseFloat(s.fontSize) >= 18.66 && Number(s.fontWeight) >= 700;
    const under = ground(svg ? e.closest("svg:not(svg svg)")?.parentElement ?? e : e), k = contrast(over(c, under), under);
    if (k < (large ? 3 : 4.5)) say("text without contrast", e, round(k));
  }
  for (const e of all("input, textarea").filter((e) => shown(e) && e.placeholder)) {
    const k = contrast(over(parse(getComputedStyle(e, "::placeholder").color), ground(e)), ground(e));
    if (k < 4.5) say("placeholder without contrast", e, round(k));
  }
  // edges of controls: where there is an edge or a ground of its own, one of them tells the control from what is around
  for (const e of all("input:not([type=hidden]), textarea, select, button, a.button").filter((e) => shown(e) && !e.disabled && !e.closest(".offscreen"))) {
    const s = getComputedStyle(e), around = ground(e.parentElement), own = ground(e), edge = parse(s.borderTopColor);
    if (["checkbox", "radio", "file"].includes(e.type)) continue; // the browser's own
    const bordered = parseFloat(s.borderTopWidth) > 0 && edge[3] > 0;
    if (!bordered && contrast(own, around) < 1.02) continue; // it is text
    const best = Math.max(bordered ? contrast(over(edge, around), around) : 1, contrast(own, around));
    if (best < 3) say("control without an edge", e, round(best));
  }
  // what draws figures in plots
  for (const e of all(".plot .line, .plot .dots, .plot .whisker, .plot .target, .plot .version, .figure polyline, .bar .whisker, .bar .goal").filter(shown)) {
    const s = getComputedStyle(e), c = parse(s.stroke), under = ground(e.closest("svg:not(svg svg)").parentElement);
    if (!c) continue;
    const k = contrast(over(c, under, Number(s.strokeOpacity) * Number(s.opacity)), under);
    if (k < 3) say("line of a plot without contrast", e, `${e.getAttribute("class")} ${round(k)}`);
  }
  for (const e of all(".bar .fill, .key i:not(.band)").filter(shown)) {
    const s = getComputedStyle(e), under = ground(e.closest("svg")?.parentElement ?? e.parentElement);
    const c = e.ownerSVGElement ? parse(s.fill) : parse(parseFloat(s.borderTopWidth) > 0 ? s.borderTopColor : s.backgroundColor);
    const k = c ? contrast(over(c, under, e.ownerSVGElement ? Number(s.fillOpacity) : 1), under) : 99;
    if (k < 3) say("mark of a plot without contrast", e, `${e.getAttribute("class")} ${round(k)}`);
  }
  const root = getComputedStyle(document.documentElement), colour = (name) => {
    const n = parseInt(root.getPropertyValue(name).trim().slice(1), 16);
    return [n >> 16, n >> 8 & 255, n & 255, 1];
  };
  if (all("progress").some(shown)) { // their parts cannot be asked for
    for (const v of ["--c1", "--pass", "--invalid"]) {
      for (const u of ["--bg", "--grid"]) {
        const k = contrast(colour(v), colour(u));
        if (k < 3) say("progress without contrast", null, `${v} on ${u} ${round(k)}`);
      }
    }
  }

  // landmarks, headings, title, language
  if (!document.documentElement.lang) say("no language");
  if (!document.title.trim() || document.title.trim().length < 6) say("no title", null, document.title);
  if (all("main").length !== 1) say("not one main", null, String(all("main").length));
  if (all("header").length < 1) say("no header");
  const heads = all("h1, h2, h3, h4, h5, h6").filter((e) => e.checkVisibility());
  if (heads.filter((e) => e.localName === "h1").length !== 1) say("not one h1", null, heads.map(name).join(" "));
  heads.reduce((was, e) => { const is = Number(e.localName[1]); if (is > was + 1) say("a heading that skips a level", e); return is; }, 0);
  const unlabelled = new Map();
  for (const e of all("nav, aside, section[aria-label], [role=region], [role=search]").filter(shown)) {
    const key = (e.getAttribute("role") ?? e.localName) + "/" + (e.getAttribute("aria-label") ?? "");
    if (["nav", "aside"].includes(e.localName) && !e.getAttribute("aria-label")) say("a landmark without a name", e);
    if (unlabelled.has(key)) say("two landmarks of one name", e);
    unlabelled.set(key, e);
  }
  // tables: a caption or name, heads with their scope
  for (const e of all("table:not([role=presentation])").filter((e) => e.checkVisibility())) {
    if (!e.caption?.textContent.trim() && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) say("a table without a caption", e);
    if (!e.querySelector("thead th")) say("a table without heads", e);
    for (const th of all("th", e)) if (!th.scope) say("a head without a scope", th);
    for (const th of all("thead th", e)) if (!th.textContent.trim() && !th.getAttribute("aria-label")) say("an empty head", th, text(e));
  }
  // plots say in words what they show
  for (const e of all("svg").filter((e) => !e.ownerSVGElement && shown(e))) {
    const ids = (e.getAttribute("aria-labelledby") ?? "").split(/\s+/).filter(Boolean);
    const said = e.getAttribute("aria-label") ?? ids.map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    if (e.getAttribute("aria-hidden") === "true") continue;
    if (e.getAttribute("role") !== "img" || said.trim().length < 8) say("a plot without words", e, said);
  }
  for (const e of all("[id]")) if (all("#" + CSS.escape(e.id)).length > 1) say("an id that stands twice", e);
  // what scrolls can be scrolled with keys
  for (const e of all("body *").filter(shown)) {
    const s = getComputedStyle(e);
    if (/auto|scroll/.test(s.overflowX + s.overflowY) && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1) && !e.ownerSVGElement &&
      e.tabIndex < 0 && !e.querySelector("a[href], button, input, select, textarea, [tabindex='0']") && e.localName !== "textarea") say("it scrolls, but not with keys", e);
  }
  // targets that a finger can hit: 24 by 24, or as far from the next one
  for (const e of all("button, a.button, select, input:not([type=hidden]):not([type=checkbox])").filter((e) => shown(e) && !e.closest(".offscreen") && e.type !== "file")) {
    const r = e.getBoundingClientRect();
    if (r.width < 24 || r.height < 24) say("too small to hit", e, `${Math.round(r.width)}×${Math.round(r.height)}`);
  }
  return [...new Set(wrong)];
})()
