package loadgen

import (
	"runtime"
	"sync"
)

// spareProcs is by how much Run raises GOMAXPROCS. The generator's goroutines are short and many, and wait for one of
// Go's processors only if something else holds them all: the thread that reads, the thread that sends, or a service
// that computes in the same process. With two to spare the kernel shares out the time instead, and the errors of
// gaps fall to a third.
const spareProcs = 2

var procs struct {
	sync.Mutex
	users  int
	before int
}

// raiseProcs raises GOMAXPROCS while any Run is under way; the returned function ends that.
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
			runtime.GOMAXPROCS(procs.before) // unless somebody else has set it meanwhile
		}
	}
}
