package judge

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// timed is a server whose token times are known: 100 ms to the first token, then gaps that are uniform between 10 and
// 30 ms, 21 tokens per answer. Its true figures are TTFT 100 ms, TPOT and mean ITL 20 ms, p99 of ITL 29.8 ms, p99 of
// TPOT about 23 ms, and latency 500 ms.
func timed(seed uint64, slo string) *sim {
	s := healthy(seed)
	rng := rand.New(rand.NewPCG(seed, 5))
	s.edit = func(c *testcases.Case) {
		c.Targets.LatencyMS = 800
		c.Profiles["full"][4].DurationS = 62
		if err := c.AddSLO("sustained=" + slo); err != nil {
			panic(err)
		}
	}
	s.touch = func(q *evidence.Request) {
		if !q.OK() {
			return
		}
		q.First = q.Scheduled + 100e6
		q.Last, q.Gaps = q.First, nil
		for range 20 {
			us := int32(10e3 + 20e3*rng.Float64())
			q.Gaps = append(q.Gaps, us)
			q.Last += int64(us) * 1000
		}
		q.HasUsage, q.OutputTokens, q.Chunks, q.Done = true, 21, 21, q.Last
	}
	return s
}

func TestObjectivesOfAServerWithKnownTimes(t *testing.T) {
	for slo, want := range map[string]report.Verdict{
		"ttft:mean<101ms":     report.Pass,
		"ttft:mean<99ms":      report.Fail,
		"ttft:p99<101ms":      report.Pass,
		"ttft:p99<99ms":       report.Fail,
		"tpot:mean<20.2ms":    report.Pass,
		"tpot:mean<19.8ms":    report.Fail,
		"tpot:p99<25ms":       report.Pass,
		"tpot:p99<21ms":       report.Fail,
		"itl:mean<20.2ms":     report.Pass,
		"itl:mean<19.8ms":     report.Fail,
		"itl:p99<29.95ms":     report.Pass,
		"itl:p99<29.5ms":      report.Fail,
		"latency:mean<510ms":  report.Pass,
		"latency:mean<490ms":  report.Fail,
		"latency:p90<560ms":   report.Pass,
		"latency:p99<510ms":   report.Fail,
		"itl:p99.99<29.999ms": report.Invalid,
	} {
		rep, err := Judge(timed(3, slo).run())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range rep.Checks {
			if strings.HasPrefix(c.ID, "slo-sustained-") {
				found = true
				if c.Verdict != want {
					t.Errorf("%s is %s, want %s: %s", slo, c.Verdict, want, c.Reason)
				}
			}
		}
		if !found {
			t.Errorf("%s made no check", slo)
		}
	}
}

// A tenth of the requests have a slow first token; nothing else is wrong.
func TestGoodputOfAServerWithAKnownShare(t *testing.T) {
	for slo, want := range map[string]report.Verdict{
		"ttft:p50<150ms,goodput>=85%": report.Pass,
		"ttft:p50<150ms,goodput>=95%": report.Fail,
		"ttft:p50<150ms,goodput>=90%": report.Invalid,
		"ttft:p50<900ms,goodput>=99%": report.Pass,
	} {
		s := timed(4, slo)
		touch := s.touch
		s.touch = func(q *evidence.Request) {
			touch(q)
			if q.N%10 == 3 && q.OK() {
				q.First += 100e6
			}
		}
		rep, err := Judge(s.run())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range rep.Checks {
			if c.ID != "slo-sustained-goodput" {
				continue
			}
			if c.Verdict != want {
				t.Errorf("%s is %s, want %s: %s", slo, c.Verdict, want, c.Reason)
			}
			if x := *c.Measured; strings.Contains(slo, "150ms") && (x < 0.89 || x > 0.91) {
				t.Errorf("goodput %g, 0.9 is true", x)
			}
		}
	}
}

// Gaps between chunks of many tokens are not times between tokens.
func TestChunksOfManyTokensHaveNoITL(t *testing.T) {
	s := timed(5, "itl:p90<1s")
	touch := s.touch
	s.touch = func(q *evidence.Request) { touch(q); q.OutputTokens = 80 }
	rep, err := Judge(s.run())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rep.Checks {
		if c.ID == "slo-sustained-itl-p90" && (c.Verdict != report.Invalid || !strings.Contains(c.Reason, "tokens")) {
			t.Errorf("%s: %s", c.Verdict, c.Reason)
		}
	}
}
