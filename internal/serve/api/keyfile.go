package api

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// KeyFile is a file of keys as ParseKeys reads it. Requests look whether it has changed, so that keys come and go
// without a restart, also where nobody can send the process a signal.
type KeyFile struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	watch watch
}

// OpenKeys reads a key file. Errors of its content match ErrKeys.
func OpenKeys(path string, log *slog.Logger) (*KeyFile, *Keys, error) {
	f := &KeyFile{path: path, log: log, watch: watch{paths: []string{path}}}
	keys, err := f.Read()
	return f, keys, err
}

// Read reads the file.
func (f *KeyFile) Read() (*Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.look(time.Now())
	return f.read()
}

func (f *KeyFile) read() (*Keys, error) {
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	keys, err := ParseKeys(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return keys, nil
}

// changed gives the keys of a file that has changed and is good, nil otherwise. A request does not wait for another
// that reads.
func (f *KeyFile) changed(now time.Time) *Keys {
	if !f.mu.TryLock() {
		return nil
	}
	defer f.mu.Unlock()
	if !f.watch.changed(now) {
		return nil
	}
	keys, err := f.read()
	if err != nil { // it may be half written: then the next look will see another state
		f.log.Warn("the key file has changed and is not good: the old keys stay", "error", err)
		return nil
	}
	f.log.Info("keys loaded", "keys", len(keys.names))
	return keys
}
