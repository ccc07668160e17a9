package access

import (
	"os"
	"slices"
	"time"
)

// watch tells when files have changed. It looks at them at most once in checkEvery, so that every request may ask. It
// has no clock.
type watch struct {
	paths  []string
	states []os.FileInfo // at the last look; nil for a file that was not there
	looked time.Time
}

const checkEvery = time.Second

// look takes in how the files are now. It comes before they are read: what changes meanwhile is a change.
func (w *watch) look(now time.Time) {
	w.looked, w.states = now, make([]os.FileInfo, len(w.paths))
	for i, path := range w.paths {
		if info, err := os.Stat(path); err == nil {
			w.states[i] = info
		}
	}
}

// changed looks again, and says whether a file is another one than at the last look.
func (w *watch) changed(now time.Time) bool {
	if now.Sub(w.looked) < checkEvery {
		return false
	}
	before := w.states
	w.look(now)
	return !slices.EqualFunc(before, w.states, sameFile)
}

// sameFile tells whether a file is as it was. A symbolic link that points elsewhere, as Kubernetes renews secrets, is
// another file.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
