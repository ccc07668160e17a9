package runs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
)

// verdict is the word in the box of the page of a run.
const verdict = `document.querySelector(".verdict .word").textContent`

// TestARunIsWatchedToItsVerdict: the list shows a run that goes on, its page shows the phases, the load, percentiles,
// resources and how each check stands, the connection may break, and at the end there is the verdict and the report.
func TestARunIsWatchedToItsVerdict(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := serve(t, console.Config{Dir: dir})
	ctx := tab(t)
	run(t, ctx, chromedp.Navigate(url+"/"), shows("There are no runs yet"))
	done, reports := make(chan error, 1), make(chan *certify.Report, 1)
	file, target := caseFile(t, "duration_s: 1.5", "duration_s: 5"), server(t, 20*time.Millisecond)
	go func() {
		rep, err := certify.Run(t.Context(), certify.Options{Case: file, Target: target, ReportDir: dir})
		done <- err
		reports <- rep
	}()
	var phases, figures, checks, text, word string
	run(t, ctx, again("a.record.running"), chromedp.Click("a.record.running"),
		until(verdict+` === "RUNNING"`), until(`document.getElementById("state").textContent === "live"`),
		until(`[...document.querySelectorAll(".phases .s-running")].some((e) => e.textContent.includes("sustained"))`),
		until(`document.querySelectorAll(".times tbody tr").length === 3`),
		until(`[...document.querySelectorAll(".checks .pill")].some((e) => e.textContent === "would pass")`),
		until(`document.querySelectorAll("#charts svg.plot").length >= 4`),
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
	keepShot(t, ctx, "live")
	run(t, ctx, until(`["PASS", "FAIL", "INVALID"].includes(`+verdict+`)`), // others may take the machine
		until(`document.getElementById("announce").textContent.includes(`+verdict+`)`),
		chromedp.Evaluate(verdict, &word), chromedp.Click(`//strong[text()="Open the report"]`), shows("A run to look at"), shows("Provenance"),
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

// again loads the page again until a selector is there.
func again(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		for {
			var found bool
			if err := (chromedp.Tasks{chromedp.Reload(), chromedp.Evaluate(fmt.Sprintf(
				`!!document.querySelector(%q)`, selector), &found)}).Do(ctx); err != nil || found {
				return err
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

// keepShot keeps pictures of a page that goes on.
func keepShot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("MIXTRAL_SCREENSHOTS")
	if dir == "" {
		return
	}
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1024, 1920} {
			var picture []byte
			run(t, ctx, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{
				Name: "prefers-color-scheme", Value: theme}}), chromedp.EmulateViewport(width, 900),
				chromedp.FullScreenshot(&picture, 100))
			file := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, theme))
			if err := os.WriteFile(file, picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
