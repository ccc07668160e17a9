package loadgen

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// SystemClock is the most exact clock of this system: it sleeps in the kernel, on the schedule's own thread, where Go's
// timers wake half a millisecond late.
func SystemClock() Clock { return kernelClock{} }

type kernelClock struct{}

func (kernelClock) Now() time.Time { return time.Now() }

// slice bounds one sleep, so that the end of ctx is noticed.
const slice = 20 * time.Millisecond

func (kernelClock) SleepUntil(ctx context.Context, t time.Time) {
	// The kernel may end a thread's sleeps late by its slack, 50 µs unless told otherwise.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	for ctx.Err() == nil {
		d := time.Until(t)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(min(d, slice)))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // a signal may end it early: the loop goes on
	}
}
