package browser

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// mostStops bounds how many controls of a page are visited.
const mostStops = 400

// reachable marks what the Tab key must reach, in the order in which it stands on the page, and gives how many there
// are.
const reachable = `(() => {
	window.stops = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")]
		.filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length);
	document.body.tabIndex = -1; // the Tab key begins where the focus was: at the beginning of the page
	document.body.focus();
	document.body.removeAttribute("tabindex");
	scrollTo(0, 0);
	return window.stops.length;
})()`

// stop tells of the control that has the focus: which of the reachable ones it is, and what is wrong with how it shows
// that. -1: none has it.
const stop = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body || e === document.documentElement) return { at: -1, what: "", wrong: "" };
	const what = e.localName + (e.id ? "#" + e.id : "") + " “" + (e.getAttribute("aria-label") ?? e.textContent ?? "").trim().slice(0, 30) + "”";
	const sees = (n) => { const s = getComputedStyle(n); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 && s.outlineColor; };
	const ring = sees(e) || (e.type === "file" && e.closest("label") && sees(e.closest("label").querySelector("span")));
	const r = (e.type === "file" ? e.closest("label") ?? e : e).getBoundingClientRect();
	let wrong = "";
	if (!ring) wrong = "does not show that it has the focus";
	else if (r.bottom <= 0 || r.top >= innerHeight || r.right <= 0 || r.left >= innerWidth) wrong = "has the focus outside the screen";
	else {
		const rgb = (c) => c.match(/[\d.]+/g).map(Number);
		const light = (c) => { const [x, y, z] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
		let under = e.parentElement;
		while (under && (rgb(getComputedStyle(under).backgroundColor)[3] ?? 1) === 0) under = under.parentElement;
		const [a, b] = [light(rgb(ring)), light(rgb(getComputedStyle(under ?? document.body).backgroundColor))].sort((p, q) => q - p);
		if ((a + 0.05) / (b + 0.05) < 3) wrong = "has a ring without contrast";
	}
	return { at: window.stops.indexOf(e), what, wrong, parts: e.type === "date" };
})()`

// Keys walks over the page that a tab shows with the Tab key: every control is reached, in the order of the page, each
// shows that it has the focus, and the way leads out of the page again. The first stop is the link that leads to the
// content, and from there Tab goes on within it.
func Keys(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	var n int
	Run(t, ctx, chromedp.Evaluate(reachable, &n))
	type at struct {
		At          int
		What, Wrong string
		Parts       bool // it has several stops within itself, which the browser makes
	}
	last, visited := -1, 0
	for range min(n, mostStops) + 2 {
		var s at
		Run(t, ctx, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(stop, &s))
		if s.At < 0 && s.What == "" {
			break // out of the page
		}
		for s.Parts && s.At == last {
			s = at{}
			Run(t, ctx, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(stop, &s))
		}
		if s.Wrong != "" {
			t.Errorf("%s: %s %s", name, s.What, s.Wrong)
		}
		if s.At != last+1 {
			t.Errorf("%s: from control %d of %d the Tab key leads to %d, %s", name, last, n, s.At, s.What)
			if s.At < 0 {
				break
			}
		}
		last = s.At
		visited++
	}
	if visited != min(n, mostStops) {
		t.Errorf("%s: the Tab key visits %d of %d controls", name, visited, n)
	}
	var inside string
	var before bool
	if Run(t, ctx, chromedp.Evaluate(reachable, nil), chromedp.Evaluate(
		`!document.querySelector("main").contains(stops[0])`, &before)); !before {
		return // nothing stands before the content
	}
	Run(t, ctx, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter),
		chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`(() => {
			const e = document.activeElement, main = document.querySelector("main");
			const first = window.stops.find((s) => main.contains(s));
			return !first || e === first ? "" : e.outerHTML.slice(0, 100);
		})()`, &inside))
	if inside != "" {
		t.Errorf("%s: after the link that skips to the content, Tab leads to %s", name, inside)
	}
}
