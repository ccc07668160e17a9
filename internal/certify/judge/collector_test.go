package judge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// heapShape is a server whose memory grows as grow says, in MB after a number of seconds of load, and its verdict.
type heapShape struct {
	grow    func(loaded float64, r *rand.Rand) float64
	window  float64 // length of the sustained phase in seconds; 0: 42
	verdict []report.Verdict
	reason  string
}

// saw is a sawtooth: it rises by height within period seconds, and falls back.
func saw(height, period float64) func(loaded float64, r *rand.Rand) float64 {
	return func(loaded float64, _ *rand.Rand) float64 { return height * math.Mod(loaded, period) / period }
}

func plus(a, b func(loaded float64, r *rand.Rand) float64) func(loaded float64, r *rand.Rand) float64 {
	return func(loaded float64, r *rand.Rand) float64 { return a(loaded, r) + b(loaded, r) }
}

func leaks(rate float64) func(loaded float64, r *rand.Rand) float64 {
	return func(loaded float64, _ *rand.Rand) float64 { return rate * loaded }
}

// TestCollectors: memory that a collector has not freed yet is not a leak, and a leak beside a collector is found.
// Idle gives nothing back, because these collectors only run under load. The sustained phase follows about 30 s of
// load.
func TestCollectors(t *testing.T) {
	ofMemoryAlone(t)
	fail, pass, invalid := report.Fail, report.Pass, report.Invalid
	for name, tt := range map[string]heapShape{
		// Go keeps the pages that a collection frees: 60 MB of live objects show as 128 MB from the first cycle on.
		"Go: flat at twice its live objects": {func(loaded float64, r *rand.Rand) float64 {
			return 60 + 67.9*math.Min(1, loaded/3) + 0.8*min(1, math.Floor(loaded/45)) + 0.1*r.Float64()
		}, 42, []report.Verdict{pass}, ""},
		"Go: no ballast, 12 s": {func(loaded float64, r *rand.Rand) float64 {
			return 8.4*math.Min(1, math.Max(0, loaded-22)/14) + 0.3*r.Float64()
		}, 12, []report.Verdict{pass, invalid}, ""},
		"Go: a cycle longer than the window, and none before it": {saw(300, 70), 30, []report.Verdict{invalid},
			"must last 60 s"},
		"the same, by the runtime's own count": {saw(300, 70), 30, []report.Verdict{invalid},
			"counts 1 collection in it"},
		"JVM: two cycles in the window": {saw(400, 18), 42, []report.Verdict{pass, invalid}, ""},
		"JVM: a cycle that was seen before it": {func(loaded float64, _ *rand.Rand) float64 {
			return 12 * math.Mod(loaded+59, 62) // falls after 3 s, in the phase "single", and then not again
		}, 42, []report.Verdict{invalid}, "must last"},
		"JVM: many cycles": {saw(400, 4), 42, []report.Verdict{pass}, ""},
		"CPython: arenas": {func(loaded float64, _ *rand.Rand) float64 {
			return math.Min(math.Floor(loaded/4), 9)
		}, 42, []report.Verdict{pass}, ""},
		"a leak and cycles":     {plus(leaks(5), saw(60, 3)), 42, []report.Verdict{fail}, "still there"},
		"a leak and two cycles": {plus(leaks(5), saw(90, 20)), 42, []report.Verdict{fail, invalid}, ""},
		"a leak in Go": {plus(leaks(6), func(loaded float64, _ *rand.Rand) float64 {
			return 60 * math.Min(1, loaded/3)
		}), 90, []report.Verdict{fail}, "still there"},
		"a leak and a cycle longer than the window": {plus(leaks(5), saw(300, 70)), 30, []report.Verdict{invalid},
			"must last 60 s"},
		"the same, in many cycles": {plus(leaks(5), saw(300, 70)), 420, []report.Verdict{fail}, "still there"},
		"CPython: arenas without end": {func(loaded float64, _ *rand.Rand) float64 {
			return math.Floor(loaded / 2)
		}, 90, []report.Verdict{fail}, "still there"},
		"CPython: arenas without end, 30 s": {func(loaded float64, _ *rand.Rand) float64 {
			return math.Floor(loaded)
		}, 30, []report.Verdict{fail, invalid}, ""},
		"a leak, 12 s":               {leaks(20), 12, []report.Verdict{invalid}, "must last 60 s"},
		"a small leak between teeth": {leaks(2), 12, []report.Verdict{fail}, "still there"},
		"a small leak, 90 s":         {leaks(1), 90, []report.Verdict{fail}, "still there"},
	} {
		t.Run(name, func(t *testing.T) {
			seeds := uint64(8)
			if tt.window > 100 {
				seeds = 2
			}
			for seed := range seeds {
				s := healthy(seed)
				s.memoryMB = 100
				s.edit = func(c *testcases.Case) { c.Profiles["full"][4].DurationS = tt.window }
				noise := rand.New(rand.NewPCG(seed, 5))
				s.grow = func(loaded, _ float64) float64 { return tt.grow(loaded, noise) }
				events := s.run()
				var loaded []string
				for i := range events {
					if h := events[i].Header; h != nil {
						h.Rules = evidence.Rules
					}
					if x := events[i].Scrape; x != nil && strings.Contains(name, "own count") {
						x.Values[evidence.MetricCollections] = math.Floor(seconds(events[i].At) / 30)
					}
					if p := events[i].Phase; p != nil {
						loaded = append(loaded, fmt.Sprintf("%s %.0f–%.0f", p.ID, seconds(p.Start), seconds(p.End)))
					}
				}
				r, err := Judge(events)
				if err != nil {
					t.Fatal(err)
				}
				c := check(t, r, "leak")
				ok := false
				for _, v := range tt.verdict {
					ok = ok || c.Verdict == v
				}
				if !ok || !strings.Contains(c.Reason, tt.reason) {
					t.Fatalf("seed %d: %s: %s\nwant %v with %q; phases %q", seed, c.Verdict, c.Reason,
						tt.verdict, tt.reason, loaded)
				}
			}
		})
	}
}
