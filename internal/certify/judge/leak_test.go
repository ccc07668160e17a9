package judge

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// linear is memory that grows by rate MB per second of load, up to full.
func linear(rate, full float64) func(loaded, t float64) float64 {
	return func(loaded, _ float64) float64 { return math.Min(rate*loaded, full) }
}

// filling is memory that grows towards full exponentially; tau is the time constant in seconds of load.
func filling(full, tau float64) func(loaded, t float64) float64 {
	return func(loaded, _ float64) float64 { return full * (1 - math.Exp(-loaded/tau)) }
}

// TestCachesAndLeaks: caches that fill are not leaks, and leaks beside them are found. The sustained phase has 40
// steady seconds, with about 30 s of load before it and a little after it.
func TestCachesAndLeaks(t *testing.T) {
	both := func(a, b func(loaded, t float64) float64) func(loaded, t float64) float64 {
		return func(loaded, t float64) float64 { return a(loaded, t) + b(loaded, t) }
	}
	declares := func(used func(loaded, t float64) float64, capacity float64) func(loaded, t float64) (float64,
		float64) {
		return func(loaded, t float64) (float64, float64) { return used(loaded, t), capacity }
	}
	leak, none, forever := linear(3, math.Inf(1)), linear(0, 0), math.Inf(1)
	tests := map[string]struct {
		grow    func(loaded, t float64) float64
		claim   func(loaded, t float64) (float64, float64)
		touch   func(*evidence.Event)
		verdict report.Verdict
		reason  string
	}{
		"a leak": {leak, nil, nil, report.Fail,
			"declares no cache that would explain it"},
		"a leak too slow to matter": {linear(0.1, forever), nil, nil, report.Pass, ""},
		"a leak beside a cache that is in use": {leak, declares(none, 500), nil, report.Fail,
			"did not grow"},
		"a cache that fills, as it declares": {leak, declares(leak, 4000), nil, report.Pass,
			"explained by the cache that the server declares"},
		"a cache that fills and stops": {linear(3, 75), nil, nil, report.Pass,
			"it grew at first and then stopped"},
		"a cache that fills ever slower": {filling(600, 40), nil, nil, report.Invalid,
			"it slows down"},
		"the same, declared": {filling(600, 40), declares(filling(600, 40), 600), nil,
			report.Pass, "explained by"},
		"a leak beside a cache that fills": {both(leak, leak), declares(leak, 4000), nil, report.Fail,
			"explained by"},
		"a leak beside a cache that filled early": {both(filling(300, 5), leak), nil, nil, report.Fail,
			"still there"},
		"a leak that it calls its cache, beyond its bound": {leak, declares(linear(3, 100), 100), nil, report.Fail,
			"of at most 100 MB"},
		"a gauge above its bound": {leak, declares(leak, 100), nil, report.Fail,
			"and its bound is 100"},
		"a bound that is reached late": {leak, declares(linear(3, 110), 110), nil, report.Fail,
			"in the second half"},
		"a bound that grows with the leak": {leak, func(loaded, t float64) (float64, float64) {
			return 3 * loaded,
				3*loaded + 1
		}, nil,
			report.Fail, "its bound moved"},
		"a bound beyond the server's limit": {leak, declares(leak, 20*1024), nil, report.Fail, "16 GB are allowed"},
		"a cache that fills while nothing is asked": {func(_, t float64) float64 { return 3 * t },
			declares(func(_, t float64) float64 { return 3 * t }, 4000), nil,
			report.Fail, "while nothing was asked"},
		"a gauge that grows faster than memory, to hide a leak": {both(leak, linear(0.5, forever)),
			declares(linear(8, forever), 4000), nil, report.Fail, "more than memory grew by"},
		"a claim that is read only before the load": {leak, declares(leak, 4000), func(e *evidence.Event) {
			if e.Scrape != nil && e.At > 0 {
				delete(e.Scrape.Values, evidence.MetricCacheUsed)
			}
		}, report.Fail, "it was not read in the phase"},
		"half of a claim": {leak, declares(leak, 4000), func(e *evidence.Event) {
			if e.Scrape != nil {
				delete(e.Scrape.Values, evidence.MetricCacheCapacity)
			}
		}, report.Fail, "declares no cache"},
		"numbers that are none": {leak, declares(func(_, _ float64) float64 { return -1 }, -5), nil, report.Fail,
			"no bound"},
		"a server that is known to hoard": {leak, nil, func(e *evidence.Event) {
			if e.Scrape != nil {
				e.Scrape.Dialect = "llamacpp"
			}
		}, report.Invalid, "--cache-ram 0"},
		"one that hoards more than it may": {func(loaded, _ float64) float64 { return 200 * loaded }, nil,
			func(e *evidence.Event) {
				if e.Scrape != nil {
					e.Scrape.Dialect = "llamacpp"
				}
			}, report.Fail, "still there"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := healthy(4)
			s.grow, s.claim = test.grow, test.claim
			events := s.run()
			if test.touch != nil {
				for i := range events {
					test.touch(&events[i])
				}
			}
			r, err := Judge(events)
			if err != nil {
				t.Fatal(err)
			}
			c := check(t, r, "leak")
			if c.Verdict != test.verdict || !strings.Contains(c.Reason, test.reason) {
				t.Errorf("%s: %s\nwant %s with %q", c.Verdict, c.Reason, test.verdict, test.reason)
			}
			if c.Verdict == report.Pass && *c.Measured > *c.Target && !strings.Contains(c.Reason, "stopped") {
				t.Errorf("PASS with %v MB of %v allowed", *c.Measured, *c.Target)
			}
			if test.claim != nil && test.touch == nil && r.Resources.Cache == nil {
				t.Error("the report does not show the cache that the server declares")
			}
			if x := r.Resources.Cache; x != nil && (x.CapacityMB > x.UsedMB) != strings.Contains(check(t, r,
				"memory").Reason, "GB of cache still to fill") {
				t.Errorf("%+v; memory: %s", x, check(t, r, "memory").Reason)
			}
		})
	}
}

// TestAClaimHidesNoMoreThanItsBound: whatever a server reports about its cache, growth beyond the bound that it
// declared before the load is a leak. The claim may follow the memory, run ahead of it, or jump.
func TestAClaimHidesNoMoreThanItsBound(t *testing.T) {
	ofMemoryAlone(t)
	property.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(2, 60).Draw(t, "MB a second")
		bound := rapid.Float64Range(0, 0.7).Draw(t, "bound as a share of the growth") * rate * 40
		ahead := rapid.Float64Range(0, 3).Draw(t, "claimed for each MB")
		step := rapid.Float64Range(0.01, 200).Draw(t, "claimed in steps of MB")
		s := healthy(rapid.Uint64Range(1, 5).Draw(t, "seed"))
		s.grow = linear(rate, math.Inf(1))
		s.claim = func(loaded, _ float64) (float64, float64) {
			return math.Floor(rate*loaded*ahead/step) * step,
				bound
		}
		r, err := Judge(s.run())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Checks {
			if c.ID == "leak" && c.Verdict == report.Pass {
				t.Fatalf("a leak of %v MB/s behind a bound of %v MB passed: %s", rate, bound, c.Reason)
			}
		}
	})
}

// TestALinearLeakNeverSlows: a linear leak is never excused as growth that slows down, however noisy the memory is.
func TestALinearLeakNeverSlows(t *testing.T) {
	ofMemoryAlone(t)
	bad := 0
	const runs = 30
	for seed := range uint64(runs) {
		s := healthy(seed)
		noise := rand.New(rand.NewPCG(seed, 7))
		s.grow = func(loaded, _ float64) float64 { return 5*loaded + 8*noise.NormFloat64() }
		r, err := Judge(s.run())
		if err != nil {
			t.Fatal(err)
		}
		if c := check(t, r, "leak"); c.Verdict != report.Fail {
			bad++
			t.Logf("seed %d: %s: %s", seed, c.Verdict, c.Reason)
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d leaks did not fail", bad, runs)
	}
}

// TestClaimBetweenReadings: between two readings the size of the cache is interpolated linearly; outside them it is
// the nearest reading.
func TestClaimBetweenReadings(t *testing.T) {
	c := &cacheClaim{used: []at[float64]{{10, 100}, {20, 200}, {40, 200}}, capacity: 1000, from: 15}
	for ns, want := range map[int64]float64{0: 100, 10: 100, 12: 120, 20: 200, 30: 200, 99: 200} {
		if got := c.usedAt(ns); got != want {
			t.Errorf("at %d: %v, want %v", ns, got, want)
		}
	}
	if got := c.grownAt(20); got != 50 {
		t.Errorf("grown by %v, want 50", got)
	}
	for _, test := range []struct {
		quiet []float64
		want  bool
	}{{nil, false}, {[]float64{1}, false}, {[]float64{1, 1}, false}, {[]float64{1, 50}, true},
		{[]float64{1, 50, 50, 50}, false}, {[]float64{1, 1, 1, 50}, false}, {[]float64{1, 20, 40, 60}, true}} {
		if got := grows(test.quiet); got != test.want {
			t.Errorf("%s: %v, want %v", fmt.Sprint(test.quiet), got, test.want)
		}
	}
}
