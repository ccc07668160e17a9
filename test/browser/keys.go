package browser

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// mostStops bounds how many controls of a page are visited.
const mostStops = 400

// reachable goes to the beginning of the page, and gives how many controls there are that the Tab key must reach. They
// are counted again at every stop, since a page that follows something draws its parts anew.
const reachable = `(() => {
	window.stops = () => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")]
		.filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length);
	document.body.tabIndex = -1; // the Tab key begins where the focus was: at the beginning of the page
	document.body.focus();
	document.body.removeAttribute("tabindex");
	scrollTo(0, 0);
	return stops().length;
})()`

// stop tells of the control that has the focus: which of the reachable ones it is, of how many, and what is wrong with
// how it shows that. -1: none has it.
const stop = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body || e === document.documentElement) return { at: -1, of: stops().length, what: "", wrong: "" };
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
	return { at: stops().indexOf(e), of: stops().length, what, wrong, parts: e.type === "date" };
})()`

// Keys walks over the page that a tab shows with the Tab key: every control is reached, in the order of the page, each
// shows that it has the focus, and the way leads out of the page again. The first stop is the link that leads to the
// content, and from there Tab goes on within it.
func Keys(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	wrong, whole := walk(t, ctx)
	for range 5 { // a page that got other controls meanwhile is walked over again
		if whole {
			break
		}
		wrong, whole = walk(t, ctx)
	}
	for _, what := range wrong {
		t.Errorf("%s: %s", name, what)
	}
	var inside string
	var before bool
	if Run(t, ctx, chromedp.Evaluate(reachable, nil), chromedp.Evaluate(
		`!document.querySelector("main").contains(stops()[0])`, &before)); !before {
		return // nothing stands before the content
	}
	Run(t, ctx, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter),
		chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`(() => {
			const e = document.activeElement, main = document.querySelector("main");
			const first = stops().find((s) => main.contains(s));
			return !first || e === first ? "" : e.outerHTML.slice(0, 100);
		})()`, &inside))
	if inside != "" {
		t.Errorf("%s: after the link that skips to the content, Tab leads to %s", name, inside)
	}
}

// walk is one walk over the page. whole: its controls were the same all the time.
func walk(t testing.TB, ctx context.Context) (wrong []string, whole bool) {
	t.Helper()
	var n int
	Run(t, ctx, chromedp.Evaluate(reachable, &n))
	type at struct {
		At, Of      int
		What, Wrong string
		Parts       bool // it has several stops within itself, which the browser makes
	}
	next := func() (s at) {
		Run(t, ctx, chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(stop, &s))
		return s
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	last, visited := -1, 0
	for range min(n, mostStops) + 2 {
		s := next()
		for s.Parts && s.At == last {
			s = next()
		}
		if s.Of != n {
			return append(wrong, fmt.Sprintf("it had %d controls and has %d", n, s.Of)), false
		}
		if s.At < 0 && s.What == "" || last == n-1 && s.At == 0 {
			break // out of the page, or with no browser around it at its beginning again
		}
		if s.Wrong != "" {
			say("%s %s", s.What, s.Wrong)
		}
		if s.At != last+1 {
			say("from control %d of %d the Tab key leads to %d, %s", last, n, s.At, s.What)
			if s.At < 0 {
				break
			}
		}
		last = s.At
		visited++
	}
	if visited != min(n, mostStops) {
		say("the Tab key visits %d of %d controls", visited, n)
	}
	return wrong, true
}
