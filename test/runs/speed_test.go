package runs_test

import (
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// stillShift is how far a page may move and still count as standing still: 1 is the whole screen by its own height,
// and browsers call a page good below 0.1.
const stillShift = 0.02

// TestLivePageStandsStill: nothing that people look at moves while a run goes on, from its beginning to its verdict.
func TestLivePageStandsStill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := serve(t, console.Config{Dir: dir})
	file := caseFile(t, "duration_s: 1.5", "duration_s: 5")
	target, release := gated(t, 20*time.Millisecond)
	ctx := browser.Tab(t)
	browser.Run(t, ctx, browser.Watch(), chromedp.EmulateViewport(1024, 850), chromedp.Navigate(url+"/"))
	done := make(chan error, 1)
	go func() {
		_, err := certify.Run(t.Context(), certify.Options{Case: file, Target: target, ReportDir: dir})
		done <- err
	}()
	browser.Run(t, ctx, browser.Again("a.record.running"), browser.Go("a.record.running"),
		browser.Until(`document.querySelector(".checks")`))
	release()
	browser.Run(t, ctx, browser.Until(`["PASS", "FAIL", "INVALID"].includes(`+verdict+`)`))
	w := browser.Seen(t, ctx)
	if w.Shift > stillShift {
		t.Errorf("the page moved by %.3g: %v", w.Shift, w.Shifted)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// BenchmarkFirstPaint is after how long each page shows its first text, without anything in the browser's cache.
func BenchmarkFirstPaint(b *testing.B) {
	url := serve(b, console.Config{Dir: twoRuns(b), Start: &console.Starter{Program: os.Args[0]}})
	first, second := ids(b, browser.Tab(b), url)
	browser.BenchmarkPaints(b, url, map[string]string{"list": "/", "report": "/runs/" + second, "trend": "/trend",
		"compare": "/compare?a=" + first + "&b=" + second, "start": "/start", "login": "/login"})
}
