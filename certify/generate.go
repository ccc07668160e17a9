package certify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/certify/probe"
	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
)

// GenerateOptions are the options of a generator, which makes load for runs that another machine coordinates.
type GenerateOptions struct {
	Key         []byte           // a secret that coordinators share; required if other machines can reach the listener
	Certificate *tls.Certificate // of the listener; nil: a self-signed one, and only the key authenticates both sides
	// AllowTargets are the only servers that load and its traces may be sent to: HOST, HOST:PORT, or the beginning of
	// a URL; empty: every server that a coordinator with the key names.
	AllowTargets []string
	// RecordDir is a directory for this generator's own records, which `mixtral report merge` reads; empty: it keeps
	// none.
	RecordDir string
	Version   string       // the program's version; coordinators of another version are refused
	Once      bool         // Generate returns after the first run
	Note      func(string) // is called with messages for the user; nil: there are none

	clock loadgen.Clock // nil: the system's clock
	ahead time.Duration // added to its times, for tests
}

// Generate makes load for one run after another, until ctx ends. In each run it makes the part of the load that the
// coordinator assigns (see Options.Generators). It sends load to the target of the run, traces to the collector that
// the coordinator names, and nothing to any other address. A run is stopped when ctx ends or when the coordinator
// falls silent.
func Generate(ctx context.Context, l net.Listener, o GenerateOptions) error {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if err := checkListener(l.Addr(), o.Key); err != nil {
		return err
	}
	for _, pattern := range o.AllowTargets {
		if _, err := parseAllowed(pattern); err != nil {
			return err
		}
	}
	if o.RecordDir != "" {
		if err := writable(o.RecordDir); err != nil {
			return fmt.Errorf("%w: directory for records: %w", ErrOptions, err)
		}
	}
	if o.clock == nil {
		o.clock = loadgen.SystemClock()
	}
	epoch := o.clock.Now().Add(-o.ahead)
	return remote.Serve(ctx, l, remote.ServerOptions{Key: o.Key, Certificate: o.Certificate,
		Hello: remote.Hello{Version: release(o.Version), Environment: probe.Machine()}, Once: o.Once, Note: o.Note,
		Keep: o.RecordDir != "", Now: func() int64 { return o.clock.Now().Sub(epoch).Nanoseconds() },
		Worker: func(guest remote.Guest) remote.Worker { return &worker{o: o, guest: guest, epoch: epoch} }})
}

// ErrOpenToAll matches Generate's error if other machines could reach the generator without a key.
var ErrOpenToAll = errors.New("a generator that others can reach needs a key")

// checkListener demands a key if other machines can reach the generator.
func checkListener(a net.Addr, key []byte) error {
	tcp, ok := a.(*net.TCPAddr)
	if len(key) == 0 && ok && tcp.IP.IsLoopback() {
		return nil
	}
	switch {
	case len(key) == 0:
		return fmt.Errorf("%w: %s is reachable from other machines", ErrOpenToAll, a)
	case len(key) < remote.MinKey:
		return fmt.Errorf("%w: the key must have at least %d bytes, got %d", ErrOptions, remote.MinKey, len(key))
	}
	return nil
}

// ErrNotAllowed matches the error about a target that a generator may not send load to.
var ErrNotAllowed = errors.New("this generator may not send load there")

// allowed is a parsed element of AllowTargets.
type allowed struct {
	scheme, host, port, path string // empty: any
}

func parseAllowed(pattern string) (allowed, error) {
	address := pattern
	if !strings.Contains(pattern, "://") {
		address = "//" + pattern
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" ||
		u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" || u.Scheme == "" && u.Path != "" {
		return allowed{}, fmt.Errorf("%w: allowed target %q: must be HOST, HOST:PORT, or a URL that begins with "+
			"http:// "+
			"or https://", ErrOptions, pattern)
	}
	a := allowed{u.Scheme, strings.ToLower(u.Hostname()), u.Port(), strings.TrimSuffix(u.Path, "/")}
	if a.scheme != "" && a.port == "" {
		a.port = portOf(a.scheme)
	}
	return a, nil
}

func portOf(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// allows says whether a matches a URL, so that load may be sent there.
func (a allowed) allows(u *url.URL) bool {
	port, path := u.Port(), strings.TrimSuffix(u.Path, "/")
	if port == "" {
		port = portOf(u.Scheme)
	}
	return (a.scheme == "" || a.scheme == u.Scheme) && a.host == strings.ToLower(u.Hostname()) &&
		(a.port == "" || a.port == port) && (path == a.path || strings.HasPrefix(path, a.path+"/"))
}

// checkTarget returns an error if load may not be sent to a target.
func checkTarget(patterns []string, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	for _, pattern := range patterns {
		if a, err := parseAllowed(pattern); err == nil && a.allows(u) {
			return nil
		}
	}
	if len(patterns) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; allowed targets: %s", ErrNotAllowed, target, strings.Join(patterns, ", "))
}
