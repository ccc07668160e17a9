package loadgen

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// SystemClock is the most exact clock of this system. It sleeps in the kernel on the schedule's own thread, while Go's
// timers wake up half a millisecond late.
func SystemClock() Clock { return kernelClock{} }

type kernelClock struct{}

func (kernelClock) Now() time.Time { return time.Now() }

// takeThread makes the sleeps of the calling thread exact. The thread must be locked, and must end with its goroutine.
// The kernel may end a thread's sleeps late by its slack, which is 50 µs by default, so this sets it to 1 ns. If all
// cores are busy, a thread that wakes up waits for milliseconds, unless it is a real-time thread. This one may be,
// because it works for only about 30 µs for each request. Real-time threads need CAP_SYS_NICE or RLIMIT_RTPRIO.
// Without these the thread keeps its priority, and the recorded issue delay shows the difference.
//
// The thread of the schedule has a higher priority than the one that makes its requests.
func (kernelClock) takeThread(priority uint32) {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_RR, Priority: priority}, 0)
}

// slice is the longest single sleep, so that the end of ctx is noticed in time.
const slice = 20 * time.Millisecond

func (kernelClock) SleepUntil(ctx context.Context, t time.Time) {
	for ctx.Err() == nil {
		d := time.Until(t)
		if d <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(min(d, slice)))
		// a signal may end it early; then the loop sleeps again
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil)
	}
}
