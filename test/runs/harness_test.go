// Package runs_test uses the console of certification runs in a real Chromium.
package runs_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/web/console"
	"github.com/hxp-enterprise/mixtral/test/browser"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// asProgram makes of the test binary the program that the form starts: it runs the case that its arguments name.
const asProgram = "MIXTRAL_TEST_RUNS_AS_PROGRAM"

// asConsole makes of the test binary a console of the directory that its argument names.
const asConsole = "MIXTRAL_TEST_RUNS_AS_CONSOLE"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(program(os.Args[1:]))
	}
	if os.Getenv(asConsole) != "" {
		os.Exit(serveMeasured(os.Args[1]))
	}
	os.Exit(browser.Main(m))
}

// stubborn is a value of asProgram: the program waits for a second signal before it ends.
const stubborn = "stubborn"

// program is certify as far as the tests of the form need it. It says what it was given.
func program(args []string) int {
	fmt.Printf("%q\n", args)
	if os.Getenv(asProgram) == stubborn {
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, syscall.SIGTERM)
		fmt.Println("warmup: 50 requests in 4.1 s\nsustained: 57 requests/s, 17 in flight")
		<-signals
		fmt.Println("stopping: answers in flight are waited for")
		<-signals
		return 130
	}
	o := certify.Options{Case: args[len(args)-1], Version: "test"}
	for _, a := range args {
		if url, ok := strings.CutPrefix(a, "--target="); ok {
			o.Target = url
		}
		if dir, ok := strings.CutPrefix(a, "--report-dir="); ok {
			o.ReportDir = dir
		}
	}
	rep, err := certify.Run(context.Background(), o)
	switch {
	case err != nil:
		fmt.Println(err)
		return 3
	case rep.Status == certify.Pass:
		return 0
	}
	return 1
}

// tiny is a case of about two seconds.
const tiny = `schema_version: 1
id: TC-TINY
name: A run to look at
targets: {latency_ms: 300, throughput_rps: 20, quality: 0.8, memory_gb: 90, cpu_cores: 8, concurrency: 3}
limits: {request_timeout_s: 500, issue_delay_ms: 1000, little_share: 0.5, metrics_gap_ms: 1000}
request: {max_tokens: 12}
profiles:
  quick:
    - {id: warmup, kind: warmup, concurrency: 4, requests: 8, max_s: 1, max_tokens: 4}
    - {id: single, kind: closed, concurrency: 1, requests: 20, max_tokens: 8, prompts: [reasoning/simple]}
    - {id: sustained, kind: open, duration_s: 1.5, ramp_s: 0.1, max_tokens: 4, prompts: [reasoning/simple]}
checks:
  - {id: preconditions, clause: the server is ready, rule: preconditions}
  - {id: errors, clause: few errors, rule: error_budget}
  - {id: latency, clause: fast answers, rule: mean_latency, phase: single}
  - {id: memory, clause: small in memory, rule: peak_memory}
  - {id: steps, clause: every step ran, rule: steps_complete}
`

// caseFile writes a case, with a phase lasting longer where that is asked for.
func caseFile(t testing.TB, replace ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tiny.yaml")
	if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(tiny)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// server answers as a fault of the bank does, and takes so long for its first token.
func server(t testing.TB, ttft time.Duration) string {
	t.Helper()
	bank := faults.New(faults.Config{Seed: 7, TTFT: ttft, Gap: time.Millisecond})
	s := httptest.NewServer(bank)
	t.Cleanup(func() { s.Close(); bank.Close() })
	return s.URL
}

// gated is a server as that of server, but one request of the case's sustained phase has no answer before release is
// called: until then the run goes on, however busy the machine is.
func gated(t testing.TB, ttft time.Duration) (url string, release func()) {
	t.Helper()
	bank := faults.New(faults.Config{Seed: 7, TTFT: ttft, Gap: time.Millisecond})
	hold, release := holding(t, bank)
	s := httptest.NewServer(hold)
	t.Cleanup(func() { release(); s.Close(); bank.Close() })
	return s.URL, release
}

// holding holds a request of tiny's sustained phase: the first of 4 tokens after those of 8, which are of the phase
// before.
func holding(t testing.TB, next http.Handler) (h http.Handler, release func()) {
	t.Helper()
	gate := make(chan struct{})
	var eight, done atomic.Bool
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the next handler finds it broken
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch {
		case bytes.Contains(body, []byte(`"max_tokens":8`)):
			eight.Store(true)
		case bytes.Contains(body, []byte(`"max_tokens":4`)) && eight.Load() && done.CompareAndSwap(false, true):
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		next.ServeHTTP(w, r)
	}), sync.OnceFunc(func() { close(gate) })
}

// twoRuns makes a directory of two runs: of a fast server, and a day later of a slow one by a later version.
func twoRuns(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i, took := range []int64{90 * ms, 240 * ms} {
		m := makeUp(t, dir, tiny, 1+i, func(h *evidence.Header) {
			h.Fingerprints["version"] = fmt.Sprintf("1.%d", i)
			h.Target.Resources = "pid 4711"
		})
		m.phase(evidence.Phase{ID: "warmup", Kind: testcases.KindWarmup}, 8, took, nil)
		m.phase(evidence.Phase{ID: "single", Kind: testcases.KindClosed}, 80, took, nil)
		m.phase(evidence.Phase{ID: "sustained", Kind: testcases.KindOpen, OfferedRPS: 20}, 60, took, nil)
		m.sampled()
		m.end(evidence.End{})
	}
	return dir
}

// serve starts a console; its address comes without a slash at the end.
func serve(t testing.TB, c console.Config) string {
	t.Helper()
	c.Version = "test"
	if c.Database == "" {
		c.Database = "none"
	}
	k := console.New(c)
	s := httptest.NewServer(k)
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return s.URL
}
