package host

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBudget simulates processes that use as many cores as they like and pause when they are told: over every second they keep
// to their cores, and those that use less never pause.
func TestBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Budget{Cores: float64(rapid.IntRange(1, 64).Draw(t, "cores"))}
		wants := b.Cores * rapid.SampledFrom([]float64{0.5, 0.99, 1.01, 1.1, 1.5, 2}).Draw(t, "wants")
		aside := rapid.SampledFrom([]float64{0, 0.1, 0.5}).Draw(t, "aside") // cores that go on while the others pause
		now, used := time.Unix(1000, 0), time.Duration(0)
		step := func(d time.Duration, cores float64) {
			now, used = now.Add(d), used+time.Duration(cores*float64(d))
		}
		began, before := now, used
		for now.Sub(began) < 5*time.Second {
			step(time.Duration(rapid.IntRange(100, 20000).Draw(t, "step"))*time.Microsecond, wants+aside)
			if pause := b.Pause(now, used); pause > 0 {
				if wants+aside < b.Cores {
					t.Fatalf("pauses at %v of %v cores", wants+aside, b.Cores)
				}
				step(pause, aside)
			}
		}
		wall := now.Sub(began).Seconds()
		if got := (used - before).Seconds() / wall; got > b.Cores*(1+0.03/wall) { // the burst, and one step
			t.Fatalf("%.3f cores of %v", got, b.Cores)
		}
	})
}

// TestBudgetForgives: clocks that step, and a machine that slept, stop nothing for long.
func TestBudgetForgives(t *testing.T) {
	b := Budget{Cores: 2}
	now := time.Unix(1000, 0)
	for _, test := range []struct {
		wall, cpu, want time.Duration
	}{
		{0, 0, 0},
		{-time.Hour, 0, 0},
		{time.Second, time.Hour, mostPause},
		{mostPause, 0, 0},
		{time.Second, 2 * time.Second, 0},
		{time.Second, 2*time.Second + 60*time.Millisecond, 30 * time.Millisecond},
		{0, -time.Hour, 0},
		{10 * time.Hour, 0, 0},
		{time.Millisecond, 40 * time.Millisecond, 9 * time.Millisecond}, // what was saved is no more than the burst
	} {
		now = now.Add(test.wall)
		if got := b.Pause(now, b.used+test.cpu); got != test.want {
			t.Errorf("%v and %v more: pause of %v, want %v", test.wall, test.cpu, got, test.want)
		}
	}
}
