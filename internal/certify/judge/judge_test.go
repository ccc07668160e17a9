package judge

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

func judged(t *testing.T, s *sim) *report.Report {
	t.Helper()
	r, err := Judge(s.run())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func check(t *testing.T, r *report.Report, id string) report.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no check %q", id)
	return report.Check{}
}

func TestHealthyServerPasses(t *testing.T) {
	for seed := range uint64(12) {
		r := judged(t, healthy(seed))
		if r.Status != report.Pass {
			for _, c := range r.Checks {
				if c.Verdict != report.Pass {
					t.Errorf("seed %d: %s %s: %s", seed, c.ID, c.Verdict, c.Reason)
				}
			}
			for _, row := range r.Reconciliation {
				if row.Verdict == report.Fail {
					t.Logf("seed %d: %s: %s", seed, row.ID, row.Reason)
				}
			}
		}
	}
}

// For every rule there are servers and runs that make it FAIL or INVALID. The other checks must keep their verdicts.
func TestRules(t *testing.T) {
	slow := func(x float64) func(*rand.Rand, float64) float64 {
		return func(r *rand.Rand, _ float64) float64 { return x * (0.5 + r.ExpFloat64()/2) }
	}
	tests := []struct {
		name, check string
		verdict     report.Verdict
		reason      string
		change      func(*sim)
	}{
		{"slow", "mean", report.Fail, "phase", func(s *sim) { s.service = slow(0.7) }},
		{"mean just below", "mean", report.Invalid, "need about", func(s *sim) { s.service = slow(0.48) }},
		{"p90 far above", "p90", report.Fail, "more than the 10 % allowed", func(s *sim) { s.service = slow(0.6) }},
		{"p90 too few", "p90", report.Invalid, "need about", func(s *sim) {
			s.edit = func(c *testcases.Case) { c.Checks[18].P, c.Checks[18].Phase = 0.99, "single" }
		}},
		{"ttft", "ttft", report.Fail, "time to first token", func(s *sim) { s.service = slow(3) }},
		{"ttft without streaming", "ttft", report.Invalid, "does not stream",
			func(s *sim) { s.edit = func(c *testcases.Case) { c.Request.Stream = false } }},
		{"tpot", "tpot", report.Fail, "time per output token", func(s *sim) { s.service = slow(20) }},
		{"batch", "batch", report.Info, "as one it would be FAIL", func(s *sim) { s.service = slow(5) }},
		{"overload", "throughput", report.Fail, "the backlog grows",
			func(s *sim) { s.servers = 1; s.service = func(*rand.Rand, float64) float64 { return 0.06 } }},
		{"more offered than it serves, but above the target", "throughput", report.Invalid,
			"offer a rate nearer to the target", func(s *sim) {
				s.servers, s.service = 1, func(*rand.Rand, float64) float64 { return 0.043 }
				s.edit = func(c *testcases.Case) {
					c.Profiles["full"][4].RPSFactor, c.Profiles["full"][4].DurationS = 1.5,
						102
				}
			}},
		{"errors take the rate", "throughput", report.Fail, "", func(s *sim) { s.failRate = 0.5 }},
		{"offered too little", "throughput", report.Invalid, "less was offered", func(s *sim) {
			s.edit = func(c *testcases.Case) { c.Profiles["full"][4].RPSFactor = 0.97 }
		}},
		{"too few arrivals", "throughput", report.Invalid, "are the least", func(s *sim) {
			s.edit = func(c *testcases.Case) { c.Profiles["full"][4].DurationS = 2.5 }
		}},
		{"no open loop", "throughput", report.Invalid, "did not run",
			func(s *sim) { s.skip = map[string]bool{"sustained": true} }},
		{"one in a hundred fails", "errors", report.Fail, "the budget of 0.1 %", func(s *sim) { s.failRate = 0.02 }},
		{"empty answers", "answers", report.Fail, "empty", func(s *sim) {
			s.failRate, s.failAs = 0.02,
				evidence.FailEmpty
		}},
		{"no finish reason", "answers", report.Fail, "finish_reason", func(s *sim) {
			s.touch = func(q *evidence.Request) { q.Finish = "" }
		}},
		{"too many tokens", "answers", report.Fail, "more than max_tokens", func(s *sim) {
			s.touch = func(q *evidence.Request) { q.OutputTokens = 65 }
		}},
		{"prompt never answered", "answers", report.Fail, "no valid answer to reasoning/p3", func(s *sim) {
			s.touch = func(q *evidence.Request) {
				if q.Prompt == "reasoning/p3" {
					q.Fail = evidence.FailTimeout
				}
			}
		}},
		{"too much memory", "memory", report.Fail, "", func(s *sim) { s.memoryMB = 17000 }},
		{"memory unobserved", "memory", report.Invalid, "was not observed", func(s *sim) { s.memoryMB = -1 }},
		{"too many cores", "cpu", report.Fail, "busiest second", func(s *sim) { s.cores = 8.1 }},
		{"exactly the cores", "cpu", report.Pass, "ticks of its clock", func(s *sim) { s.cores = 8.01 }},
		{"cpu unobserved", "cpu", report.Invalid, "was not observed", func(s *sim) { s.memoryMB = -1 }},
		{"bad answers", "quality", report.Fail, "it cost most",
			func(s *sim) { s.score = func(r *rand.Rand, _ bool) float64 { return 0.6 } }},
		{"exactly the quality asked for", "quality", report.Pass, "weakest", func(s *sim) {
			// the computed mean over nine prompts is 0.6099999999999999
			s.score = func(*rand.Rand, bool) float64 { return 0.61 }
			s.edit = func(c *testcases.Case) { c.Targets.Quality = 0.61 }
		}},
		{"no scores", "quality", report.Invalid, "", func(s *sim) { s.score = nil }},
		{"worse under load", "quality-load", report.Fail, "", func(s *sim) {
			s.score = func(r *rand.Rand, loaded bool) float64 {
				if loaded {
					return 0.7 + 0.04*r.Float64()
				}
				return 0.9
			}
		}},
		{"exactly as much worse as is tolerated", "quality-load", report.Pass, "", func(s *sim) {
			s.score = func(_ *rand.Rand, loaded bool) float64 {
				if loaded {
					return 0.85
				}
				return 0.9 // 0.9 − 0.85 is 0.050000000000000044
			}
		}},
		{"no quiet answer to compare with", "quality-load", report.Invalid, "no quiet answer", func(s *sim) {
			s.touch = func(q *evidence.Request) {
				if q.Phase == "quality" {
					q.Fail = evidence.FailStatus
				}
			}
		}},
		{"some answers garbled under load", "quality-load", report.Fail, "below the target", func(s *sim) {
			n := 0
			s.score = func(_ *rand.Rand, loaded bool) float64 {
				if n++; loaded && n%2 == 0 {
					return 0.2
				}
				return 0.95
			}
		}},
		{"a little worse under load, by chance", "quality-load", report.Pass, "the spread", func(s *sim) {
			n := 0
			s.score = func(_ *rand.Rand, loaded bool) float64 {
				if n++; loaded && n%9 == 0 {
					return 0.3
				}
				return 0.95
			}
		}},
		{"no metrics", "metrics", report.Fail, "not offered", func(s *sim) { s.noStats = true }},
		{"tokens inflated", "metrics", report.Fail, "generation_tokens", func(s *sim) {
			s.lie = func(x *evidence.Scrape) { x.Values[evidence.MetricGenerationTokens] *= 1.01 }
		}},
		{"requests missed", "metrics", report.Fail, "requests", func(s *sim) {
			s.lie = func(x *evidence.Scrape) { x.Values[evidence.MetricRequests] *= 0.99 }
		}},
		{"prompt tokens less those from the cache", "metrics", report.Pass, "agree",
			func(s *sim) { s.cached, s.lie = 5, computed(5) }},
		{"fewer prompt tokens than were computed", "metrics", report.Fail, "prompt_tokens_computed",
			func(s *sim) { s.cached, s.lie = 5, computed(6) }},
		{"prompt tokens less those from a cache that usage does not tell of", "metrics", report.Pass, "agree",
			func(s *sim) { s.lie = computed(5) }},
		{"more prompt tokens than were sent", "metrics", report.Fail, "prompt_tokens_computed",
			func(s *sim) { s.lie = computed(-1) }},
		{"latency understated", "metrics", report.Fail, "latency_mean", func(s *sim) {
			s.lie = func(x *evidence.Scrape) {
				h := x.Histograms[evidence.HistE2E]
				h.Sum *= 0.2
				x.Histograms[evidence.HistE2E] = h
			}
		}},
		{"latency understated to a late client", "metrics", report.Invalid, "it was late itself", func(s *sim) {
			s.late = 80 * time.Millisecond
			s.lie = func(x *evidence.Scrape) {
				h := x.Histograms[evidence.HistE2E]
				h.Sum *= 0.2
				x.Histograms[evidence.HistE2E] = h
			}
		}},
		{"latency overstated", "metrics", report.Fail, "latency_mean", func(s *sim) {
			s.lie = func(x *evidence.Scrape) {
				h := x.Histograms[evidence.HistE2E]
				h.Sum *= 3
				x.Histograms[evidence.HistE2E] = h
			}
		}},
		{"buckets shifted", "metrics", report.Fail, "ttft_p", func(s *sim) {
			s.lie = func(x *evidence.Scrape) {
				h := x.Histograms[evidence.HistTTFT]
				for i := range h.Buckets[:len(h.Buckets)-1] {
					h.Buckets[i].LE *= 10
				}
			}
		}},
		{"times to first token without the queue", "metrics", report.Fail, "such as that in its queue", func(s *sim) {
			s.edit = func(c *testcases.Case) { c.Limits.MetricsGapMS = 10 }
			s.lie = func(x *evidence.Scrape) {
				h := x.Histograms[evidence.HistTTFT]
				h.Sum *= 0.2
				x.Histograms[evidence.HistTTFT] = h
			}
		}},
		{"stale", "metrics", report.Fail, "scrape_age", func(s *sim) {
			s.lie = func(x *evidence.Scrape) { x.Age = 61 * sec }
		}},
		{"counter falls", "metrics", report.Fail, "fell", func(s *sim) {
			n := 1000.0
			s.lie = func(x *evidence.Scrape) { n--; x.Values["other_total"] = n }
		}},
		{"drift within", "within", report.Fail, "the last third", func(s *sim) {
			s.service = func(r *rand.Rand, t float64) float64 { return (0.05 + 0.01*r.ExpFloat64()) * (1 + t/60) }
		}},
		{"a drift that matters to nobody", "within", report.Pass, "does not matter", func(s *sim) {
			s.edit = func(c *testcases.Case) { c.Limits.DegradationMS = 1e6 }
			s.service = func(r *rand.Rand, t float64) float64 { return (0.05 + 0.01*r.ExpFloat64()) * (1 + t/60) }
		}},
		{"within too short", "within", report.Invalid, "are the least", func(s *sim) {
			s.edit = func(c *testcases.Case) { c.Profiles["full"][4].DurationS = 2.5 }
		}},
		{"nothing but failures", "within", report.Invalid, "0 answered requests", func(s *sim) { s.failRate = 1 }},
		{"slower after", "after", report.Fail, "phase again", func(s *sim) {
			s.touch = func(q *evidence.Request) {
				if q.Phase == "again" {
					q.Done += 30e6
					q.Last = q.Done
				}
			}
		}},
		{"after did not run", "after", report.Invalid, "did not run",
			func(s *sim) { s.skip = map[string]bool{"again": true} }},
		{"a stall every ten seconds", "stalls", report.Fail, "silences longer than 1,000 ms",
			func(s *sim) { s.stall = 1400 * time.Millisecond }},
		{"short stalls", "stalls", report.Pass, "", func(s *sim) { s.stall = 700 * time.Millisecond }},
		{"no limit for stalls", "stalls", report.Invalid, "no limit",
			func(s *sim) { s.edit = func(c *testcases.Case) { c.Limits.StallMS = 0 } }},
		{"leak", "leak", report.Fail, "after idle", func(s *sim) { s.leakMB = 10 }},
		{"growth that idle gives back", "leak", report.Pass, "idle gave it back",
			func(s *sim) { s.leakMB, s.idleBack = 10, true }},
		{"growth and no idle", "leak", report.Invalid, "no idle phase",
			func(s *sim) { s.leakMB, s.skip = 10, map[string]bool{"idle": true} }},
		{"growth of a server that falls behind", "leak", report.Invalid, "fell behind", func(s *sim) {
			s.leakMB, s.servers, s.service = 10, 1, func(*rand.Rand, float64) float64 { return 0.06 }
			s.edit = func(c *testcases.Case) { c.Checks[12].Phase = "sustained" }
		}},
		{"leak unobserved", "leak", report.Invalid, "was not observed", func(s *sim) { s.memoryMB = -1 }},
		{"late generator", "generator", report.Invalid, "late at p99",
			func(s *sim) { s.late = 50 * time.Millisecond }},
		{"late generator makes latency void", "mean", report.Invalid, "cannot be trusted",
			func(s *sim) { s.late = 50 * time.Millisecond }},
		{"usage missing", "metrics", report.Invalid, "without usage", func(s *sim) {
			s.touch = func(q *evidence.Request) { q.HasUsage = false }
		}},
		{"killed", "report", report.Invalid, "no end", func(s *sim) { s.noEnd = true }},
		{"a phase is missing", "steps", report.Invalid, "concurrent did not run",
			func(s *sim) { s.skip = map[string]bool{"concurrent": true} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := healthy(3)
			tt.change(s)
			scored := s.score != nil
			if !scored {
				s.score = func(*rand.Rand, bool) float64 { return 0 }
			}
			events := s.run()
			events = without(events, func(e evidence.Event) bool {
				return s.memoryMB < 0 && e.Sample != nil ||
					!scored && e.Score != nil
			})
			r, err := Judge(events)
			if err != nil {
				t.Fatal(err)
			}
			c := check(t, r, tt.check)
			if c.Verdict != tt.verdict || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("%s %s: %s\nwant %s with %q", c.ID, c.Verdict, c.Reason, tt.verdict, tt.reason)
			}
			if tt.verdict == report.Fail && r.Status != report.Fail {
				t.Errorf("status %s beside a check that failed", r.Status)
			}
			if tt.verdict == report.Invalid && r.Status == report.Pass {
				t.Error("status PASS beside a check that could not be judged")
			}
		})
	}
}

// computed makes the server count only the prompt tokens that it computed, as llama.cpp does.
func computed(cached float64) func(*evidence.Scrape) {
	return func(x *evidence.Scrape) {
		if n := x.Values[evidence.MetricRequests]; n > 0 {
			x.Values[evidence.MetricPromptComputed] = x.Values[evidence.MetricPromptTokens] - cached*n
		}
		delete(x.Values, evidence.MetricPromptTokens)
	}
}

func without(events []evidence.Event, drop func(evidence.Event) bool) []evidence.Event {
	var out []evidence.Event
	for _, e := range events {
		if !drop(e) {
			out = append(out, e)
		}
	}
	return out
}

// TestRecords changes single records of a run that has every figure, and looks at the rules that read them.
func TestRecords(t *testing.T) {
	tests := []struct {
		name, check string
		verdict     report.Verdict
		reason      string
		edit        func(*evidence.Event)
	}{
		{"precondition lost", "preconditions", report.Invalid, "baseline: gone", func(e *evidence.Event) {
			if e.Condition != nil && e.Condition.ID == "baseline" {
				e.Condition.OK, e.Condition.Detail = false, "gone"
			}
		}},
		{"its load is void", "mean", report.Invalid, "precondition lost", func(e *evidence.Event) {
			if e.Condition != nil && e.Condition.ID == "baseline" {
				e.Condition.OK = false
			}
		}},
		{"metrics are not a precondition of load", "mean", report.Pass, "", func(e *evidence.Event) {
			if e.Condition != nil && e.Condition.ID == "metrics" {
				e.Condition.OK = false
			}
		}},
		{"audit caught", "audits", report.Fail, "cache: faster", func(e *evidence.Event) {
			if e.Audit != nil && e.Audit.ID == "cache" {
				e.Audit.OK, e.Audit.Detail = false, "faster"
			}
		}},
		{"audit unclear", "audits", report.Invalid, "could not be judged", func(e *evidence.Event) {
			if e.Audit != nil && e.Audit.ID == "usage" {
				e.Audit.Valid = false
			}
		}},
		{"not deterministic", "audits", report.Pass, "noted: determinism", func(e *evidence.Event) {
			if e.Audit != nil && e.Audit.ID == "determinism" {
				e.Audit.OK = false
			}
		}},
		{"cap", "throughput", report.Invalid, "the cap of 2,000", func(e *evidence.Event) {
			if e.Phase != nil && e.Phase.ID == "sustained" {
				e.Phase.CapHit = true
			}
		}},
		{"clock stepped", "generator", report.Invalid, "the clock stepped", func(e *evidence.Event) {
			if e.Clock != nil {
				e.Clock.DriftNS = -2e9
			}
		}},
		{"client too slow", "generator", report.Invalid, "against a null server", func(e *evidence.Event) {
			if e.Client != nil {
				e.Client.IssueP99 = 1e9
			}
		}},
		{"cut short", "steps", report.Invalid, "max_s", func(e *evidence.Event) {
			if e.Phase != nil && e.Phase.ID == "concurrent" {
				e.Phase.CutShort = "max_s"
			}
		}},
		{"target lost", "steps", report.Fail, "went away during concurrent", func(e *evidence.Event) {
			if e.Phase != nil && e.Phase.ID == "concurrent" {
				e.Phase.CutShort = "target lost"
			}
		}},
		{"requests lost from the record", "steps", report.Invalid, "the record holds", func(e *evidence.Event) {
			if e.Phase != nil && e.Phase.ID == "concurrent" {
				e.Phase.Issued += 5
			}
		}},
		{"unsteady", "little", report.Invalid, "steady state", func(e *evidence.Event) {
			if e.Request != nil && e.Request.Phase == "concurrent" && e.Request.N < 10 {
				e.Request.Issued -= 20 * sec
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events := healthy(5).run()
			for i := range events {
				tt.edit(&events[i])
			}
			r, err := Judge(events)
			if err != nil {
				t.Fatal(err)
			}
			if c := check(t, r, tt.check); c.Verdict != tt.verdict || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("%s %s: %s\nwant %s with %q", c.ID, c.Verdict, c.Reason, tt.verdict, tt.reason)
			}
		})
	}
}

// The scores of a reviewer are shown and decide nothing.
func TestReviewersAreNoGate(t *testing.T) {
	events := healthy(1).run()
	low := 0.1
	for i := range events {
		if s := events[i].Score; s != nil {
			if s.N == 0 {
				s.ReviewErr = "timeout"
			} else {
				s.Review = &low
			}
		}
	}
	r, err := Judge(events)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != report.Pass || r.Quality.Review == nil || *r.Quality.Review != low || r.Quality.ReviewErrors != 1 {
		t.Errorf("%s, %+v", r.Status, r.Quality)
	}
}

func TestUnusableEvidence(t *testing.T) {
	header := healthy(1).run()[0]
	later := *header.Header
	later.SchemaVersion = 99
	bare := *header.Header
	bare.Case = nil
	for name, events := range map[string][]evidence.Event{
		"nothing": nil, "no header": {{End: &evidence.End{}}}, "two headers": {header, header},
		"later version": {{Header: &later}}, "no case": {{Header: &bare}},
		"phase twice": {header, {Phase: &evidence.Phase{ID: "single"}}, {Phase: &evidence.Phase{ID: "single"}}},
	} {
		if _, err := Judge(events); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v, want ErrEvidence", name, err)
		}
	}
}

// A record with only a header is that of a run that was killed at once. Its report is INVALID and says so.
func TestOnlyAHeader(t *testing.T) {
	r, err := Judge(healthy(1).run()[:1])
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != report.Invalid || len(r.Notices) == 0 {
		t.Errorf("status %s, notices %q", r.Status, r.Notices)
	}
	if _, err := report.JSON(r); err != nil {
		t.Error(err)
	}
	events := healthy(1).run()[:1]
	events[0].Header.Case.Checks[3].Target = "targets.latency_ms"
	if r, err = Judge(events); err != nil {
		t.Fatal(err)
	}
	if c := check(t, r, "mean"); c.Op != "<" || c.Target == nil || *c.Target != 500 {
		t.Errorf("a check of a phase that did not run lost its target: %+v", c)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	events := healthy(7).run()
	want := jsonOf(t, events)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		if got := jsonOf(t, events); !bytes.Equal(got, want) {
			t.Fatal("shuffled events gave another report")
		}
	}
}

// jsonOf is the JSON of a report without the digest of the record, which does not affect the verdict.
func jsonOf(t *testing.T, events []evidence.Event) []byte {
	t.Helper()
	r, err := Judge(events)
	if err != nil {
		t.Fatal(err)
	}
	r.Evidence.SHA256 = ""
	data, err := report.JSON(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
