package runs_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestEveryoneSeesRunsOfEveryKind: the report of a sweep with its knee, of a run of several generators, of one that
// ended INVALID, the list and the trends of them, and a comparison of two runs that have nothing in common.
func TestEveryoneSeesRunsOfEveryKind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sweep := makeUp(t, dir, searching, 1, nil)
	sweep.searched(4, 8, 16, 32, 20, 24, 22)
	knee := sweep.end(evidence.End{})
	if len(knee.Sweeps) != 1 || knee.Sweeps[0].Knee == nil || knee.Status != report.Pass {
		t.Errorf("the sweep ended %s with %+v", knee.Status, knee.Sweeps)
	}
	several := makeUp(t, dir, tiny, 2, generators)
	several.generated("single", 40)
	several.compared()
	if r := several.end(evidence.End{}); len(r.Generators) != 2 {
		t.Errorf("the report has the generators %+v", r.Generators)
	}
	broken := makeUp(t, dir, tiny, 3, nil)
	broken.phase(evidence.Phase{ID: "single", Kind: testcases.KindClosed, CutShort: testcases.CutInterrupted}, 12,
		90*ms, nil)
	if r := broken.end(evidence.End{Interrupted: true, Reason: "stopped on request"}); r.Status != report.Invalid {
		t.Errorf("the run that was broken off ended %s", r.Status)
	}
	url := serve(t, console.Config{Dir: dir, Start: &console.Starter{Program: os.Args[0]}})
	ctx := browser.Tab(t)
	var ids []string
	browser.Run(t, ctx, chromedp.Navigate(url+"/"), chromedp.Evaluate(
		`[...document.querySelectorAll("input[name=run]")].map((e) => e.value)`, &ids))
	if len(ids) != 3 {
		t.Fatalf("the list has the runs %v", ids)
	}
	for _, p := range [][3]string{{"runs-of-every-kind", "/", "TC-KNEE"},
		{"report-of-a-sweep", "/runs/" + ids[2], "No phase ran beside the steps of the search."},
		{"report-of-generators", "/runs/" + ids[1], "load-1.example"},
		{"report-invalid", "/runs/" + ids[0], "INVALID"},
		{"nothing-in-common", "/compare?a=" + ids[2] + "&b=" + ids[1], "no phase in common"}} {
		browser.Run(t, ctx, chromedp.Navigate(url+p[1]), browser.Shows(p[2]))
		browser.State(t, ctx, p[0])
	}
}

// TestEveryoneSeesAnEmptyStore: what there is to see before the first run.
func TestEveryoneSeesAnEmptyStore(t *testing.T) {
	t.Parallel()
	url := serve(t, console.Config{Dir: t.TempDir(), Start: &console.Starter{Program: os.Args[0]}})
	ctx := browser.Tab(t)
	for _, p := range [][2]string{{"empty-list", "/"}, {"empty-trend", "/trend"}, {"empty-compare", "/compare"}} {
		browser.Run(t, ctx, chromedp.Navigate(url+p[1]))
		browser.State(t, ctx, p[0])
	}
}

// TestEveryoneWatchesRunsOfEveryKind: the page of a sweep that goes on, of a run of generators, of one that others
// stopped, of one that was killed; and what it says when its console has gone.
func TestEveryoneWatchesRunsOfEveryKind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := console.New(console.Config{Dir: dir, Database: "none", Version: "test"})
	s := httptest.NewServer(k)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	ctx := browser.Tab(t)
	watch := func(m *made) {
		t.Helper()
		if err := m.w.Flush(); err != nil {
			t.Fatal(err)
		}
		browser.Run(t, ctx, chromedp.Navigate(s.URL+"/live/"+filepath.Base(m.path)),
			browser.Until(`document.querySelector(".checks")`))
	}
	several := makeUp(t, dir, tiny, 2, generators)
	several.generated("single", 40)
	several.compared()
	watch(several)
	browser.State(t, ctx, "live-generators")
	several.add(evidence.Event{At: several.now, End: &evidence.End{Interrupted: true, Reason: "stopped on request"}})
	watch(several)
	browser.Run(t, ctx, browser.Until(verdict+` === "INVALID"`))
	browser.State(t, ctx, "live-stopped")
	sweep := makeUp(t, dir, searching, 1, nil)
	sweep.searched(4, 8, 16, 32, 20, 24)
	watch(sweep)
	var finding string
	browser.Run(t, ctx, browser.Shows("Knee:"), browser.Text("#sweeps .lead", &finding))
	if strings.Contains(finding, "cut short") {
		t.Errorf("a search that goes on says %q", finding)
	}
	browser.State(t, ctx, "live-sweep")
	k.Close()
	s.Close()
	browser.Run(t, ctx, browser.Until(`document.getElementById("state").textContent.startsWith("The connection")`))
	browser.State(t, ctx, "live-console-gone")
}

// TestEveryoneStartsAndStops: the form with a field that takes no such thing, and while a run goes on and is stopped.
func TestEveryoneStartsAndStops(t *testing.T) {
	t.Parallel()
	url := serve(t, console.Config{Dir: t.TempDir(), Start: &console.Starter{Program: os.Args[0],
		Env: append(os.Environ(), asProgram+"="+stubborn), KeyEnvs: []string{"STAGING_API_KEY"}}})
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.Navigate(url+"/start?seed=none&set="+
		strings.Repeat("targets.throughput_rps%3D80%0A", 3)+
		"&target=http://a-server-with-a-very-long-name.of-a-cluster.example:8000/v1&slo=ttft:p99<2s"),
		chromedp.Evaluate(`document.querySelector("[name=seed]").dispatchEvent(new Event("input", {bubbles: true}))`, nil),
		browser.Until(`!document.getElementById("commandproblem").hidden`))
	browser.State(t, ctx, "start-problem")
	browser.Run(t, ctx, browser.Go(`#startform button.main`),
		browser.Until(`[...document.querySelectorAll(".alert")].some((e) => e.textContent.includes("seed"))`))
	browser.Run(t, ctx, browser.Until(`document.querySelectorAll("[aria-invalid=true]").length === 1`))
	browser.State(t, ctx, "start-refused")
	browser.Run(t, ctx, chromedp.Evaluate(`document.querySelector("[name=seed]").value = ""`, nil),
		browser.Go(`#startform button.main`), browser.Until(`document.querySelector("#run .pill").textContent === "RUNNING"`),
		browser.Until(`document.querySelector("#run .output").textContent.includes("in flight")`))
	browser.State(t, ctx, "start-running")
	browser.Run(t, ctx, browser.Go("Stop"), browser.Until(`document.querySelector("#run .pill").textContent === "STOPPING"`),
		browser.Until(`document.querySelector("#run .output").textContent.includes("stopping")`))
	browser.State(t, ctx, "start-stopping")
	browser.Run(t, ctx, browser.Go("End it at once"),
		browser.Until(`document.querySelector("#run .pill").textContent === "ENDED"`))
	browser.State(t, ctx, "start-ended")
}
