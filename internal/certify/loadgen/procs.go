package loadgen

import (
	"runtime"
	"sync"
)

// spareProcs is by how much Run raises GOMAXPROCS. The client's goroutines are many and short. They wait for one of
// Go's processors only if others hold all of them: the thread that reads, the thread that sends, or a service that
// computes in the same process. With two more processors the kernel divides the time instead, and the errors of gaps
// fall to a third.
const spareProcs = 2

var procs struct {
	sync.Mutex
	users  int
	before int
}

// raiseProcs raises GOMAXPROCS while any Run is under way. The returned function must be called at the end of that
// Run.
func raiseProcs() (restore func()) {
	procs.Lock()
	defer procs.Unlock()
	if procs.users == 0 {
		procs.before = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(procs.before + spareProcs)
	}
	procs.users++
	return func() {
		procs.Lock()
		defer procs.Unlock()
		if procs.users--; procs.users == 0 && runtime.GOMAXPROCS(0) == procs.before+spareProcs {
			runtime.GOMAXPROCS(procs.before) // unless other code has set it meanwhile
		}
	}
}
