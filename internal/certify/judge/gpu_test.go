package judge

import (
	"math"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// withCards adds one reading of two cards per second to a run. Each card uses 10 GB, and 300 W under load.
func withCards(events []evidence.Event, counters bool) []evidence.Event {
	var end int64
	for _, e := range events {
		end = max(end, e.At)
	}
	joules := 0.0
	for t := int64(0); t <= end+sec; t += sec {
		g := evidence.GPU{}
		for _, id := range []string{"0", "1"} {
			used, busy, watts, sum := 10.0*gib, 0.5, 300.0, 1000+joules
			c := evidence.GPUCard{ID: id, Model: "H200", Memory: &used, Busy: &busy, Watts: &watts}
			if counters {
				c.Joules = &sum
			}
			g.Cards = append(g.Cards, c)
		}
		joules += 250 // differs from the power, so that the test can tell which of the two was used
		events = append(events, evidence.Event{At: t, GPU: &g})
	}
	return events
}

func TestAcceleratorsAreJudgedWhereTheCaseAsks(t *testing.T) {
	for _, counters := range []bool{false, true} {
		s := healthy(3)
		s.edit = func(c *testcases.Case) {
			c.Checks = append(c.Checks,
				testcases.Check{ID: "gpu-memory", Clause: "c", Rule: testcases.RuleGPUMemory, Limit: 21},
				testcases.Check{ID: "gpu-power", Clause: "c", Rule: testcases.RuleGPUPower, Phase: "sustained",
					Limit: 550},
				testcases.Check{ID: "per-joule", Clause: "c", Rule: testcases.RuleTokensPerJoule, Phase: "sustained",
					Limit: 0.1})
		}
		events := s.run()
		blind, err := Judge(events)
		if err != nil {
			t.Fatal(err)
		}
		if v := verdictOf(blind, "gpu-memory"); v != report.Invalid {
			t.Errorf("without readings: %s", v)
		}
		rep, err := Judge(withCards(events, counters))
		if err != nil {
			t.Fatal(err)
		}
		g := rep.Resources.GPU
		if g == nil || g.PeakGB != 20 || len(g.Cards) != 2 || g.Cards[0].MeanBusy != 0.5 || g.PeakWatts != 600 {
			t.Fatalf("%+v", g)
		}
		watts, power := 600.0, report.Fail
		if counters {
			watts, power = 500, report.Pass
		}
		for _, p := range rep.Phases {
			if p.ID != "sustained" {
				continue
			}
			length := p.SteadyToS - p.SteadyFromS
			want := p.OutputTPS * length / (watts * length)
			if p.GPU == nil || math.Abs(p.GPU.Watts-watts) > 1e-6*watts ||
				math.Abs(*p.GPU.TokensPerJoule-want) > 1e-6*want {
				t.Errorf("counters %v: %+v, want %g W, %g tokens a joule", counters, p.GPU, watts, want)
			}
		}
		for id, want := range map[string]report.Verdict{"gpu-memory": report.Pass, "gpu-power": power,
			"per-joule": report.Pass} {
			if v := verdictOf(rep, id); v != want {
				t.Errorf("counters %v: %s is %s, want %s", counters, id, v, want)
			}
		}
	}
}

func verdictOf(r *report.Report, id string) report.Verdict {
	for _, c := range r.Checks {
		if c.ID == id {
			return c.Verdict
		}
	}
	return ""
}
