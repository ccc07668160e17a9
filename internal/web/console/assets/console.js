// What the console's pages do beside being read: they follow a run, show a form's command line, and count what is chosen.

const $ = (id) => document.getElementById(id);

// follow replaces the parts of a page that the server sends. It made them itself, with every text in them escaped; no
// text is made markup here. A browser that loses the connection asks again, and gets all parts.
function follow(address) {
  const state = $("state"), source = new EventSource(address), parser = new DOMParser();
  source.addEventListener("open", () => { state.textContent = "live"; });
  source.addEventListener("error", () => { state.textContent = source.readyState === EventSource.CLOSED ? "The connection has ended." : "The connection is lost; trying again."; });
  source.addEventListener("message", (e) => {
    const news = JSON.parse(e.data);
    for (const [id, html] of Object.entries(news.regions)) {
      const part = $(id);
      if (!part) continue;
      replace(part, parser.parseFromString(html, "text/html").body.childNodes);
    }
    if (news.final) { source.close(); state.textContent = "ended"; done(); }
  });
}

const controls = "a, button, [tabindex]";

// replace gives a part new contents. What has the focus keeps it, and what was scrolled stays where it was; an output
// that was read to its end follows it.
function replace(part, contents) {
  const boxes = () => [...part.querySelectorAll(".scroll, .output")];
  const were = boxes().map((e) => ({ left: e.scrollLeft, top: e.scrollTop, below: e.scrollHeight - e.scrollTop - e.clientHeight < 30 }));
  const focus = part.contains(document.activeElement) ? [...part.querySelectorAll(controls)].indexOf(document.activeElement) : -1;
  part.replaceChildren(...contents);
  for (const [i, e] of boxes().entries()) {
    const was = were[i];
    if (was) e.scrollLeft = was.left;
    e.scrollTop = !e.matches(".output") ? 0 : was && !was.below ? was.top : e.scrollHeight;
  }
  if (focus >= 0) part.querySelectorAll(controls)[focus]?.focus({ preventScroll: true });
}

// done lets another run be started.
function done() {
  const start = document.querySelector("#startform button.main");
  if (start) start.disabled = false;
}

for (const part of document.querySelectorAll("[data-stream]")) {
  if (part.dataset.stream) follow(part.dataset.stream);
}
for (const output of document.querySelectorAll(".output")) output.scrollTop = output.scrollHeight;

const form = $("startform");
if (form) {
  let asked = 0;
  // mark shows which field a problem is about: its text names it.
  const mark = (problem) => {
    for (const e of form.elements) if (e.name) e.ariaInvalid = problem.includes(`: ${e.name}: `) ? "true" : null;
  };
  mark($("problem")?.textContent ?? "");
  const show = async () => {
    const n = ++asked;
    try {
      const answer = await fetch(form.dataset.command, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const text = await answer.text();
      if (n !== asked) return;
      if (answer.ok) $("command").textContent = text;
      $("problem")?.remove(); // it was about what was sent before
      mark(answer.ok ? "" : text);
      $("commandproblem").textContent = answer.ok ? "" : text.trim();
      $("commandproblem").hidden = answer.ok;
    } catch { /* the console has gone: the button will say so */ }
  };
  let later;
  form.addEventListener("input", () => { clearTimeout(later); later = setTimeout(show, 150); });
  const copy = $("copycommand");
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText($("command").textContent);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy the command"; }, 1500);
  });
}

const choose = $("choose");
if (choose) {
  const count = () => {
    const n = choose.querySelectorAll("input:checked").length;
    $("comparebutton").disabled = n !== 2;
    $("comparebutton").textContent = n === 2 ? "Compare these two" : n > 2 ? "Choose two runs, not " + n : "Choose two runs to compare";
  };
  choose.addEventListener("change", count);
  addEventListener("pageshow", count);
}
