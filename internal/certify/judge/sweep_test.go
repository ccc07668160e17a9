package judge

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/knee"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// swept runs the sweep of a case against a simulated server, as package certify does: each step's verdict decides the
// next load.
func swept(t *testing.T, s *sim, sweep testcases.Sweep, target float64) []evidence.Event {
	t.Helper()
	s.edit = func(c *testcases.Case) {
		c.Targets.ThroughputRPS, c.Targets.Concurrency = target, int(target)
		ph := testcases.Phase{ID: "knee", Kind: testcases.KindSweep, Sweep: &sweep, DurationS: 40, RampS: 4}
		c.Profiles["full"] = testcases.Phases{{ID: "warmup", Kind: testcases.KindWarmup, Concurrency: 2,
			Requests: 10}, ph}
		c.Checks = []testcases.Check{{ID: "knee", Clause: "it is", Rule: testcases.RuleKnee, Phase: "knee"},
			{ID: "generator", Clause: "g", Rule: testcases.RuleGenerator},
			{ID: "steps", Clause: "s", Rule: testcases.RuleStepsComplete},
			{ID: "errors", Clause: "e", Rule: testcases.RuleErrorBudget}}
	}
	s.noEnd, s.skip = true, map[string]bool{"knee": true}
	s.run()
	plan, _ := s.c.Profiles["full"].ByID("knee")
	_, of := s.c.SweepOf(plan)
	search, _ := Search(s.c, plan)
	whole := evidence.Phase{ID: "knee", Kind: testcases.KindSweep, Start: s.now}
	var steps []knee.Step
	for {
		load, times, more := search.Next(steps)
		if !more {
			break
		}
		p := StepPhase(of, fmt.Sprintf("knee-%02d", len(steps)+1), load, times)
		rec := evidence.Phase{ID: p.ID, Kind: p.Kind, Start: s.now, OfferedRPS: p.RPS, MaxInFlight: 7,
			Step: &evidence.Step{Of: "knee", Load: load, Times: times}}
		var reqs []*evidence.Request
		if p.Kind == testcases.KindOpen {
			reqs = s.open(p)
		} else {
			reqs = s.closed(p, p.Concurrency, 40*p.Concurrency*times)
		}
		rec.SteadyFrom, rec.SteadyTo = s.now+int64(p.RampS*1e9), s.now+int64(p.DurationS*1e9)
		if p.Kind == testcases.KindClosed {
			rec.SteadyFrom, rec.SteadyTo = s.now, 0
			for _, q := range reqs {
				rec.SteadyTo = max(rec.SteadyTo, q.Scheduled)
			}
		}
		for _, q := range reqs {
			s.now = max(s.now, q.Done)
			s.add(evidence.Event{Request: q})
		}
		rec.End, rec.Planned, rec.Issued = s.now, len(reqs), len(reqs)
		s.add(evidence.Event{Phase: &rec})
		o := StepOutcome(s.c, plan, rec, reqs, nil)
		steps = append(steps, knee.Step{Load: load, Times: times, Verdict: o.Verdict, Likely: o.Likely})
		whole.Planned, whole.Issued = whole.Planned+1, whole.Issued+1
		s.now += sec
	}
	whole.End = s.now
	s.add(evidence.Event{Phase: &whole})
	s.add(evidence.Event{End: &evidence.End{}})
	return s.events
}

// slots is a server that processes eight requests at once, each in 200 ms with some noise: 40 requests/s.
func slots(seed uint64) *sim {
	s := healthy(seed)
	s.servers = 8
	s.service = func(r *rand.Rand, _ float64) float64 { return 0.2 + 0.01*(r.Float64()-0.5) }
	return s
}

func TestTheKneeIsDerivedFromTheRecord(t *testing.T) {
	for _, tt := range []struct {
		name    string
		sweep   testcases.Sweep
		target  float64
		truth   float64
		verdict report.Verdict
	}{
		{"holds the target", testcases.Sweep{Over: testcases.OverRate, From: 5, To: 100,
			Objectives: "latency:p90<4s,goodput>=80%"}, 20, 40, report.Pass},
		{"misses the target", testcases.Sweep{Over: testcases.OverRate, From: 5, To: 100,
			Objectives: "ttft:mean<500ms"},
			60, 40, report.Fail},
		{"in flight", testcases.Sweep{Over: testcases.OverConcurrency, From: 1, To: 64,
			Objectives: "latency:mean<401ms"},
			12, 16, report.Pass},
		{"capacity alone", testcases.Sweep{Over: testcases.OverRate, From: 5, To: 100, Objectives: "ttft:p50<1h"},
			20, 40, report.Pass},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := swept(t, slots(1), tt.sweep, tt.target)
			rep, err := Judge(events)
			if err != nil {
				t.Fatal(err)
			}
			if len(rep.Sweeps) != 1 {
				t.Fatalf("%d sweeps", len(rep.Sweeps))
			}
			s := rep.Sweeps[0]
			if s.Knee == nil || math.Abs(*s.Knee/tt.truth-1) > 0.06 || s.Low != nil && *s.Low > tt.truth*1.03 ||
				s.High != nil && *s.High < tt.truth*0.97 {
				t.Errorf("%s; the truth is %g\n%+v", s.Finding, tt.truth, s.Steps)
			}
			if v := verdictOf(rep, "knee"); v != tt.verdict {
				t.Errorf("knee is %s, want %s: %s", v, tt.verdict, s.Finding)
			}
			for _, id := range []string{"generator", "steps", "errors"} {
				if v := verdictOf(rep, id); v == report.Fail || id != "errors" && v != report.Pass {
					t.Errorf("%s is %s", id, v)
				}
			}
			for _, x := range s.Steps {
				if x.Latency == nil || x.TTFT == nil || x.TPOT == nil || x.OutputTPS <= 0 || x.GoodputBand == nil ||
					x.OutputBand == nil || x.Why == "" {
					t.Errorf("step %+v", x)
				}
			}
			again, _ := Judge(events)
			a, _ := report.JSON(rep)
			b, _ := report.JSON(again)
			if !bytes.Equal(a, b) {
				t.Error("the same record gives another report")
			}
			var page bytes.Buffer
			_, series, err := Derive(events)
			if err == nil {
				err = report.WriteHTML(&page, rep, series)
			}
			if err != nil || !strings.Contains(page.String(), "swlatency0") || !strings.Contains(page.String(),
				s.Finding) {
				t.Errorf("page: %v", err)
			}
		})
	}
}

// TestAStepThatTheGeneratorWasLateForMissesNothing: a late client must not look like the server's limit.
func TestAStepThatTheGeneratorWasLateForMissesNothing(t *testing.T) {
	s := slots(5)
	s.late = 300_000_000
	rep, err := Judge(swept(t, s, testcases.Sweep{Over: testcases.OverRate, From: 5, To: 20,
		Objectives: "latency:mean<400ms"}, 10))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range rep.Sweeps[0].Steps {
		if x.Verdict == "missed" || !strings.Contains(x.Why, "late") {
			t.Errorf("%+v", x)
		}
	}
	if v := verdictOf(rep, "knee"); v == report.Fail {
		t.Errorf("knee is %s", v)
	}
}

// TestWhatAStepLeavesUnansweredCounts: requests that were canceled at the end of a step count as failures, because
// they had enough time.
func TestWhatAStepLeavesUnansweredCounts(t *testing.T) {
	c := simCase()
	sweep := testcases.Sweep{Over: testcases.OverRate, From: 1, To: 20, Objectives: "latency:p90<10s"}
	plan := testcases.Phase{ID: "knee", Kind: testcases.KindSweep, Sweep: &sweep, DurationS: 10}
	var reqs []*evidence.Request
	for i := range 100 {
		q := &evidence.Request{Phase: "knee-01", N: i, Scheduled: int64(i) * sec / 10, Issued: int64(i) * sec / 10,
			Done: int64(i)*sec/10 + sec/20, Last: int64(i)*sec/10 + sec/20, First: int64(i)*sec/10 + sec/50,
			HasUsage:     true,
			OutputTokens: 5}
		if i%3 == 0 {
			q.Fail, q.Done = evidence.FailCanceled, 20*sec
		}
		reqs = append(reqs, q)
	}
	rec := evidence.Phase{ID: "knee-01", Kind: testcases.KindOpen, SteadyFrom: sec, SteadyTo: 10 * sec, End: 20 * sec,
		Issued: 100, Step: &evidence.Step{Of: "knee", Load: 10, Times: 1}}
	if o := StepOutcome(c, plan, rec, reqs, nil); o.Verdict == knee.Missed {
		t.Errorf("interrupted: %+v", o)
	}
	rec.CutShort = testcases.CutDrain
	if o := StepOutcome(c, plan, rec, reqs, nil); o.Verdict != knee.Missed {
		t.Errorf("a third was never answered: %+v", o)
	}
}
