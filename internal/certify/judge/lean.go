package judge

import (
	"runtime/debug"
	"sync"
)

// A record of manyRequests takes much of the machine's memory. Go's garbage collector then runs when the heap has
// grown by a seventh, and not when it has doubled. Its cycles are short, because requests lie in blocks, most of which
// have no pointers.
const (
	manyRequests  = 1 << 18
	leanGCPercent = 15
)

// lean counts the records of many requests that are being judged, and keeps the setting from before the first of them.
var lean struct {
	sync.Mutex
	n, before int
}

// beLean lowers the setting of Go's garbage collector for the whole process, until end is called.
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
