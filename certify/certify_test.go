package certify_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

const short = "testdata/short.yaml"

// killable is set in the process that TestAKilledRun kills.
const killable = "MIXTRAL_TEST_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killable); dir != "" {
		_, err := certify.Run(context.Background(), certify.Options{Case: short,
			Target: os.Getenv("MIXTRAL_TEST_TARGET"), ReportDir: dir,
			Set: []string{"profiles.quick.idle.duration_s=60"}})
		panic(err) // cannot happen: the process is killed long before
	}
	leak.Main(m)
}

// server starts a fast server of the fault bank, so that runs are short.
func server(t *testing.T, f faults.Fault) *faults.Server {
	t.Helper()
	s := faults.New(faults.Config{Fault: f, Seed: 7, TTFT: 20 * time.Millisecond, Gap: time.Millisecond})
	t.Cleanup(s.Close)
	return s
}

func checkOf(t *testing.T, rep *certify.Report, id string) report.Check {
	t.Helper()
	for _, c := range rep.Checks {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("the report has no check %q", id)
	return report.Check{}
}

func want(t *testing.T, rep *certify.Report, id string, verdict certify.Verdict, reason string) {
	t.Helper()
	if c := checkOf(t, rep, id); c.Verdict != verdict || !strings.Contains(c.Reason, reason) {
		t.Errorf("check %s is %s (%s), want %s with %q", id, c.Verdict, c.Reason, verdict, reason)
	}
}

func TestARunFromEndToEnd(t *testing.T) {
	t.Parallel()
	dir, monitor := t.TempDir(), certify.NewMonitor()
	var kinds []certify.Kind
	rep, err := certify.Run(t.Context(), certify.Options{Case: short,
		Launch: target.Handler(server(t, faults.Healthy)), ReportDir: dir, Seed: 42, Version: "test",
		Monitor: monitor, Progress: func(e certify.Event) { kinds = append(kinds, e.Kind) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"preconditions", "valid", "errors", "latency", "quality", "metrics", "audits",
		"steps", "report"} {
		want(t, rep, id, certify.Pass, "")
	}
	if rep.Status != certify.Pass || rep.TestCase != "TC-SHORT" || rep.Fingerprints["seed"] != "42" ||
		rep.Fingerprints["version"] != "test" || rep.Target.Kind != "embedded" {
		t.Errorf("%s %s, fingerprints %v, target %+v", rep.TestCase, rep.Status, rep.Fingerprints, rep.Target)
	}
	if len(rep.Phases) != 9 {
		t.Errorf("%d phases in the report, the case has 9", len(rep.Phases))
	}
	if s := monitor.Summary(); s.Latency["single"].N < 4 || s.Quality["reasoning/simple"].N == 0 ||
		s.Throughput["sustained"].N != 1 || s.PeakMemoryBytes == 0 {
		t.Errorf("monitor: %+v", s)
	}
	kinds = slices.DeleteFunc(kinds, func(k certify.Kind) bool {
		return k == certify.EventNote // that something is slow
	})
	if kinds[0] != certify.EventRecord || kinds[1] != certify.EventPlan || kinds[len(kinds)-1] != certify.EventReport {
		t.Errorf("events: %v", kinds)
	}
	paths := report.PathsFor(dir, rep)
	for _, path := range []string{paths.JSON, paths.HTML, paths.JUnit, paths.Events} {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	again(t, paths)
}

// again derives the report again from the record and demands the same bytes.
func again(t *testing.T, paths report.Paths) {
	t.Helper()
	rec, err := evidence.ReadFile(paths.Events)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := judge.Judge(rec.Events)
	if err != nil {
		t.Fatal(err)
	}
	got, err := report.JSON(rep)
	if err != nil {
		t.Fatal(err)
	}
	if saved, err := os.ReadFile(paths.JSON); err != nil || !bytes.Equal(got, saved) {
		t.Errorf("the report derived again differs from the saved one (%v)", err)
	}
	if rec.SHA256 != rep.Evidence.SHA256 || rec.Lost != 0 || rec.Cut {
		t.Errorf("record: %s, %d lost, cut %v; the report has %s", rec.SHA256, rec.Lost, rec.Cut, rep.Evidence.SHA256)
	}
}

func TestTheRecordIsComplete(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := httptest.NewServer(server(t, faults.Healthy))
	defer h.Close()
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Target: strings.TrimPrefix(h.URL, "http://") +
		"/v1/", ReportDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	rec, err := evidence.ReadFile(report.PathsFor(dir, rep).Events)
	if err != nil {
		t.Fatal(err)
	}
	requests, prompts, conditions, audits := map[string]int{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	scrapes, samples, n := map[string]int{}, 0, map[string]map[int]bool{}
	for _, e := range rec.Events {
		switch {
		case e.Request != nil:
			q := e.Request
			requests[q.Phase]++
			if n[q.Phase] == nil {
				n[q.Phase] = map[int]bool{}
			}
			if n[q.Phase][q.N] {
				t.Errorf("phase %s: number %d twice", q.Phase, q.N)
			}
			n[q.Phase][q.N] = true
			if q.Phase == "quality" {
				prompts[q.Prompt] = q.Text != ""
			} else if q.Phase == "single" && q.Text != "" {
				t.Error("phase single keeps texts")
			}
		case e.Condition != nil:
			conditions[string(e.Condition.ID)] = e.Condition.OK
		case e.Audit != nil:
			audits[string(e.Audit.ID)] = e.Audit.OK && e.Audit.Valid
		case e.Scrape != nil:
			scrapes[string(e.Scrape.Label)]++
		case e.Sample != nil:
			samples++
		}
	}
	for id, least := range map[string]int{"warmup": 50, "single": 4, "batch": 10, "concurrent": 9, "sustained": 40,
		"single-again": 4, "audits": 20, "quality": 9} {
		if requests[id] < least {
			t.Errorf("phase %s: %d requests recorded, want %d at least", id, requests[id], least)
		}
		if scrapes["before "+id] != 1 || scrapes["after "+id] != 1 {
			t.Errorf("phase %s: scrapes %v", id, scrapes)
		}
	}
	if len(prompts) != 9 {
		t.Errorf("quality asked %d prompts, the case has 9", len(prompts))
	}
	for _, id := range []string{"ready", "model", "prompts", "metrics", "resources", "environment", "client",
		"baseline"} {
		if !conditions[id] {
			t.Errorf("condition %s: %v", id, conditions)
		}
	}
	for _, id := range []string{"cache", "usage", "empty-first-token", "max-tokens", "finish-reason", "determinism"} {
		if !audits[id] {
			t.Errorf("audit %s: %v", id, audits)
		}
	}
	if samples < 4 || !strings.Contains(rep.Resources.Source, "metrics") {
		t.Errorf("%d samples from %s", samples, rep.Resources.Source)
	}
}

func TestAuditsCatchDishonestServers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("TestARunFromEndToEnd has the same goroutines")
	}
	for f, audit := range map[faults.Fault]string{faults.CachedReplies: "cache",
		faults.EmptyFirst: "empty-first-token", faults.InflatedUsage: "usage",
		faults.IgnoresMax: "max-tokens", faults.FalseFinish: "finish-reason"} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			const tries = 3 // what rests on times is not held against a server while others take the machine
			// Twice in a row no answer is held up just so that a lie about times looks true.
			mayMiss := f == faults.CachedReplies || f == faults.EmptyFirst
			for try := 1; ; try++ {
				s := faults.New(faults.Config{Fault: f, Seed: 3, Gap: time.Millisecond})
				rep, err := certify.Run(t.Context(), certify.Options{Case: "testdata/audits.yaml",
					Launch: target.Handler(s), ReportDir: t.TempDir()})
				s.Close()
				if err != nil {
					t.Fatal(err)
				}
				c := checkOf(t, rep, "audits")
				hindered := c.Verdict == certify.Invalid && strings.Contains(c.Reason, "would be FAIL") &&
					strings.Contains(c.Reason, "other work took the machine")
				if strings.Contains(c.Reason, audit+":") && (c.Verdict == certify.Fail || hindered) {
					return
				}
				missed := c.Verdict != certify.Invalid
				if try == tries || missed && !mayMiss {
					t.Fatalf("audits is %s: %s", c.Verdict, c.Reason)
				}
				mayMiss = mayMiss && !missed
			}
		})
	}
}

// TestNoNoteComesAfterTheRun: the note that a server starts slowly has been told when the run ends.
func TestNoNoteComesAfterTheRun(t *testing.T) {
	t.Parallel()
	noting, failed := make(chan struct{}), errors.New("it did not start")
	var told atomic.Bool
	_, err := certify.Run(t.Context(), certify.Options{Case: short, ReportDir: t.TempDir(),
		Launch: func(context.Context, target.Need) (*target.Server, error) { <-noting; return nil, failed },
		Progress: func(certify.Event) {
			close(noting)
			time.Sleep(50 * time.Millisecond) // a run that does not wait ends before
			told.Store(true)
		}})
	if !errors.Is(err, failed) || !told.Load() {
		t.Errorf("the run ended before its note: %v", err)
	}
}

func TestInterruptedRunsKeepWhatTheyMeasured(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	rep, err := certify.Run(ctx, certify.Options{Case: short, Launch: target.Handler(server(t, faults.Healthy)),
		ReportDir: dir, Progress: func(e certify.Event) {
			if e.Kind == certify.EventStart && e.Phase.ID == "concurrent" {
				cancel()
			}
		}})
	if !errors.Is(err, certify.ErrInterrupted) || !errors.Is(err, context.Canceled) || rep == nil {
		t.Fatalf("report %v, error %v", rep, err)
	}
	if rep.Status != certify.Invalid || !strings.Contains(strings.Join(rep.Notices, " "), "interrupted") {
		t.Errorf("%s, notices %v", rep.Status, rep.Notices)
	}
	want(t, rep, "latency", certify.Pass, "")
	want(t, rep, "steps", certify.Invalid, "did not run")
	again(t, report.PathsFor(dir, rep))
}

func TestATargetThatDiesIsAFinding(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(server(t, faults.Healthy))
	defer h.Close()
	var once sync.Once
	dead := make(chan struct{})
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Target: h.URL, ReportDir: t.TempDir(),
		Set: []string{"profiles.quick.sustained.duration_s=60"}, Progress: func(e certify.Event) {
			if e.Kind == certify.EventProgress && e.Phase.ID == "sustained" {
				once.Do(func() {
					go func() { // in a goroutine, because Close waits for the requests in flight
						h.Listener.Close() // first, because a connection that is made in between would be answered
						h.CloseClientConnections()
						close(dead)
					}()
				})
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	<-dead
	if rep.Status != certify.Fail {
		t.Errorf("status %s", rep.Status)
	}
	want(t, rep, "steps", certify.Fail, "went away during sustained")
	want(t, rep, "errors", certify.Fail, "connect")
}

func TestAServerWithoutMetrics(t *testing.T) {
	t.Parallel()
	s := server(t, faults.Healthy)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" || r.URL.Path == "/tokenize" {
			http.NotFound(w, r)
			return
		}
		s.ServeHTTP(w, r)
	})
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Launch: target.Handler(h),
		ReportDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	want(t, rep, "metrics", certify.Fail, "not offered")
	if !slices.ContainsFunc(rep.Notices, func(n string) bool {
		return strings.HasPrefix(n,
			"The server offers no metrics (not offered: ")
	}) {
		t.Errorf("the verdict does not begin with it: %q", rep.Notices)
	}
	want(t, rep, "preconditions", certify.Pass, "")
	want(t, rep, "audits", certify.Pass, "")
}

func TestAnOldServerThatRefusesStreamOptions(t *testing.T) {
	t.Parallel()
	s := server(t, faults.Healthy)
	var refused atomic.Int64
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := &bytes.Buffer{}
		if r.Body != nil {
			_, _ = body.ReadFrom(r.Body)
		}
		if bytes.Contains(body.Bytes(), []byte("stream_options")) {
			refused.Add(1)
			http.Error(w, `{"error":{"message":"unknown field stream_options"}}`, http.StatusBadRequest)
			return
		}
		r.Body = http.NoBody
		if body.Len() > 0 {
			r2 := r.Clone(r.Context())
			r2.Body = readCloser{body}
			r = r2
		}
		s.ServeHTTP(w, r)
	})
	rep, err := certify.Run(t.Context(), certify.Options{Case: short, Launch: target.Handler(h),
		ReportDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	want(t, rep, "errors", certify.Pass, "")
	if refused.Load() != 1 {
		t.Errorf("asked %d times with stream_options", refused.Load())
	}
}

type readCloser struct{ *bytes.Buffer }

func (readCloser) Close() error { return nil }

func TestAKilledRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a process")
	}
	h := httptest.NewServer(server(t, faults.Healthy))
	defer h.Close()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killable+"="+dir, "MIXTRAL_TEST_TARGET="+h.URL)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for ended := 0; ended < 2; time.Sleep(20 * time.Millisecond) { // until the file has two phases
		if ended = phasesIn(dir); time.Now().After(deadline) {
			t.Fatal("the run made no progress")
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	files, _ := filepath.Glob(filepath.Join(dir, "*.part"))
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	rec, err := evidence.ReadFile(strings.TrimSuffix(files[0], ".part"))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := judge.Judge(rec.Events)
	if err != nil || rep.Status != certify.Invalid || !rec.Cut {
		t.Errorf("%v, cut %v, error %v", rep, rec.Cut, err)
	}
	want(t, rep, "report", certify.Invalid, "killed")
}

func phasesIn(dir string) (n int) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.part"))
	for _, f := range files {
		rec, err := evidence.ReadFile(f)
		if err != nil {
			return 0
		}
		for _, e := range rec.Events {
			if e.Phase != nil {
				n++
			}
		}
	}
	return n
}
