package runs_test

import (
	"context"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// TestScreenshots checks that no page is wider than the screen, at three widths. Where MIXTRAL_SCREENSHOTS names a
// directory, pictures in both themes are kept there.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	dir := twoRuns(t)
	url := serve(t, console.Config{Dir: dir, Start: &console.Starter{Program: os.Args[0],
		KeyEnvs: []string{"STAGING_API_KEY"}}})
	ctx := browser.Tab(t)
	a, b := ids(t, ctx, url)
	for _, p := range [][2]string{{"list", "/"}, {"report", "/runs/" + b}, {"trend", "/trend?figures=all"},
		{"compare", "/compare?a=" + a + "&b=" + b}, {"start", "/start?target=http://127.0.0.1:11400&slo=ttft:p99<2s"},
		{"verify", "/verify"}} {
		browser.Run(t, ctx, chromedp.Navigate(url+p[1]))
		browser.Picture(t, ctx, p[0], true)
	}
}

// ids gives the ids of the two runs, the earlier one first.
func ids(t testing.TB, ctx context.Context, url string) (a, b string) {
	t.Helper()
	var found []string
	browser.Run(t, ctx, chromedp.Navigate(url+"/"), chromedp.Evaluate(
		`[...document.querySelectorAll("input[name=run]")].map((e) => e.value)`, &found))
	if len(found) != 2 {
		t.Fatalf("the list has the runs %v", found)
	}
	return found[1], found[0]
}
