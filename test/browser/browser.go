package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// chromium is one Chromium for all tests of a program.
var chromium struct {
	sync.Once
	ctx  context.Context
	stop func()
	err  error
}

// start starts Chromium, which the system ends with the thread that started it: that one must not end before the
// tests.
func start() {
	started := make(chan struct{})
	go func() {
		goruntime.LockOSThread()
		launch()
		close(started)
		select {}
	}()
	<-started
}

func launch() {
	path, err := exec.LookPath("chromium")
	if err != nil {
		chromium.err = err
		return
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(
		chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.WSURLReadTimeout(patience))...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithBrowserOption(chromedp.WithDialTimeout(patience)))
	chromium.ctx, chromium.stop = ctx, func() { cancel(); stop() }
	chromium.err = chromedp.Run(ctx)
}

// Main runs a program's tests and ends Chromium after them. It gives the exit code for TestMain.
func Main(m *testing.M) int {
	code := m.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	return code
}

const (
	// Within is how long a test may use a tab that Tab opened.
	Within = 9 * time.Minute

	// patience is how long a test waits for one thing. It costs nothing where the thing comes, and machines are busy.
	patience = 2 * time.Minute
)

// Tab opens a tab for a test, which is skipped where there is no Chromium. Errors of scripts, broken policies and
// dialogs on its pages fail the test.
func Tab(t testing.TB) context.Context {
	t.Helper()
	return TabFor(t, Within)
}

// TabFor opens a tab that a test uses for a while.
func TabFor(t testing.TB, within time.Duration) context.Context {
	t.Helper()
	chromium.Do(start)
	if chromium.ctx == nil {
		need.Missing(t, "chromium: %v", chromium.err)
	}
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	// it is closed with the browser: Chromium ends with its last tab
	tab, _ := chromedp.NewContext(chromium.ctx)
	Run(t, tab, emulation.SetFocusEmulationEnabled(true)) // several tabs are in front at once
	t.Cleanup(func() {
		if err := chromedp.Run(tab, chromedp.Navigate("about:blank")); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(tab, within)
	t.Cleanup(cancel)
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page threw: %v", e.ExceptionDetails.Error())
		case *page.EventJavascriptDialogOpening:
			t.Errorf("a dialog opened: %s", e.Message)
		case *log.EventEntryAdded:
			if strings.Contains(e.Entry.Text, "Content Security Policy") && !expected(e.Entry) {
				t.Errorf("the policy was broken: %s", e.Entry.Text)
			}
		}
	})
	return ctx
}

// expected tells the refusals that a test asks for: it fetches what its page must not fetch.
func expected(e *log.Entry) bool { return strings.Contains(e.Text, Forbidden) }

// Forbidden is an address at which nobody listens, and which no page may fetch.
const Forbidden = "http://127.0.0.1:9/"

// Run does something in a tab.
func Run(t testing.TB, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// Until waits until a JavaScript expression is true, also on the page that is loaded next.
func Until(expression string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for ; ; time.Sleep(25 * time.Millisecond) {
			var is bool
			err := chromedp.Evaluate(`(() => { try { return !!(`+expression+`); } catch { return false; } })()`, &is).
				Do(ctx)
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("%s never became true: %w", expression, errors.Join(ctx.Err(), err))
			case err == nil && is:
				return nil
			}
		}
	})
}

// Shows waits until the page shows a text.
func Shows(text string) chromedp.Action {
	return Until(fmt.Sprintf(`document.body.innerText.includes(%s)`, Quote(text)))
}

// Text waits until an element is shown, and reads its text in the same step: a page that goes on may put another
// element in its place between two.
func Text(selector string, to *string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for ; ; time.Sleep(25 * time.Millisecond) {
			var got []string
			err := chromedp.Evaluate(`[...document.querySelectorAll(`+Quote(selector)+`)].slice(0, 1).
				filter((e) => e.getClientRects().length).map((e) => e.innerText)`, &got).Do(ctx)
			switch {
			case ctx.Err() != nil:
				return fmt.Errorf("%s was never shown: %w", selector, errors.Join(ctx.Err(), err))
			case err == nil && len(got) == 1:
				*to = got[0]
				return nil
			}
		}
	})
}

// Click clicks the first element of a CSS selector, or the first button or link whose text is the given one, as soon
// as it is there. The click is the page's own. One that leads to another page comes a moment after the answer: the
// answer would be lost with the page, and what stands on the next one would be clicked.
func Click(what string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		err := Until(`(() => {
			const find = () => {
				let e;
				try { e = document.querySelector(` + Quote(what) + `); } catch { /* a text */ }
				return e ?? [...document.querySelectorAll("button, a, a strong")].find((e) => e.textContent.trim() === ` + Quote(what) + `);
			};
			const e = find();
			if (!e || e.disabled) return false;
			if (e.closest("a[href]") || e.type === "submit" && e.form?.hasAttribute("action")) setTimeout(() => find()?.click(), 20);
			else e.click();
			return true;
		})()`).Do(ctx)
		if err != nil {
			return fmt.Errorf("click %s: %w", what, err)
		}
		return nil
	})
}

// Go clicks what leads to another page, as Click does, and waits until that page is there.
func Go(what string) chromedp.Action {
	return chromedp.Tasks{chromedp.Evaluate(`window.before = true`, nil), Click(what), Until(`!window.before && ` + loaded)}
}

// Again loads the page again until a selector is there.
func Again(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
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

// Quote writes a text as JavaScript does.
func Quote(s string) string {
	data, _ := json.Marshal(s) // a string always has a form
	return string(data)
}
