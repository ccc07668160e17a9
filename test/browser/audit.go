package browser

import (
	"context"
	_ "embed"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/test/npm"
)

//go:embed audit.js
var audit string

// Audit checks the page that a tab shows, in light and dark: contrast as it is drawn, landmarks, headings, names,
// tables, plots; with axe-core by the rules of WCAG 2.2 AA; and all of it by the keyboard alone, as Keys does. It
// leaves the page in light colours, at its beginning.
func Audit(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	AuditOf(t, ctx, name)
	Keys(t, ctx, name)
}

// AuditOf is Audit without the keyboard.
func AuditOf(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	axe := axe(t)
	Run(t, ctx, Until(loaded))
	for i, theme := range Themes {
		var wrong, more []string
		Run(t, ctx, Theme(theme), chromedp.Evaluate(audit, &wrong))
		if i == 0 { // themes differ in colours alone, which the audit has looked at
			Run(t, ctx, chromedp.Evaluate(axe+";0", nil), chromedp.Evaluate(violations, &more, await))
		}
		for _, what := range append(wrong, more...) {
			t.Errorf("%s, %s: %s", name, theme, what)
		}
	}
	Run(t, ctx, Theme("light"))
}

// loaded is true when a page has its style sheets: what is looked at before that is a page without any.
const loaded = `document.readyState === "complete"`

func await(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// violations runs axe-core.
const violations = `axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa",
	"wcag22aa", "best-practice"] }).then((r) => r.violations.flatMap((v) => v.nodes.map((n) =>
	"axe " + v.id + ": " + n.target.join(" ") + " " + n.html.slice(0, 120) + " " + (n.any[0]?.message ?? n.all[0]?.message ?? n.none[0]?.message ?? ""))))`

var axeOnce struct {
	sync.Once
	text string
	err  error
}

// axe gives the text of axe-core. npm brings it, once, with its hash in package-lock.json.
func axe(t testing.TB) string {
	t.Helper()
	axeOnce.Do(func() { axeOnce.text, axeOnce.err = install(context.Background(), filepath.Join("..", "browser")) })
	if axeOnce.err != nil {
		need.Missing(t, "axe-core: %v", axeOnce.err)
	}
	return axeOnce.text
}

func install(ctx context.Context, dir string) (string, error) {
	if err := npm.Install(ctx, dir); err != nil { // tests of several packages run at once
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(data), err
}
