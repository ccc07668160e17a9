package certify

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/offset"
)

// skewed is a clock that runs faster than the system's.
type skewed struct {
	zero time.Time
	ppm  float64
}

func (c skewed) Now() time.Time {
	d := time.Since(c.zero)
	return c.zero.Add(d + time.Duration(float64(d)*c.ppm/1e6))
}

func (c skewed) SleepUntil(ctx context.Context, t time.Time) {
	for ctx.Err() == nil {
		left := t.Sub(c.Now())
		if left <= 0 {
			return
		}
		loadgen.TimerClock{}.SleepUntil(ctx, time.Now().Add(left))
	}
}

var generatorsKey = []byte("0123456789abcdef")

// startGenerators starts generators in this process, each with its own clock.
func startGenerators(t *testing.T, n int, o GenerateOptions) (addresses []string, stop []context.CancelFunc) {
	t.Helper()
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		own := o
		own.Key = generatorsKey
		if own.RecordDir != "" {
			own.RecordDir = filepath.Join(own.RecordDir, strconv.Itoa(i))
		}
		own.Note = func(s string) { t.Logf("generator %d: %s", i+1, s) }
		own.clock, own.ahead = skewed{time.Now(), float64(i-1) * 300}, time.Duration(i)*1000*time.Hour
		all.Go(func() {
			if err := Generate(ctx, l, own); err != nil {
				t.Error(err)
			}
		})
		addresses, stop = append(addresses, l.Addr().String()), append(stop, cancel)
	}
	return addresses, stop
}

// bankServer starts a server of the fault bank and returns its URL.
func bankServer(t *testing.T) string {
	t.Helper()
	s := faults.New(faults.Config{Fault: faults.Healthy, Seed: 7, TTFT: 20 * time.Millisecond, Gap: time.Millisecond})
	t.Cleanup(s.Close)
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL
}

func readRecord(t *testing.T, dir string, rep *Report) []evidence.Event {
	t.Helper()
	rec, err := evidence.ReadFile(report.PathsFor(dir, rep).Events)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Events
}

// TestThreeGeneratorsAreOne checks that three generators make the load of a single one, although their clocks differ
// by weeks and drift, and that the verdict follows from the record.
func TestThreeGeneratorsAreOne(t *testing.T) {
	t.Parallel()
	addresses, _ := startGenerators(t, 3, GenerateOptions{})
	dir := t.TempDir()
	rep, err := Run(t.Context(), Options{Case: "testdata/short.yaml", Target: bankServer(t), ReportDir: dir, Seed: 42,
		Generators: addresses, GeneratorsKey: generatorsKey})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rep.Checks {
		if c.Verdict != Pass && c.ID != "memory" {
			t.Errorf("%s: %s: %s", c.ID, c.Verdict, c.Reason)
		}
	}
	events := readRecord(t, dir, rep)
	seen, by := map[string]int{}, map[string]map[int]int{}
	comparisons := map[int]int{}
	for _, e := range events {
		switch {
		case e.Request != nil:
			q := e.Request
			seen[fmt.Sprintf("%s %d", q.Phase, q.N)]++
			if by[q.Phase] == nil {
				by[q.Phase] = map[int]int{}
			}
			by[q.Phase][q.Generator]++
			if q.Phase == "sustained" && q.Generator != q.N%3+1 {
				t.Errorf("request %d of sustained is of generator %d", q.N, q.Generator)
			}
		case e.Comparison != nil:
			comparisons[e.Comparison.Generator]++
		}
	}
	for key, n := range seen {
		if n != 1 {
			t.Errorf("request %s is recorded %d times", key, n)
		}
	}
	for phase, want := range map[string][4]int{"sustained": {0, 14, 13, 13}, "batch": {0, 4, 3, 3},
		"single": {0, 4, 0, 0}, "concurrent": {0, 3, 3, 3}} {
		for g, n := range want {
			if by[phase][g] != n {
				t.Errorf("phase %s: %d requests of generator %d, want %d", phase, by[phase][g], g, n)
			}
		}
	}
	if by["audits"][0] == 0 || len(by["audits"]) != 1 {
		t.Errorf("audits are made by %v", by["audits"])
	}
	for g := 1; g <= 3; g++ {
		if comparisons[g] < 10 {
			t.Errorf("%d comparisons with generator %d", comparisons[g], g)
		}
	}
	if events[len(events)-1].End == nil {
		t.Error("something was recorded after the end")
	}
	onSchedule(t, events, rep.Generators)
	again, err := judge.Judge(events)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := report.JSON(rep)
	if b, _ := report.JSON(again); string(a) != string(b) {
		t.Error("the record gives another report")
	}
}

// onSchedule compares the merged arrivals with the schedule of a single generator. On the record's clock they may
// differ by the uncertainty of the clocks, once for the start and once for the sending. The start is converted with a
// comparison before it, perhaps long before, since when the clocks may have drifted apart. The last one may have come
// between the order to start and the start, so the one before it counts.
func onSchedule(t *testing.T, events []evidence.Event, generators []report.Generator) {
	t.Helper()
	bound := 0.0
	for _, g := range generators {
		bound = max(bound, g.ClockError)
	}
	var start int64
	for _, e := range events {
		if e.Phase != nil && e.Phase.ID == "sustained" {
			start = e.Phase.Start
		}
	}
	inexact, before := int64(0), map[int][]int64{} // the largest error, and when each clock was compared
	for _, e := range events {
		if c := e.Comparison; c != nil {
			inexact = max(inexact, c.Error)
			if e.At <= start {
				before[c.Generator] = append(before[c.Generator], e.At)
			}
		}
	}
	long := int64(0)
	for _, at := range before {
		long = max(long, start-at[max(0, len(at)-2)])
	}
	allowed := bound + float64(inexact+long*offset.MaxRate/1e6+1)/1e6
	worst := 0.0
	want := offsets(42+4, 40, time.Second, 0, "poisson")
	for _, e := range events {
		if q := e.Request; q != nil && q.Phase == "sustained" {
			worst = max(worst, math.Abs(float64(q.Scheduled-start-int64(want[q.N]))/1e6))
		}
	}
	if worst > allowed {
		t.Errorf("an arrival is off its schedule by %g ms, the clocks by %g ms at most", worst, allowed)
	}
}

// TestALostGenerator checks that a run ends if a generator ends in the middle of a phase, and that it is INVALID and
// names the generator.
func TestALostGenerator(t *testing.T) {
	t.Parallel()
	addresses, stop := startGenerators(t, 2, GenerateOptions{})
	dir := t.TempDir()
	rep, err := Run(t.Context(), Options{Case: "testdata/short.yaml", Target: bankServer(t), ReportDir: dir, Seed: 42,
		Generators: addresses, GeneratorsKey: generatorsKey, Set: []string{"profiles.quick.sustained.duration_s=300"},
		Progress: func(e Event) {
			if e.Kind == EventProgress && e.Phase.ID == "sustained" && e.Done > 5 {
				stop[1]()
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Status != Invalid {
		t.Errorf("the status is %s", rep.Status)
	}
	said := fmt.Sprint(rep.Notices)
	for _, c := range rep.Checks {
		if c.Verdict == Fail {
			t.Errorf("%s fails a healthy server: %s", c.ID, c.Reason)
		}
		said += "\n" + c.ID + ": " + c.Reason
	}
	if !strings.Contains(said, "generator 2 ("+addresses[1]+") was lost") {
		t.Error(said)
	}
	for _, ph := range rep.Phases {
		if ph.ID == "sustained" && !strings.Contains(string(ph.CutShort), "generator 2") {
			t.Errorf("sustained: cut short %q", ph.CutShort)
		}
	}
}

// TestGeneratorsAreTraced checks that each request of the generators announces a trace to the server, and that the
// collector receives it. A generator that may not send to the collector refuses the run.
func TestGeneratorsAreTraced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var collected bytes.Buffer
	announced := map[string]bool{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		spans, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		collected.Write(spans)
	}))
	defer collector.Close()
	healthy := faults.New(faults.Config{Fault: faults.Healthy, Seed: 7, Gap: time.Millisecond})
	defer healthy.Close()
	traced := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Traceparent"); len(h) == 55 {
			mu.Lock()
			announced[h[3:35]] = true
			mu.Unlock()
		}
		healthy.ServeHTTP(w, r)
	}))
	defer traced.Close()
	addresses, _ := startGenerators(t, 2, GenerateOptions{Once: true})
	dir := t.TempDir()
	rep, err := Run(t.Context(), Options{Case: "testdata/short.yaml", Target: traced.URL, ReportDir: dir, Seed: 42,
		Generators: addresses, GeneratorsKey: generatorsKey, TracingURL: collector.URL})
	if err != nil {
		t.Fatal(err)
	}
	load := 0
	for _, e := range readRecord(t, dir, rep) {
		if e.Request != nil && e.Request.Generator > 0 {
			load++
		}
	}
	mu.Lock()
	n := len(announced)
	mu.Unlock()
	if n < load || load == 0 {
		t.Errorf("%d requests of generators, %d of the server's had a trace", load, n)
	}
	missing := func() (id string) {
		mu.Lock()
		defer mu.Unlock()
		for id := range announced {
			if raw, _ := hex.DecodeString(id); !bytes.Contains(collected.Bytes(), raw) {
				return id
			}
			delete(announced, id)
		}
		return ""
	}
	for end := time.Now().Add(time.Minute); missing() != "" && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond) // generators send their last traces after the coordinator has disconnected
	}
	if id := missing(); id != "" {
		t.Errorf("the trace %s was announced and never sent", id)
	}
	u, err := url.Parse(traced.URL)
	if err != nil {
		t.Fatal(err)
	}
	addresses, _ = startGenerators(t, 1, GenerateOptions{AllowTargets: []string{u.Host}})
	_, err = Run(t.Context(), Options{Case: "testdata/short.yaml", Target: traced.URL, ReportDir: t.TempDir(),
		Generators: addresses, GeneratorsKey: generatorsKey, TracingURL: collector.URL})
	const refusal = "traces: this generator may not send load there: "
	if !errors.Is(err, target.ErrSetup) || !strings.Contains(err.Error(), refusal+collector.URL) {
		t.Error(err)
	}
}

// TestSIGTERMStopsTheGenerators checks that the end of the context stops the load on all generators, and that there is
// a report.
func TestSIGTERMStopsTheGenerators(t *testing.T) {
	t.Parallel()
	addresses, _ := startGenerators(t, 2, GenerateOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	var at time.Duration
	dir := t.TempDir()
	rep, err := Run(ctx, Options{Case: "testdata/short.yaml", Target: bankServer(t), ReportDir: dir, Seed: 42,
		Generators: addresses, GeneratorsKey: generatorsKey, Set: []string{"profiles.quick.sustained.duration_s=300"},
		Progress: func(e Event) {
			if e.Kind == EventProgress && e.Phase.ID == "sustained" && e.Done > 5 && at == 0 {
				at = e.At
				cancel()
			}
		}})
	if !errors.Is(err, ErrInterrupted) || rep == nil || rep.Status != Invalid {
		t.Fatalf("%v, %+v", err, rep)
	}
	var last int64
	cut, latest := map[int]int64{}, map[int]int64{} // of each generator: they hear of the signal one after the other
	for _, e := range readRecord(t, dir, rep) {
		if q := e.Request; q != nil && q.Phase == "sustained" {
			if q.Fail == evidence.FailCanceled {
				cut[q.Generator] = max(cut[q.Generator], q.Done)
			}
			latest[q.Generator] = max(latest[q.Generator], q.Issued)
			last = max(last, q.Issued)
		}
	}
	for g, at := range cut {
		if latest[g] > at {
			t.Errorf("generator %d issued a request at %d after its load was stopped at %d", g, latest[g], at)
		}
	}
	// of five minutes; it takes milliseconds on an idle machine
	if after := time.Duration(last) - at; after > time.Minute {
		t.Errorf("a request was issued %s after the signal", after)
	}
}

// TestGeneratorsThatDoNotFit checks that unsuitable generators are refused before the record begins, with the reason.
func TestGeneratorsThatDoNotFit(t *testing.T) {
	t.Parallel()
	url := bankServer(t)
	for name, tt := range map[string]struct {
		o    Options
		is   error
		says string
	}{
		"key": {Options{Target: url, GeneratorsKey: []byte("another key of 16")},
			target.ErrSetup,
			"the key is not the generator's"},
		"version": {Options{Target: url, GeneratorsKey: generatorsKey, Version: "v1"},
			target.ErrSetup, `it is version "v2", this is "v1": run the same version of the program everywhere`},
		"target": {Options{Target: url, GeneratorsKey: generatorsKey, Version: "v2"},
			target.ErrSetup, "this generator may not send load there: " + url + "; allowed targets: 10.0.0.1"},
		"launched": {Options{Launch: target.Handler(nil)}, ErrOptions,
			"generators need a target"},
		"address": {Options{Target: url, Generators: []string{"nowhere"}}, ErrOptions, "must be HOST:PORT"},
		"twice": {Options{Target: url, Generators: []string{"a:1", "a:1"}}, ErrOptions,
			"generator a:1 is named twice"},
		"nobody": {Options{Target: url, Generators: []string{"127.0.0.1:1"}, GeneratorsKey: generatorsKey},
			target.ErrSetup, "connection refused"},
		"audits": {Options{Target: url, Profile: "audits"}, ErrOptions,
			`audits: a phase of kind "audit" cannot be divided: each of its requests depends on the answer before it`},
	} {
		if tt.o.Generators == nil { // one of its own: that of another case may still be busy
			tt.o.Generators, _ = startGenerators(t, 1, GenerateOptions{Version: "v2",
				AllowTargets: []string{"10.0.0.1"}})
		}
		tt.o.Case, tt.o.ReportDir = "testdata/undivided.yaml", t.TempDir()
		if _, err := Run(t.Context(), tt.o); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOneRunAtATime checks that a second coordinator learns that the generator is busy, and that the first run is not
// disturbed.
func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	addresses, _ := startGenerators(t, 1, GenerateOptions{})
	url, busy := bankServer(t), make(chan error, 1)
	once := sync.OnceFunc(func() {
		go func() {
			_, err := Run(context.Background(), Options{Case: "testdata/short.yaml", Target: url,
				ReportDir:  t.TempDir(),
				Generators: addresses, GeneratorsKey: generatorsKey})
			busy <- err
		}()
	})
	var second error
	rep, err := Run(t.Context(), Options{Case: "testdata/short.yaml", Target: url, ReportDir: t.TempDir(),
		Generators: addresses, GeneratorsKey: generatorsKey, Progress: func(e Event) {
			switch {
			case e.Kind == EventStart && e.Phase.ID == "single":
				once()
			// keeps the first run from ending before the second has begun
			case e.Kind == EventStart && e.Phase.ID == "idle":
				second = <-busy
			}
		}})
	if err != nil || rep.Status == Fail {
		t.Errorf("the first run: %v", err)
	}
	if second == nil || !strings.Contains(second.Error(), "one at a time") {
		t.Errorf("the second run: %v", second)
	}
}
