package runs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// verdict is the word in the box of the page of a run.
const verdict = `document.querySelector(".verdict .word").textContent`

// TestARunIsWatchedToItsVerdict: the list shows a run that goes on, its page shows the phases, the load, percentiles,
// resources and how each check stands, the connection may break, and at the end there is the verdict and the report.
func TestARunIsWatchedToItsVerdict(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := serve(t, console.Config{Dir: dir})
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.Navigate(url+"/"), browser.Shows("There are no runs yet"))
	done, reports := make(chan error, 1), make(chan *certify.Report, 1)
	file := caseFile(t)
	target, release := gated(t, 20*time.Millisecond)
	go func() {
		rep, err := certify.Run(t.Context(), certify.Options{Case: file, Target: target, ReportDir: dir})
		done <- err
		reports <- rep
	}()
	var phases, figures, checks, text, word string
	browser.Run(t, ctx, browser.Again("a.record.running"), browser.Go("a.record.running"),
		browser.Until(verdict+` === "RUNNING"`), browser.Until(`document.getElementById("state").textContent === "live"`),
		browser.Until(`[...document.querySelectorAll(".phases .s-running")].some((e) => e.textContent.includes("sustained"))`),
		browser.Until(`document.querySelectorAll(".times tbody tr").length === 3`),
		browser.Until(`[...document.querySelectorAll(".checks .pill")].some((e) => e.textContent === "would pass")`),
		browser.Until(`document.querySelectorAll("#charts svg.plot").length >= 4`),
		chromedp.Evaluate(`document.getElementById("phases").innerText`, &phases),
		chromedp.Evaluate(`document.getElementById("figures").innerText`, &figures),
		chromedp.Evaluate(`document.getElementById("checks").innerText`, &checks))
	for _, want := range []string{"warmup", "single", "sustained", "done", "running"} {
		if !strings.Contains(phases, want) {
			t.Errorf("the phases do not say %q:\n%s", want, phases)
		}
	}
	for _, want := range []string{"requests/s", "offered", "In flight", "GB", "cores"} {
		if !strings.Contains(figures, want) {
			t.Errorf("the figures do not say %q:\n%s", want, figures)
		}
	}
	if !strings.Contains(checks, "open") || !strings.Contains(checks, "fast answers") {
		t.Errorf("the checks are:\n%s", checks)
	}
	browser.Picture(t, ctx, "live", true)
	release()
	browser.Run(t, ctx, browser.Until(`["PASS", "FAIL", "INVALID"].includes(`+verdict+`)`), // others may take the machine
		browser.Until(`document.getElementById("announce").textContent.includes(`+verdict+`)`),
		chromedp.Evaluate(verdict, &word), browser.Go("Open the report"), browser.Shows("A run to look at"),
		browser.Shows("Provenance"),
		chromedp.Evaluate(`document.querySelector("nav.tools").innerText`, &text))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if rep := <-reports; rep == nil || string(rep.Status) != word {
		t.Errorf("the page says %s, the report %+v", word, rep)
	}
	if !strings.Contains(text, "Record") {
		t.Errorf("the report's tools are %q", text)
	}
}
