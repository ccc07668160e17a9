package judge

import (
	"runtime/debug"
	"sync"
)

// A record of so many requests takes a part of the machine's memory that matters: the collector then works when the
// heap has grown by a seventh and not when it has doubled. What it has to look through is small, since requests lie in
// blocks, most of them without pointers.
const (
	manyRequests  = 1 << 18
	leanGCPercent = 15
)

// lean is how many records of many requests are judged just now, and what was set before the first of them.
var lean struct {
	sync.Mutex
	n, before int
}

// beLean lowers the collector's setting, for the whole process, until it is ended.
func beLean() (end func()) {
	lean.Lock()
	defer lean.Unlock()
	if lean.n++; lean.n == 1 {
		if lean.before = debug.SetGCPercent(leanGCPercent); lean.before >= 0 && lean.before < leanGCPercent {
			debug.SetGCPercent(lean.before)
		}
	}
	return sync.OnceFunc(func() {
		lean.Lock()
		defer lean.Unlock()
		if lean.n--; lean.n == 0 {
			debug.SetGCPercent(lean.before)
		}
	})
}
