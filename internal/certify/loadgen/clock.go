package loadgen

import (
	"context"
	"time"
)

// Clock is the time that a client and a schedule live by.
type Clock interface {
	Now() time.Time
	// SleepUntil returns at t, or as soon as it notices that ctx has ended. It is called by one goroutine.
	SleepUntil(ctx context.Context, t time.Time)
}

// TimerClock is Go's own time. Its sleeps end about half a millisecond late; in a synctest bubble they are exact.
type TimerClock struct{}

// Now is time.Now.
func (TimerClock) Now() time.Time { return time.Now() }

// SleepUntil waits for a timer or for ctx.
func (TimerClock) SleepUntil(ctx context.Context, t time.Time) {
	d := time.Until(t)
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
