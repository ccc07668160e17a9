package certify

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/target"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// splitCase has a phase for each kind of load and traffic.
const splitCase = `schema_version: 1
id: TC-SPLIT
name: Every kind of load
targets: {latency_ms: 2000, throughput_rps: 40, concurrency: 5}
profiles:
  quick:
    - {id: warm, kind: warmup, concurrency: 4, requests: 20}
    - {id: poisson, kind: open, rps: 40, duration_s: 3}
    - {id: constant, kind: open, rps: 40, duration_s: 3, arrivals: constant}
    - {id: bursts, kind: open, rps: 40, duration_s: 3, arrivals: gamma, burstiness: 0.3}
    - {id: ramp, kind: open, stages: [{duration_s: 2, rps: 10, to_rps: 60}, {duration_s: 1, rps: 60}]}
    - id: trace
      kind: open
      arrivals: trace
      traffic: {file: trace.csv, format: burstgpt}
    - id: lengths
      kind: open
      rps: 20
      duration_s: 2
      traffic: {input: {shape: uniform, min: 5, max: 40}, output: {shape: uniform, min: 2, max: 9}, shared: 0.5, prefixes: 3}
    - id: talks
      kind: open
      rps: 5
      duration_s: 4
      traffic: {input: {shape: uniform, min: 5, max: 20}, output: {shape: uniform, min: 2, max: 9}, turns: {shape: uniform, min: 2, max: 4}, think_s: {shape: exponential, mean: 0.1}}
    - {id: loop, kind: closed, concurrency: 5, requests: 33}
    - {id: batch, kind: batch, requests: 17}
    - {id: needles, kind: closed, concurrency: 3, requests: 7, task: {kind: needle, tokens: [64, 120], depths: [0.2, 0.8]}}
    - {id: quality, kind: quality, concurrency: 3, keep_text: true}
checks:
  - {id: steps, clause: complete, rule: steps_complete}
`

// silent is a session whose events are discarded.
type silent struct{ begun time.Time }

func (s silent) Now() int64        { return time.Since(s.begun).Nanoseconds() }
func (silent) Emit(evidence.Event) {}

// splitRunner returns a coordinator without connections.
func splitRunner(t *testing.T) *runner {
	t.Helper()
	dir := t.TempDir()
	trace := "Timestamp,Request tokens,Response tokens\n"
	for i := range 23 {
		trace += fmt.Sprintf("%g,%d,%d\n", float64(i*i)/97, 10+i, 3+i%5)
	}
	for name, text := range map[string]string{"case.yaml": splitCase, "trace.csv": trace} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := newPlan(Options{Case: filepath.Join(dir, "case.yaml"), Target: "http://127.0.0.1:1", ReportDir: dir,
		Seed:    77,
		Headers: []string{"X-Key: s3cret"}})
	if err != nil {
		t.Fatal(err)
	}
	at, err := target.At(p.o.Target)
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{plan: p, server: &server{Server: at, model: "m", extra: extraOf(p.c)}}
	r.requests = newAsker(p, "m")
	r.requests.form.leftOut = []evidence.LeftOut{{Field: "seed"}}
	return r
}

// TestTheUnionIsOneGenerator checks, for every kind of load and traffic, that the arrivals and requests of several
// generators together are those of a single one, bit for bit.
func TestTheUnionIsOneGenerator(t *testing.T) {
	r := splitRunner(t)
	for index, ph := range r.plan.phases {
		full := r.requests.load(r.plan, index, ph, 0)
		total := max(len(full.Offsets), full.Requests)
		if total == 0 {
			t.Fatalf("%s: nothing is planned", ph.ID)
		}
		for _, n := range []int{1, 2, 3, 8} {
			offsets, bodies := make([]time.Duration, total), make([][]byte, total)
			for i := range n {
				local := 0
				full.Sink = nil
				made := full
				made.Make = func(k int) loadgen.Job { // marks each job with its number in the plan
					job := full.Make(k)
					if k < total {
						if bodies[k] != nil {
							t.Errorf("%s of %d: request %d is made twice", ph.ID, n, k)
						}
						bodies[k] = job.Body
						if len(full.Offsets) > 0 {
							offsets[k] = full.Offsets[k]
						}
					}
					return job
				}
				part, some, err := made.Part(i, n)
				if err != nil {
					t.Fatal(err)
				}
				for some && local < max(len(part.Offsets), part.Requests) {
					part.Make(local)
					if len(full.Offsets) > 0 && part.Offsets[local] != full.Offsets[local*n+i] {
						t.Errorf("%s of %d: arrival %d is at %v", ph.ID, n, local*n+i, part.Offsets[local])
					}
					local++
				}
			}
			for k, body := range bodies {
				if !bytes.Equal(body, full.Make(k).Body) {
					t.Errorf("%s of %d: request %d is %q", ph.ID, n, k, body)
				}
			}
		}
	}
}

// TestGeneratorsReadTheSamePlan checks, for every kind of load and traffic, that a generator makes the same from a
// plan as its coordinator. Their digests are equal, and differ as soon as anything differs.
func TestGeneratorsReadTheSamePlan(t *testing.T) {
	r := splitRunner(t)
	const n = 3
	plan, err := r.remotePlan("run")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		w := &worker{o: GenerateOptions{Note: func(string) {}, clock: loadgen.TimerClock{}}, guest: silent{time.Now()}}
		mine := plan
		mine.Index, mine.Of = i, n
		digest, err := w.Accept(t.Context(), &mine)
		if err != nil || digest != planDigest(r.plan) {
			t.Fatalf("generator %d: %s, %v", i, digest, err)
		}
		for index, ph := range r.plan.phases {
			full := r.requests.load(r.plan, index, ph, 0)
			want, _, _, err := partDigest(full, i, n)
			if err != nil {
				t.Fatal(err)
			}
			x := remote.Prepare{Index: index, Phase: ph, Requests: full.Requests, MinDuration: full.MinDuration,
				MaxDuration: full.MaxDuration}
			got, err := w.Prepare(t.Context(), &x)
			if err != nil || got != want {
				t.Errorf("generator %d, phase %s: another part: %v", i, ph.ID, err)
			}
			if x.Requests++; ph.ID == "loop" {
				if other, _ := w.Prepare(t.Context(), &x); other == want && i == 33%5%n {
					t.Errorf("generator %d, phase %s: a request more makes no difference", i, ph.ID)
				}
			}
		}
		bad := remote.Prepare{Index: 1, Phase: testcases.Phase{ID: "x", Kind: testcases.KindOpen, RPS: 1e9,
			DurationS: 1e5}}
		if _, err := w.Prepare(t.Context(), &bad); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("a schedule without bound: %v", err)
		}
		w.Close()
	}
	other := plan
	other.Seed++
	other.Of = 1
	w := &worker{o: GenerateOptions{Note: func(string) {}, clock: loadgen.TimerClock{}}, guest: silent{time.Now()}}
	if digest, err := w.Accept(t.Context(), &other); err != nil || digest == planDigest(r.plan) {
		t.Errorf("another seed: %v", err)
	}
	w.Close()
}

// TestAllowedTargets checks the patterns of GenerateOptions.AllowTargets.
func TestAllowedTargets(t *testing.T) {
	for _, tt := range []struct {
		patterns, target string
		ok               bool
	}{
		{"", "http://anywhere", true},
		{"a", "http://a:11400/v1", true},
		{"a", "https://A", true},
		{"a", "http://a.evil", false},
		{"a:80", "http://a", true},
		{"a:80", "http://a:81", false},
		{"http://a", "http://a:80/x", true},
		{"http://a", "https://a", false},
		{"http://a/x", "http://a/x/v1", true},
		{"http://a/x", "http://a/xy", false},
		{"b a", "http://a", true},
		{"[::1]:5", "http://[::1]:5", true},
	} {
		if err := checkTarget(strings.Fields(tt.patterns), tt.target); (err == nil) != tt.ok {
			t.Errorf("%q for %s: %v", tt.patterns, tt.target, err)
		}
	}
	for _, bad := range []string{"", "ftp://a", "http://", "u:p@a", "a/x", "http://u@a", "http://a?x"} {
		if _, err := parseAllowed(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
