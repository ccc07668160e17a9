package access

import (
	"os"
	"slices"
	"time"
)

// watch tells when files have changed. It checks them at most once per checkEvery, so every request may ask. It has no
// clock.
type watch struct {
	paths  []string
	states []os.FileInfo // at the last check; nil for a file that did not exist
	looked time.Time
}

const checkEvery = time.Second

// look notes the present state of the files. Call it before reading them: a change during the read is then seen at the
// next check.
func (w *watch) look(now time.Time) {
	w.looked, w.states = now, make([]os.FileInfo, len(w.paths))
	for i, path := range w.paths {
		if info, err := os.Stat(path); err == nil {
			w.states[i] = info
		}
	}
}

// changed checks again whether any file differs from its state at the last check.
func (w *watch) changed(now time.Time) bool {
	if now.Sub(w.looked) < checkEvery {
		return false
	}
	before := w.states
	w.look(now)
	return !slices.EqualFunc(before, w.states, sameFile)
}

// sameFile says whether a file is unchanged. A symbolic link that points elsewhere is another file; Kubernetes renews
// secrets in this way.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
