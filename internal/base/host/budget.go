package host

import "time"

// Budget keeps a process to a number of cores on a machine that has more. Computing threads leave no room for what
// else it does (requests, the garbage collector, the kernel on its behalf), so they pause for as long as that takes;
// where requests alone would take more than half, those wait too. It is a token bucket of processor time, without a
// clock or a lock.
type Budget struct {
	Cores float64

	at      time.Time
	used    time.Duration
	saved   time.Duration // of processor time; negative: overdrawn
	resumed time.Time     // end of the last pause
}

const (
	// burst is what may be saved up, in time of all cores: 1 % of a second, which is what resource limits are
	// measured over.
	burst = 10 * time.Millisecond
	// slack is how far it may be overdrawn before requests wait, in time of all cores: pauses come first.
	slack = 20 * time.Millisecond
	// most is how far it can be overdrawn: what a debugger, or a machine that was suspended, took is not paid back.
	most = 200 * time.Millisecond
	// leastPause is worth a system call and a thread's way back to its core.
	leastPause = time.Millisecond
)

// account brings the budget up to date.
func (b *Budget) account(now time.Time, used time.Duration) {
	wall, spent := now.Sub(b.at), used-b.used
	if b.at.IsZero() || wall < 0 || spent < 0 { // the first, or a clock has stepped
		b.saved, b.resumed = b.time(burst), now
	} else {
		b.saved = max(min(b.saved+b.time(wall)-spent, b.time(burst)), -b.time(most))
	}
	b.at, b.used = now, used
}

// time is the processor time of all cores in a time.
func (b *Budget) time(d time.Duration) time.Duration { return time.Duration(b.Cores * float64(d)) }

// Pause takes the time and the process's CPUTime, and says how long to compute nothing. It is never more than what
// passed since the last pause: at least half of the time is for computing, whatever else there is to do.
func (b *Budget) Pause(now time.Time, used time.Duration) time.Duration {
	b.account(now, used)
	pause := time.Duration(float64(-b.saved) / b.Cores)
	if pause < leastPause {
		return 0
	}
	pause = min(pause, max(now.Sub(b.resumed), leastPause))
	b.resumed = now.Add(pause)
	return pause
}

// Hold says how long a request is to wait before anything is done for it.
func (b *Budget) Hold(now time.Time, used time.Duration) time.Duration {
	b.account(now, used)
	return max(time.Duration(float64(-b.saved)/b.Cores)-slack, 0)
}
