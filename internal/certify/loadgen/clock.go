package loadgen

import (
	"context"
	"time"
)

// Clock is the clock of a client and a schedule.
type Clock interface {
	Now() time.Time
	// SleepUntil returns at t, or when it notices that ctx has ended. Only one goroutine may call it at a time.
	SleepUntil(ctx context.Context, t time.Time)
}

// TimerClock is Go's own clock. Its sleeps end about half a millisecond late; in a synctest bubble they are exact.
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
