//go:build (amd64 || arm64) && !race

package loadgen

import (
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/base/walltest"
)

// TestSetClockMovesNoArrival: packets arrive every 100 ms and are read 3 ms later, while the wall clock is set back
// and forth at any moment. Each arrival is at its true time or at the time of its read, and never anywhere else.
func TestSetClockMovesNoArrival(t *testing.T) {
	for _, step := range []time.Duration{5 * time.Second, -5 * time.Second, time.Hour, -time.Hour,
		20 * time.Millisecond, -20 * time.Millisecond, 0} {
		// as a packet arrives, waits, is read, and between packets
		for _, at := range []time.Duration{500 * time.Millisecond, 501 * time.Millisecond, 503 * time.Millisecond,
			550 * time.Millisecond} {
			start := time.Now()
			wall := func(since time.Duration) time.Time { // both clocks at a moment
				now := start.Add(since)
				if since >= at {
					now = walltest.Set(t, now, step)
				}
				return now
			}
			c := wallClock{seen: start}
			for i := range 10 {
				came, read := time.Duration(i)*100*time.Millisecond,
					time.Duration(i)*100*time.Millisecond+3*time.Millisecond
				got := c.arrival(wall(read), wall(came).UnixNano(), true).Sub(start)
				undisturbed := step == 0 || read < at || came >= at && i > 0 &&
					time.Duration(i-1)*100*time.Millisecond+3*time.Millisecond >= at
				if got != came && (undisturbed || got != read) {
					t.Errorf("set by %v after %v: packet %d of %v was read at %v, and is said to have come at %v",
						step, at, i, came, read, got)
				}
			}
		}
	}
	c := wallClock{seen: time.Now()}
	if now := time.Now(); c.arrival(now, 0, false) != now {
		t.Error("no stamp, and not the time of the read")
	}
	hostile.Survived(t, "the wall clock, set while packets come", 28, 24, "no arrival changes")
}
