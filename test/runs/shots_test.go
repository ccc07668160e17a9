package runs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/internal/web/console"
)

// TestScreenshots checks that no page is wider than the screen, at three widths and in both themes. Where
// MIXTRAL_SCREENSHOTS names a directory, the pictures are kept there.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	dir := twoRuns(t)
	url := serve(t, console.Config{Dir: dir, Start: &console.Starter{Program: os.Args[0],
		KeyEnvs: []string{"STAGING_API_KEY"}}})
	keep := os.Getenv("MIXTRAL_SCREENSHOTS")
	ctx := tab(t)
	a, b := ids(t, ctx, url)
	themes := []string{"light", "dark"}
	if keep == "" {
		themes = themes[:1] // they differ in colours alone
	}
	for _, theme := range themes {
		run(t, ctx, emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme",
			Value: theme}}))
		for _, width := range []int64{390, 1024, 1920} {
			for _, p := range [][2]string{{"list", "/"}, {"report", "/runs/" + b}, {"trend", "/trend?figures=all"},
				{"compare", "/compare?a=" + a + "&b=" + b}, {"start",
					"/start?target=http://127.0.0.1:11400&slo=ttft:p99<2s"},
				{"verify", "/verify"}} {
				shot(t, ctx, url+p[1], width, fmt.Sprintf("%s-%d-%s.png", p[0], width, theme), keep)
			}
		}
	}
}

// ids gives the ids of the two runs, the earlier one first.
func ids(t *testing.T, ctx context.Context, url string) (a, b string) {
	t.Helper()
	var found []string
	run(t, ctx, chromedp.Navigate(url+"/"), chromedp.Evaluate(
		`[...document.querySelectorAll("input[name=run]")].map((e) => e.value)`, &found))
	if len(found) != 2 {
		t.Fatalf("the list has the runs %v", found)
	}
	return found[1], found[0]
}

func shot(t *testing.T, ctx context.Context, url string, width int64, name, keep string) {
	t.Helper()
	var picture []byte
	var wide bool
	actions := []chromedp.Action{chromedp.EmulateViewport(width, 900), chromedp.Navigate(url),
		chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth`, &wide)}
	if keep != "" {
		actions = append(actions, chromedp.FullScreenshot(&picture, 100))
	}
	run(t, ctx, actions...)
	if wide {
		t.Errorf("%s: the page is wider than the screen", name)
	}
	if keep != "" {
		if err := os.WriteFile(filepath.Join(keep, name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
