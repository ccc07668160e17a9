package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// asProgram makes the test binary the program that a Starter runs.
const asProgram = "MIXTRAL_TEST_CONSOLE_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(program(os.Args[1:]))
	}
	leak.Main(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// made is a report as a run makes it, without measurements.
func made(n int, status report.Verdict, change func(*report.Report)) *report.Report {
	mean := 100 + 10*float64(n)
	r := &report.Report{TestCase: "TC-A", Timestamp: 1_700_000_000 + 3600*float64(n), Status: status, SchemaVersion: 1,
		Profile: "quick", Preconditions: []report.Precondition{}, Reconciliation: []report.Reconciled{},
		Summary:      report.Summary{AvgLatencyMS: &mean},
		Targets:      report.Targets{LatencyMS: 500, ThroughputRPS: 20},
		Fingerprints: map[string]string{"version": fmt.Sprintf("v1.%d", n/2)},
		Environment:  map[string]string{"cpu": "one"},
		Case:         report.CaseInfo{ID: "TC-A", Name: "A case"},
		Target:       report.TargetInfo{Kind: "url", URL: fmt.Sprintf("http://host%d:8000", n), Model: "mixtral"},
		Evidence:     report.Evidence{SHA256: fmt.Sprintf("%x%060x", 0xabc0+n, n), Events: 3}}
	r.Evidence.File = report.BaseName(r.TestCase, time.Unix(int64(r.Timestamp), 0)) + report.EventsExt
	limit := 500.0
	r.Checks = []report.Check{{ID: "latency", Clause: "fast", Phase: "open", Measured: &mean,
		Interval: &[2]float64{mean - 2, mean + 2}, Op: "<", Target: &limit, Unit: "ms", Verdict: status, Gate: true}}
	p50, p90 := mean*0.9, mean*1.5
	r.Phases = []report.Phase{{ID: "open", Kind: testcases.KindOpen, Scheduled: 100, Issued: 100, Completed: 100,
		RPS: 20, RPSLow: 18, RPSHigh: 22, Latency: &report.Dist{N: 100, Mean: mean, MeanLow: mean - 2,
			MeanHigh: mean + 2,
			Min:      mean / 2, P50: &p50, P90: &p90, Max: mean * 2}}}
	if change != nil {
		change(r)
	}
	return r
}

// written saves reports into a directory.
func written(t *testing.T, list ...*report.Report) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, r := range list {
		if _, err := report.Save(dir, r, report.Series{}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func idOf(r *report.Report) string { return store.RunID(r.Evidence.SHA256) }

// newConsole makes a console for a test.
func newConsole(t *testing.T, c Config) *Console {
	t.Helper()
	if c.Database == "" {
		c.Database = open.None
	}
	k := New(c)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// get requests a page, as a browser does.
func get(t *testing.T, k *Console, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	r.Header.Set("Accept", "text/html")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	k.ServeHTTP(w, r)
	return w
}

// post sends a form.
func post(t *testing.T, k *Console, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	k.ServeHTTP(w, r)
	return w
}

// TestList: the list has the runs that its filter selects, from the directory and the database together, each once.
func TestList(t *testing.T) {
	a, b, c := made(0, report.Pass, nil), made(1, report.Fail, nil), made(30, report.Invalid, func(r *report.Report) {
		r.TestCase, r.Target.Model, r.Profile = "TC-B", "other-model", "full"
	})
	dir := written(t, a, b)
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	base := "sqlite:" + filepath.Join(t.TempDir(), "runs.db")
	db, err := open.DB(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*report.Report{b, c} { // b is in both
		data, err := report.JSON(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.SaveRun(t.Context(), &store.Run{ID: idOf(r), TestCase: r.TestCase, Profile: r.Profile,
			Status: string(r.Status), Started: time.Unix(int64(r.Timestamp), 0), Target: r.Target.URL,
			Model: r.Target.Model, Version: r.Fingerprints["version"], Report: data}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	k := newConsole(t, Config{Dir: dir, Database: base})
	all := []*report.Report{c, b, a}
	for query, want := range map[string]string{
		"": "cba", "case=TC-A": "ba", "case=TC-B": "c", "case=none": "", "verdict=FAIL": "b", "verdict=INVALID": "c",
		"target=host0": "a", "text=OTHER": "c", "text=v1.0": "ba", "text=" + idOf(a)[:8]: "a", "from=2023-11-15": "c",
		"to=2023-11-14": "ba", "from=2023-11-14&to=2023-11-14&verdict=PASS": "a", "text=<script>": "",
	} {
		w := get(t, k, "/?"+query)
		got := ""
		for i, r := range all {
			switch n := strings.Count(w.Body.String(), `value="`+idOf(r)+`"`); n {
			case 1:
				got += "cba"[i : i+1]
			case 0:
			default:
				t.Errorf("?%s lists a run %d times", query, n)
			}
		}
		if got != want || w.Code != 200 {
			t.Errorf("?%s lists %q, want %q; status %d", query, got, want, w.Code)
		}
	}
	for query, want := range map[string]string{"verdict=maybe": "verdict: must be PASS, FAIL or INVALID",
		"from=yesterday": "from: must be a day"} {
		if w := get(t, k, "/?"+query); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("?%s: status %d, want %q", query, w.Code, want)
		}
	}
	for _, r := range all {
		if w := get(t, k, "/runs/"+idOf(r)); w.Code != 200 || !strings.Contains(w.Body.String(), "A case") {
			t.Errorf("the report %s: status %d", idOf(r), w.Code)
		}
	}
}

// TestAnUnreachableDatabase: the runs of the directory are listed, and the page shows the error.
func TestAnUnreachableDatabase(t *testing.T) {
	a := made(0, report.Pass, nil)
	k := newConsole(t, Config{Dir: written(t, a), Database: "postgres://nobody:s3cret@127.0.0.1:1/none"})
	w := get(t, k, "/")
	if body := w.Body.String(); !strings.Contains(body, idOf(a)) || !strings.Contains(body, `role="alert"`) ||
		strings.Contains(body, "s3cret") {
		t.Errorf("status %d:\n%s", w.Code, body)
	}
}

// TestPages: a report by itself and in the frame, its files, a trend and a comparison.
func TestPages(t *testing.T) {
	knee := 12.5
	low, high := 10.0, 14.0
	a, b := made(0, report.Pass, nil), made(2, report.Fail, func(r *report.Report) {
		r.Sweeps = []report.Sweep{{Phase: "sweep", Over: "rate", Unit: "requests/s", Knee: &knee, Low: &low,
			High:       &high,
			Confidence: 0.95, Finding: "between 10 and 14 requests/s", Steps: []report.Step{
				{Phase: "sweep-01", Load: 8, Verdict: "held", Goodput: 1, OutputTPS: 80},
				{Phase: "sweep-02", Load: 16, Verdict: "missed", Goodput: 0.4, OutputTPS: 90}}}}
	})
	k := newConsole(t, Config{Dir: written(t, a, b)})
	for path, want := range map[string][]string{
		"/runs/" + idOf(a):                  {"A case", "The run’s record", "/trend?case=TC-A"},
		"/runs/" + idOf(b):                  {"Knee: between 10 and 14", "Compare with the run before", `class="plot"`},
		"/runs/" + idOf(b) + "/report.html": {"<style>", "A case"},
		"/runs/" + idOf(b) + "/report.json": {`"test_case": "TC-A"`},
		"/trend":                            {"latency", "v1.1", `class="version"`, "worse"},
		"/trend?case=TC-A&figures=all":      {"open rate", "sweep knee"},
		"/trend?case=none":                  {"nothing to draw"},
		"/compare":                          {"Choose two runs"},
		"/compare?a=" + idOf(a):             {"Choose two runs."},
		"/compare?a=" + idOf(a) + "&b=" + idOf(b): {"2 WORSE", "PASS became FAIL", "percentiles only",
			"Sweep sweep after"},
		"/compare?run=" + idOf(b) + "&run=" + idOf(a):  {"2 WORSE"}, // in any order the earlier one is first
		"/compare?a=" + idOf(b) + "&b=" + idOf(a):      {"2 BETTER"},
		"/compare?a=" + idOf(a)[:14] + "&b=0000":       {"There is no such run"},
		"/runs/nothing":                                {"There is no such run"},
		"/runs/" + url.PathEscape("../../etc/passwd"):  {"There is no such run"},
		"/live/" + url.PathEscape("../x.events.jsonl"): {"There is no such run"},
		"/live/" + url.PathEscape(`..\x.events.jsonl`): {"There is no such run"},
		"/live/x.txt":                           {"There is no such run"},
		"/runs/" + idOf(a) + "/events.jsonl.gz": {"There is no record"},
		"/verify":                               {"verify.html"},
		"/start":                                {"starts no runs"},
		"/none":                                 {"no page at /none"},
	} {
		w := get(t, k, path)
		body := strings.NewReplacer("&#39;", "’", "'", "’").Replace(w.Body.String())
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not have %q; status %d", path, text, w.Code)
			}
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		if strings.HasSuffix(path, "report.html") != strings.Contains(policy, "sandbox") {
			t.Errorf("%s has the policy %q", path, policy)
		}
	}
}

// TestDoors: requests with a wrong host name, from another site's page or with a wrong key are refused, and with keys
// nothing is shown without one.
func TestDoors(t *testing.T) {
	a := made(0, report.Pass, nil)
	dir := written(t, a)
	k := newConsole(t, Config{Dir: dir, Key: func(key string) bool { return key == "sesame" },
		Host: func(r *http.Request) error {
			if r.Host != "console.example" {
				return fmt.Errorf("no")
			}
			return nil
		}})
	here := func(path string, header ...string) *httptest.ResponseRecorder {
		return get(t, k, "http://console.example"+path, header...)
	}
	if w := get(t, k, "http://evil.example/", "Authorization", "Bearer sesame"); w.Code != 421 {
		t.Errorf("another name: status %d", w.Code)
	}
	for path, code := range map[string]int{"/": 303, "/runs/" + idOf(a): 303, "/compare": 303, "/login": 200,
		"/assets/console.css": 200} {
		if w := here(path); w.Code != code {
			t.Errorf("%s without a key: status %d, want %d", path, w.Code, code)
		}
	}
	if w := here("/runs/"+idOf(a)+"/report.json", "Accept", "*/*"); w.Code != 401 {
		t.Errorf("a program without a key: status %d", w.Code)
	}
	if w := here("/", "Authorization", "Bearer sesame"); w.Code != 200 {
		t.Errorf("a program with a key: status %d", w.Code)
	}
	login := func(key, to string, header ...string) *httptest.ResponseRecorder {
		return post(t, k, "http://console.example/login", url.Values{"key": {key}, "to": {to}}, header...)
	}
	if w := login("wrong", "/"); w.Code != 401 || len(w.Result().Cookies()) != 0 {
		t.Errorf("a wrong key: status %d, %v", w.Code, w.Result().Cookies())
	}
	if w := login("sesame", "/", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("a login from another site: status %d", w.Code)
	}
	for to, want := range map[string]string{"/compare?a=1": "/compare?a=1", "//evil.example/": "/",
		"https://evil.example": "/",
		`/\evil.example`:       "/", "": "/"} {
		w := login("sesame", to)
		if w.Code != 303 || w.Header().Get("Location") != want {
			t.Errorf("a login that leads to %q: status %d, to %q", to, w.Code, w.Header().Get("Location"))
		}
		c := w.Result().Cookies()
		if len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteStrictMode {
			t.Fatalf("the cookies are %v", c)
		}
		if in := here("/", "Cookie", c[0].Name+"="+c[0].Value); in.Code != 200 {
			t.Errorf("with a session: status %d", in.Code)
		}
		post(t, k, "http://console.example/logout", nil, "Cookie", c[0].Name+"="+c[0].Value)
		if out := here("/", "Cookie", c[0].Name+"="+c[0].Value); out.Code != 303 {
			t.Errorf("after the logout: status %d", out.Code)
		}
	}
}

// TestPostsFromOtherSites: no page of another site can start or stop a run.
func TestPostsFromOtherSites(t *testing.T) {
	k := newConsole(t, Config{Dir: t.TempDir(), Start: &Starter{Program: "/none"}})
	for _, path := range []string{"/start", "/stop", "/start/command"} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://evil.example"},
			{"Origin", "null"}} {
			if w := post(t, k, path, nil, header...); w.Code != 403 {
				t.Errorf("%s with %v: status %d", path, header, w.Code)
			}
		}
		if w := get(t, k, path); path != "/start" && w.Code == 200 {
			t.Errorf("GET %s: status %d", path, w.Code)
		}
	}
}

// TestHostilePages: names and texts from a report and from a request are text on every page.
func TestHostilePages(t *testing.T) {
	const evil = `"'><script>hit()</script><img src=x onerror=hit()>`
	a := made(0, report.Pass, func(r *report.Report) {
		r.TestCase, r.Profile, r.Status, r.Target.URL, r.Target.Model = evil, evil, evil, evil, evil
		r.Fingerprints["version"], r.Case.Name, r.Case.ID = evil, evil, evil
		r.Checks[0].ID, r.Checks[0].Clause, r.Checks[0].Reason, r.Checks[0].Unit, r.Checks[0].Op = evil, evil, evil,
			evil, "<"
		r.Phases[0].ID, r.Evidence.SHA256, r.Evidence.File = evil, evil, evil
	})
	b := made(1, report.Pass, func(r *report.Report) { r.TestCase, r.Checks[0].ID, r.Phases[0].ID = evil, evil, evil })
	k := newConsole(t, Config{Dir: written(t, a, b), Version: evil, Start: &Starter{Program: "/none",
		KeyEnvs: []string{evil}}})
	q := url.QueryEscape(evil)
	file := "file-" + strings.TrimSuffix(filepath.Base(report.PathsFor("", a).JSON), report.JSONExt)
	for _, path := range []string{"/", "/?case=" + q + "&text=" + q + "&target=" + q + "&from=" + q, "/trend?case=" +
		q +
		"&figures=all", "/compare?a=" + file + "&b=" + idOf(b), "/runs/" + url.PathEscape(evil), "/runs/" + file,
		"/live/" + url.PathEscape(evil), "/start?case=" + q + "&slo=" + q + "&target=" + q + "&model=" + q,
		"/login?to=" + q, "/" + url.PathEscape(evil), "/verify"} {
		w := get(t, k, path)
		if body := w.Body.String(); strings.Contains(body, "<script>hit") || strings.Contains(body, "<img src=x") ||
			strings.Contains(body, `"'>`) {
			t.Errorf("%s has markup of somebody else; status %d", path, w.Code)
		}
	}
	if w := get(t, k, "/runs/"+file); w.Code != 200 {
		t.Errorf("the report %s: status %d", file, w.Code)
	}
}

// TestAssets: the files that pages load exist, and no page contains what its policy forbids.
func TestAssets(t *testing.T) {
	k := newConsole(t, Config{Dir: written(t, made(0, report.Pass, nil)), Start: &Starter{Program: "/none"}})
	for path, kind := range map[string]string{"/assets/console.css": "text/css",
		"/assets/console.js": "text/javascript"} {
		if w := get(t, k, path); w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) {
			t.Errorf("%s: status %d, %s", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
	for _, path := range []string{"/", "/trend", "/compare", "/start", "/login", "/verify",
		"/runs/" + idOf(made(0, report.Pass, nil))} {
		body := get(t, k, path).Body.String()
		for _, forbidden := range []string{"<style", " style=", " onclick", "javascript:", "http-equiv", "//cdn"} {
			if strings.Contains(body, forbidden) {
				t.Errorf("%s has %q", path, forbidden)
			}
		}
	}
}
