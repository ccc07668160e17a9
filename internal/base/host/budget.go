package host

import "time"

// Budget keeps a process to a number of cores on a machine that has more. Computing threads leave no room for the rest
// of its work (requests, the garbage collector, the kernel on its behalf), so they pause for as long as that takes. If
// requests alone would take more than half of the time, they wait too. It is a token bucket of processor time, without
// a clock or a lock.
type Budget struct {
	Cores float64

	at      time.Time
	used    time.Duration
	saved   time.Duration // of processor time; negative: overdrawn
	resumed time.Time     // end of the last pause
}

const (
	// burst is how much may be saved up, in time of all cores: 1 % of a second, the period over which resource limits
	// are measured.
	burst = 10 * time.Millisecond
	// slack is how far the budget may be overdrawn before requests wait, in time of all cores: computing threads pause
	// first.
	slack = 20 * time.Millisecond
	// most is how far the budget can be overdrawn: time that a debugger or a suspended machine took is not paid back.
	most = 200 * time.Millisecond
	// leastPause is long enough to be worth a system call and the return of the thread to its core.
	leastPause = time.Millisecond
)

// account brings the budget up to date.
func (b *Budget) account(now time.Time, used time.Duration) {
	wall, spent := now.Sub(b.at), used-b.used
	if b.at.IsZero() || wall < 0 || spent < 0 { // the first call, or a clock has stepped
		b.saved, b.resumed = b.time(burst), now
	} else {
		b.saved = max(min(b.saved+b.time(wall)-spent, b.time(burst)), -b.time(most))
	}
	b.at, b.used = now, used
}

// time is the processor time of all cores in a period.
func (b *Budget) time(d time.Duration) time.Duration { return time.Duration(b.Cores * float64(d)) }

// Pause takes the present time and the process's CPUTime, and says how long to pause computing. The pause is never
// longer than the time since the last one, so at least half of the time is for computing, whatever else there is to
// do.
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

// Hold says how long a request has to wait before it is processed.
func (b *Budget) Hold(now time.Time, used time.Duration) time.Duration {
	b.account(now, used)
	return max(time.Duration(float64(-b.saved)/b.Cores)-slack, 0)
}
