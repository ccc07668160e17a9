package access

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Callers holds the API keys in force and what each has used of its limits. The keys may change at any time; the usage
// is kept under the key's name. A nil Callers lets everybody in. All methods are safe for concurrent use.
type Callers struct {
	keys   atomic.Pointer[Keys]
	quotas quotas
	file   *keyFile // nil: the keys come from the program
}

// Caller is who sent a request.
type Caller struct {
	Name   string // of the API key; empty where none is needed
	limits Limits
}

// NewCallers starts with the given keys.
func NewCallers(k *Keys) *Callers {
	c := &Callers{}
	c.keys.Store(k)
	return c
}

// OpenCallers reads a key file; see ParseKeys. Each request checks whether the file has changed, so keys can be added
// and removed without a restart, even where nobody can send the process a signal. Errors about the file's content
// match ErrKeys.
func OpenCallers(path string, log *slog.Logger) (*Callers, error) {
	f := &keyFile{path: path, log: log, watch: watch{paths: []string{path}}}
	keys, err := f.load()
	if err != nil {
		return nil, err
	}
	c := NewCallers(keys)
	c.file = f
	return c, nil
}

// Reload reads the key file again. If it cannot be read or is not valid, the old keys stay.
func (c *Callers) Reload() error {
	keys, err := c.file.load()
	if err != nil {
		return err
	}
	c.Set(keys)
	return nil
}

// Set changes the keys for requests from now on.
func (c *Callers) Set(k *Keys) {
	c.keys.Store(k)
	c.quotas.keep(k)
}

// Identify finds who sent a request. Errors are ErrKeyMissing and ErrKeyUnknown.
func (c *Callers) Identify(now time.Time, r *http.Request) (Caller, error) {
	if c == nil {
		return Caller{}, nil
	}
	if c.file != nil {
		if changed := c.file.changed(now); changed != nil {
			c.Set(changed)
		}
	}
	name, limits, err := c.keys.Load().authenticate(r)
	return Caller{Name: name, limits: limits}, err
}

// Enter lets a caller's request in, or returns a *QuotaError that says which limit it has reached. The caller must
// close the grant, which may be nil, in either case.
func (c *Callers) Enter(now time.Time, who Caller) (*Grant, error) {
	if c == nil {
		return nil, nil
	}
	return c.quotas.enter(now, who.Name, who.limits)
}

// keyFile is a file of keys that may change.
type keyFile struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	watch watch
}

// load reads the file, whether it has changed or not.
func (f *keyFile) load() (*Keys, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.look(time.Now())
	WarnReadable(f.log, "api_key_file", f.path)
	return f.read()
}

func (f *keyFile) read() (*Keys, error) {
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

// changed returns the keys if the file has changed and is valid, and nil otherwise. A request does not wait while
// another one reads the file.
func (f *keyFile) changed(now time.Time) *Keys {
	if !f.mu.TryLock() {
		return nil
	}
	defer f.mu.Unlock()
	if !f.watch.changed(now) {
		return nil
	}
	keys, err := f.read()
	if err != nil { // it may be half written: the next check will see another state
		f.log.Warn("the key file has changed and is not valid: the old keys stay", "error", err)
		return nil
	}
	f.log.Info("keys loaded", "keys", len(keys.names))
	return keys
}
