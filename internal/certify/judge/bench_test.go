package judge

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// BenchmarkJudgeFull judges a record as large as that of the full profile: ten minutes at 51.5 requests/s.
func BenchmarkJudgeFull(b *testing.B) {
	s := healthy(1)
	s.edit = func(c *testcases.Case) {
		c.Targets.ThroughputRPS = 50
		open := &c.Profiles["full"][4]
		open.RPSFactor, open.DurationS, open.RampS = 1.03, 620, 20
	}
	events := s.run()
	for b.Loop() {
		if _, _, err := Derive(events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(events)), "events")
}
