package host

import "time"

// Budget keeps a process to a number of cores on a machine that has more: its computing threads leave no room for what else it
// does (requests, the garbage collector, the kernel on its behalf), so they pause for as long as that takes. It is a token
// bucket of processor time, without a clock, for one goroutine.
type Budget struct {
	Cores float64

	at    time.Time
	used  time.Duration
	saved time.Duration // of processor time; negative: overdrawn
}

const (
	// burst is what may be saved up, in time of all cores: 1 % of a second, which is what resource limits are measured over.
	burst = 10 * time.Millisecond
	// leastPause is worth a system call and a thread's way back to its core.
	leastPause = time.Millisecond
	// mostPause bounds what a clock that jumps can do.
	mostPause = 100 * time.Millisecond
)

// Pause takes the time and the process's CPUTime, and says how long to compute nothing.
func (b *Budget) Pause(now time.Time, used time.Duration) time.Duration {
	wall, spent := now.Sub(b.at), used-b.used
	first := b.at.IsZero()
	b.at, b.used = now, used
	most := time.Duration(b.Cores * float64(burst))
	if first || wall < 0 || spent < 0 {
		b.saved = most
		return 0
	}
	// What is owed at most is what a pause pays back: time that was lost to a debugger or a suspended machine is not owed.
	b.saved = max(min(b.saved+time.Duration(b.Cores*float64(wall))-spent, most), -time.Duration(b.Cores*float64(mostPause)))
	pause := time.Duration(float64(-b.saved) / b.Cores)
	if pause < leastPause {
		return 0
	}
	return min(pause, mostPause)
}
