package runs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/chromedp/chromedp"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
)

// TestTwoRunsAreCompared: two runs are chosen in the list, and held against each other.
func TestTwoRunsAreCompared(t *testing.T) {
	t.Parallel()
	url := serve(t, console.Config{Dir: twoRuns(t)})
	ctx := browser.Tab(t)
	var text, disabled string
	var lines int
	browser.Run(t, ctx, chromedp.Navigate(url+"/"), browser.Until(`document.getElementById("comparebutton").disabled`),
		browser.Text("#comparebutton", &disabled),
		chromedp.Evaluate(`for (const e of document.querySelectorAll("input[name=run]")) e.click()`, nil),
		browser.Until(`!document.getElementById("comparebutton").disabled`),
		browser.Go("#comparebutton"), browser.Shows("Distributions over each other"),
		browser.Text("main", &text),
		chromedp.Evaluate(`document.querySelectorAll("svg.plot .line.dashed").length`, &lines))
	for _, want := range []string{"version 1.0", "version 1.1", "single latency", "shifted by", "worse"} {
		if !strings.Contains(text, want) {
			t.Errorf("the comparison does not say %q:\n%s", want, text)
		}
	}
	if strings.Index(text, "version 1.0") > strings.Index(text, "version 1.1") {
		t.Error("the later run stands first")
	}
	if lines < 4 || !strings.Contains(disabled, "two runs") {
		t.Errorf("%d lines of the earlier run; the button said %q", lines, disabled)
	}
	browser.Run(t, ctx, browser.Go("Swap"),
		browser.Shows("better"), chromedp.Navigate(url+"/trend"),
		browser.Shows("newest against oldest: worse"), browser.Until(`document.querySelectorAll("svg.plot .version").length > 0`))
}

// TestFilters: the form of the list narrows it, keeps what was typed, and the keyboard is enough for it.
func TestFilters(t *testing.T) {
	t.Parallel()
	url := serve(t, console.Config{Dir: twoRuns(t)})
	ctx := browser.Tab(t)
	rows := func(n int) chromedp.Action {
		return browser.Until(fmt.Sprintf(`document.querySelectorAll("table.runs tbody tr").length === %d`, n))
	}
	browser.Run(t, ctx, chromedp.Navigate(url+"/"), rows(2), chromedp.SendKeys(`input[name=text]`, "1.1\r"), rows(1),
		browser.Until(`location.search.includes("text=1.1") && document.querySelector("input[name=text]").value === "1.1"`),
		browser.Go("Clear"), rows(2),
		chromedp.SetValue(`select[name=verdict]`, "INVALID"), browser.Go(`.filters button`), rows(0),
		browser.Shows("No run is like that"),
		chromedp.Navigate(url+"/?to=2020-01-01"), rows(0),
		chromedp.Navigate(url+"/?from=2020-01-01&case=TC-TINY&target=gpu-7"), rows(2))
}

// TestStartARun: the form shows the command line while it is filled, starts the run, shows what it says, and leads to
// its page; a run is stopped with the button.
func TestStartARun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := caseFile(t, "duration_s: 1.5", "duration_s: 3600") // it is stopped
	url := serve(t, console.Config{Dir: dir, Start: &console.Starter{Program: os.Args[0],
		Env: append(os.Environ(), asProgram+"=1"), KeyEnvs: []string{"STAGING_API_KEY"}}})
	target := server(t, 10*time.Millisecond)
	ctx := browser.Tab(t)
	const command = `document.getElementById("command").textContent`
	var said string
	browser.Run(t, ctx, chromedp.Navigate(url+"/start"), chromedp.SendKeys(`input[name=case]`, file),
		chromedp.SendKeys(`input[name=target]`, target),
		browser.Until(command+` === `+browser.Quote("mixtral certify --target="+target+" --report-dir="+dir+" "+file)),
		chromedp.SendKeys(`textarea[name=set]`, "x=$(id); 'y"),
		browser.Until(command+`.includes("'--set=x=$(id); '\\''y'")`),
		chromedp.SendKeys(`input[name=seed]`, "none"),
		browser.Until(`document.getElementById("commandproblem").textContent.includes("seed: must be a whole number")`),
		chromedp.Evaluate(`document.querySelector("[name=seed]").value = document.querySelector("[name=set]").value = ""`, nil),
		browser.Go(`#startform button.main`), browser.Until(`document.querySelector("#run .pill").textContent === "RUNNING"`),
		browser.Until(`document.querySelector("#run .output").textContent.includes("--target=`+target+`")`),
		browser.Go("Watch it"), browser.Until(verdict+` === "RUNNING"`),
		chromedp.Navigate(url+"/start"), browser.Go(`#run button`),
		browser.Until(`document.querySelector("#run .pill").textContent === "ENDED"`), browser.Text("#run", &said))
	if !strings.Contains(said, "exit code") {
		t.Errorf("after the stop the page says %q", said)
	}
}

// TestKeys: where there are keys, a browser logs in once and out again.
func TestKeys(t *testing.T) {
	t.Parallel()
	url := serve(t, console.Config{Dir: twoRuns(t), Key: func(key string) bool { return key == "sesame" }})
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.Navigate(url+"/trend"), chromedp.SendKeys(`input[name=key]`, "wrong\r"), browser.Shows("not valid"),
		chromedp.SendKeys(`input[name=key]`, "sesame\r"), browser.Until(`location.pathname === "/trend"`),
		browser.Shows("newest against oldest"), browser.Go("Log out"), browser.Until(`location.pathname === "/login"`),
		chromedp.Navigate(url+"/"), browser.Until(`location.pathname === "/login"`))
}

// evil is a text that would do something if any page took it for markup.
const evil = `</script></title><svg onload=hit()><img src=x onerror=hit()>"'{{.}}`

// hostileServer has a hostile model, which answers with hostile text, or refuses with it.
func hostileServer(t *testing.T) (url string, release func()) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"object":"list","data":[{"id":%s,"object":"model","owned_by":%[1]s}]}`, browser.Quote(evil))
	})
	var n atomic.Int64
	mux.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) > 30 && n.Load()%2 == 0 {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprintf(w, `{"error":{"message":%s,"type":%[1]s}}`, browser.Quote(evil))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, `data: {"id":"1","object":"chat.completion.chunk","model":%s,"choices":[{"index":0,"delta":`+
			`{"content":%[1]s},"finish_reason":null}]}`+"\n\n", browser.Quote(evil))
		fmt.Fprintf(w, `data: {"id":"1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{},`+
			`"finish_reason":%s}],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}`+
			"\n\ndata: [DONE]\n\n", browser.Quote(evil))
	})
	hold, release := holding(t, mux)
	s := httptest.NewServer(hold)
	t.Cleanup(func() { release(); s.Close() })
	return s.URL, release
}

// TestHostileRuns: whatever a case, a server and its answers say is text on the page of a run that goes on and on all
// others.
func TestHostileRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url := serve(t, console.Config{Dir: dir, Start: &console.Starter{Program: os.Args[0]}})
	name, _ := json.Marshal(evil)
	var checks strings.Builder
	var clauses []string
	for i, text := range browser.Hostile() {
		if strings.ContainsFunc(text, unicode.IsControl) {
			continue // a clause is one line
		}
		clauses = append(clauses, strings.TrimSpace(text))
		fmt.Fprintf(&checks, "  - {id: hostile-%d, clause: %s, rule: error_budget}\n", i, browser.Quote(text))
	}
	file := caseFile(t, "A run to look at", string(name), "few errors", string(name), "requests: 20", "requests: 40",
		"checks:\n", "checks:\n"+checks.String())
	target, release := hostileServer(t)
	ctx := browser.Tab(t)
	browser.Run(t, ctx, chromedp.Navigate(url+"/"))
	done := make(chan error, 1)
	go func() {
		_, err := certify.Run(t.Context(), certify.Options{Case: file, Target: target, ReportDir: dir, Version: evil})
		done <- err
	}()
	safe := func(page string) {
		t.Helper()
		var found int
		var text string
		browser.Run(t, ctx, chromedp.Evaluate(`document.querySelectorAll("main [onload], main [onerror], main [onfocus], "+
			"main [ontoggle], main [onclick], main img, main script, main iframe, main object, main embed, main video, main style, "+
			"main link, main base, main meta, main math, main template, main x-y, main [href^='javascript' i], "+
			"main form[action*=example]").length`, &found), chromedp.Evaluate(`document.body.textContent`, &text))
		if found != 0 || !strings.Contains(text, "<svg onload=hit()>") {
			t.Errorf("%s has %d elements of others, and shows the text: %v", page, found,
				strings.Contains(text, "<svg onload=hit()>"))
		}
	}
	all := func(page string) {
		t.Helper()
		var shown []string
		browser.Run(t, ctx, chromedp.Evaluate(`[...document.querySelectorAll(".checks .clause")].map((e) => e.textContent.trim())`,
			&shown))
		for _, text := range clauses {
			if !slices.Contains(shown, text) {
				t.Errorf("%s does not show %q as it is", page, text)
			}
		}
	}
	browser.Run(t, ctx, browser.Again("a.record.running"), browser.Go("a.record.running"),
		browser.Until(`document.getElementById("phases").textContent.includes("failed") && document.querySelector(".checks")`))
	safe("the run that goes on")
	all("the run that goes on")
	release()
	browser.Run(t, ctx, browser.Until(`!["RUNNING", "JUDGING", "PREPARING"].includes(`+verdict+`)`))
	safe("the run that has ended")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	browser.Run(t, ctx, browser.Until(`document.querySelector("#head a[href^='/runs/']")`))
	safe("the run with its report")
	browser.Run(t, ctx, chromedp.Navigate(url+"/"), browser.Until(`document.querySelector("table.runs")`))
	safe("the list")
	browser.Run(t, ctx, browser.Go("table.runs a"), browser.Shows("Provenance"))
	safe("the report")
	all("the report")
	browser.Run(t, ctx, chromedp.Navigate(url+"/start?case="+"%3Csvg%20onload=hit()%3E&slo=%3Csvg%20onload=hit()%3E"))
	safe("the form")
	if files, _ := filepath.Glob(filepath.Join(dir, "*.html")); len(files) != 1 {
		t.Errorf("the run has the pages %v", files)
	}
}
