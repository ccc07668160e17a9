package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var (
	// Widths are those of a telephone, a small window and a large screen.
	Widths = []int64{390, 1024, 1920}
	// Themes are what a browser may prefer.
	Themes = []string{"light", "dark"}
)

const height = 850

// Theme has the pages of a tab prefer light or dark colours.
func Theme(theme string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme",
		Value: theme}})
}

// Pictures is the directory in which pictures of pages are kept; empty: nobody wants any.
func Pictures() string { return os.Getenv("MIXTRAL_SCREENSHOTS") }

// Picture checks that the page is no wider than a screen of each width, and keeps pictures of it where somebody wants
// them: of the whole page, or else of what the screen shows. prepare are done at each width before that.
func Picture(t testing.TB, ctx context.Context, name string, whole bool, prepare ...chromedp.Action) {
	t.Helper()
	dir, themes := Pictures(), Themes
	if dir == "" {
		themes = themes[:1] // they differ in colours alone
	}
	Run(t, ctx, Until(loaded))
	for _, theme := range themes {
		for _, width := range Widths {
			Run(t, ctx, Theme(theme), chromedp.EmulateViewport(width, height))
			Run(t, ctx, prepare...)
			var wide string
			Run(t, ctx, chromedp.Evaluate(widest, &wide))
			if wide != "" {
				t.Errorf("%s: at a width of %d the page scrolls sideways: %s", name, width, wide)
			}
			if dir == "" {
				continue
			}
			var picture []byte
			shoot := chromedp.CaptureScreenshot(&picture)
			if whole {
				shoot = chromedp.FullScreenshot(&picture, 100)
			}
			Run(t, ctx, shoot)
			file := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, width, theme))
			if err := os.WriteFile(file, picture, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	Run(t, ctx, Theme(""), chromedp.EmulateViewport(1024, height))
}

// State checks a state of a page for everyone: all that Audit does, with the width of a telephone too but for the
// keyboard, and Picture of the whole page.
func State(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	Run(t, ctx, chromedp.EmulateViewport(Widths[0], height))
	AuditOf(t, ctx, name+" on a telephone")
	Run(t, ctx, chromedp.EmulateViewport(1024, height))
	Audit(t, ctx, name)
	Picture(t, ctx, name, true)
}

// widest names the element that makes the page wider than the screen.
const widest = `(() => {
	if (document.documentElement.scrollWidth <= innerWidth) return "";
	const list = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5);
	const e = list.at(-1);
	return e ? e.localName + "." + e.className + " " + e.textContent.slice(0, 40) : "unknown";
})()`
