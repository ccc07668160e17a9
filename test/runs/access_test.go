package runs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// TestEveryoneCanUseIt: each page, for people with a screen reader, without a mouse, and with weak eyes.
func TestEveryoneCanUseIt(t *testing.T) {
	t.Parallel()
	url := serve(t, console.Config{Dir: twoRuns(t), Start: &console.Starter{Program: os.Args[0],
		KeyEnvs: []string{"STAGING_API_KEY"}}})
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.EmulateViewport(1024, 850))
	a, b := ids(t, ctx, url)
	for _, p := range [][2]string{{"the list", "/"}, {"a report", "/runs/" + b}, {"the trends", "/trend?figures=all"},
		{"a comparison", "/compare?a=" + a + "&b=" + b}, {"the form", "/start?target=http://127.0.0.1:11400"},
		{"the login", "/login"}, {"no such page", "/nothing"}, {"a filter that takes nothing", "/?text=nothing"},
		{"a wrong filter", "/?from=yesterday"}} {
		browser.Run(t, ctx, chromedp.Navigate(url+p[1]))
		browser.Audit(t, ctx, p[0])
	}
	files, err := filepath.Glob(filepath.Join(twoRuns(t), "*.html"))
	if err != nil || len(files) == 0 {
		t.Fatal("no pages of reports", err)
	}
	browser.Run(t, ctx, chromedp.Navigate("file://"+files[0]))
	browser.AuditOf(t, ctx, "a report's own page")
}

// TestEveryoneCanWatch: the list and the page of a run that goes on, and the page when it has ended.
func TestEveryoneCanWatch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := serve(t, console.Config{Dir: dir})
	target := server(t, 20*time.Millisecond)
	file := caseFile(t, "duration_s: 1.5", "duration_s: 3600") // it is stopped
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.EmulateViewport(1024, 850), chromedp.Navigate(url+"/"))
	run, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := certify.Run(run, certify.Options{Case: file, Target: target, ReportDir: dir})
		done <- err
	}()
	browser.Run(t, ctx, browser.Again("a.record.running"))
	browser.Audit(t, ctx, "the list with a run")
	browser.Run(t, ctx, browser.Go("a.record.running"),
		browser.Until(`document.querySelectorAll("#charts svg.plot").length >= 5 && document.querySelector(".checks")`))
	browser.Audit(t, ctx, "a run")
	// a part that is drawn anew keeps the focus
	browser.Run(t, ctx, chromedp.Evaluate(`(window.was = document.querySelector("#times .scroll")).focus()`, nil),
		browser.Until(`!was.isConnected && document.activeElement.matches("#times .scroll")`))
	stop()
	browser.Run(t, ctx, browser.Until(`["PASS", "FAIL", "INVALID"].includes(`+verdict+`)`))
	browser.Audit(t, ctx, "a run that has ended")
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
