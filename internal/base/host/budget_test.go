package host

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// TestBudget simulates a process in steps of a tenth of a millisecond: threads that compute when they do not pause,
// and requests that come as fast as they are let in, each of which costs some time. The whole keeps to its cores over
// every second, computing gets what requests leave and at least half, and a process that needs less than it may have
// never waits.
func TestBudget(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		b := Budget{Cores: float64(rapid.IntRange(1, 64).Draw(t, "cores"))}
		compute := b.Cores * rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "compute")
		requests := b.Cores * rapid.SampledFrom([]float64{0, 0.05, 0.3, 0.6, 1, 3}).Draw(t, "requests")
		const tick, seconds = 100 * time.Microsecond, 3
		step := time.Duration(rapid.IntRange(10, 200).Draw(t, "step")) * tick
		now, used := time.Unix(1000, 0), time.Duration(0)
		b.Pause(now, used)
		var computed, requested time.Duration
		var paused, held, next time.Time
		for range seconds * int(time.Second/tick) {
			if !now.Before(paused) {
				computed += time.Duration(compute * float64(tick))
			}
			if now = now.Add(tick); !now.Before(held) {
				requested += time.Duration(requests * float64(tick))
			}
			used = computed + requested
			if held = now.Add(b.Hold(now, used)); !now.Before(next) && !now.Before(paused) {
				pause := b.Pause(now, used)
				paused = now.Add(pause)
				next = paused.Add(step)
			}
		}
		if total := used.Seconds() / seconds; total > b.Cores*1.03 { // burst, slack, and one step
			t.Fatalf("%.3f cores of %v: %v of computing and %v of requests", total, b.Cores, computed, requested)
		}
		wants := (compute + requests) / b.Cores
		if wants < 1 && used < time.Duration((compute+requests)*float64(seconds)*0.99*float64(time.Second)) {
			t.Fatalf("waits without need: %v of %.2f cores", used, compute+requests)
		}
		if fair := min(compute, max(b.Cores-requests, compute/2)); computed.Seconds() < 0.9*fair*seconds {
			t.Fatalf("computed %v in %d s with %.2f of %v cores; requests took %v", computed, seconds, compute,
				b.Cores, requested)
		}
	})
}

// TestBudgetForgives: after a step of the clock, or a suspended machine, nothing waits for long.
func TestBudgetForgives(t *testing.T) {
	b := Budget{Cores: 2}
	now := time.Unix(1000, 0)
	for _, test := range []struct {
		wall, cpu, want time.Duration
	}{
		{0, 0, 0},
		{-time.Hour, 0, 0},
		{time.Second, time.Hour, most},
		{most, 0, 0},
		{time.Second, 2 * time.Second, 0},
		{time.Second, 2*time.Second + 60*time.Millisecond, 30 * time.Millisecond},
		{0, -time.Hour, 0},
		{10 * time.Hour, 0, 0},
		// no more than the burst was saved
		{20 * time.Millisecond, 78 * time.Millisecond, 9 * time.Millisecond},
		{9 * time.Millisecond, 0, 0},
		{2 * time.Millisecond, 40 * time.Millisecond, 2 * time.Millisecond}, // half of the time is for computing
	} {
		now = now.Add(test.wall)
		if got := b.Pause(now, b.used+test.cpu); got != test.want {
			t.Errorf("%v and %v more: pause of %v, want %v", test.wall, test.cpu, got, test.want)
		}
	}
}
