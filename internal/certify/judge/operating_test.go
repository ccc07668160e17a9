package judge

import (
	"math/rand/v2"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// onlySustained keeps only the open loop of the quick profile and the checks that read it.
func onlySustained(c *testcases.Case) {
	c.Targets.LatencyMS, c.Targets.ThroughputRPS = 2000, 50
	open := c.Profiles["full"][4]
	open.DurationS = 18
	c.Profiles["full"] = testcases.Phases{open}
	var keep []testcases.Check
	for _, ch := range c.Checks {
		if ch.Rule == "degradation_within" || ch.Rule == "throughput" || ch.Rule == "little" {
			keep = append(keep, ch)
		}
	}
	c.Checks = keep
}

// Latencies in a queue depend on each other: the waits of a busy server drift for seconds. The degradation checks must
// not take that for degradation. Of 60 healthy servers at 85 % load, at most 3 may fail. With a false-alarm rate of 1
// %, four or more would fail in one of 300 cases; the seeds are fixed.
func TestBusyServersAreNotAccused(t *testing.T) {
	alarms := map[string]int{}
	for seed := range uint64(60) {
		s := healthy(seed)
		s.edit = onlySustained
		s.servers = 4
		// 4/0.0591 = 67.7/s, offered 57.5/s
		s.service = func(r *rand.Rand, _ float64) float64 { return 0.0591 * r.ExpFloat64() }
		for _, c := range judged(t, s).Checks {
			if c.Verdict != report.Pass {
				alarms[c.ID]++
			}
		}
	}
	for id, n := range alarms {
		if n > 3 {
			t.Errorf("%s accused %d of 60 healthy servers", id, n)
		}
	}
}

// A server whose latency drifts by a quarter over the window is nearly always found.
func TestDriftIsFound(t *testing.T) {
	found := 0
	const runs = 40
	for seed := range uint64(runs) {
		s := healthy(seed)
		s.edit = onlySustained
		s.service = func(r *rand.Rand, t float64) float64 { return (0.06 + 0.02*r.ExpFloat64()) * (1 + t/72) }
		if check(t, judged(t, s), "within").Verdict == report.Fail {
			found++
		}
	}
	if found < runs*95/100 {
		t.Errorf("found %d of %d", found, runs)
	}
}
