package loadgen

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// SystemClock is the most exact clock of this system: it sleeps in the kernel, on the schedule's own thread, where
// Go's timers wake half a millisecond late.
func SystemClock() Clock { return kernelClock{} }

type kernelClock struct{}

func (kernelClock) Now() time.Time { return time.Now() }

// takeThread fits the calling thread, which must be locked and ends with its goroutine, for exact sleeps. The kernel
// may end a thread's sleeps late by its slack, 50 µs unless told otherwise. And when every core computes, a thread
// that wakes waits for milliseconds, unless it is a real-time one: this one works for some 30 µs a request and sleeps
// otherwise. Where the process has no right to real-time threads (it takes CAP_SYS_NICE or RLIMIT_RTPRIO) it stays as
// it is, and the recorded issue delay shows the difference.
//
// Of real-time threads the one of higher priority goes first: the schedule's before the one that makes its requests.
func (kernelClock) takeThread(priority uint32) {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: priority}, 0)
}

// slice bounds one sleep, so that the end of ctx is noticed.
const slice = 20 * time.Millisecond

func (kernelClock) SleepUntil(ctx context.Context, t time.Time) {
	for ctx.Err() == nil {
		d := time.Until(t)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(min(d, slice)))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // a signal may end it early: the loop goes on
	}
}
