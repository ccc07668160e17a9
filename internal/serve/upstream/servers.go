package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// Server is one upstream server.
type Server struct {
	URL    string            // as "http://host:port", or with a path before /v1
	APIKey string            // sent there in place of the client's own; empty: Config.APIKey
	Models map[string]string // clients' names to its own; nil: its list, renamed by Config.Models
	Any    bool              // it also gets names that no server lists
	Weight float64           // its share of requests relative to the weights of the others; 0: 1
	Share  float64           // 0 to 1: a fixed share of its models' requests, for a canary; 0: the policy decides
	Drain  bool              // it gets no new requests
}

// member is the server as the pool knows it.
func (s *Server) member() route.Member {
	m := route.Member{Name: s.URL, Any: s.Any, Weight: s.Weight, Share: s.Share, Drain: s.Drain}
	if s.Models != nil {
		m.Models = slices.Sorted(maps.Keys(s.Models))
	}
	return m
}

// server is a Server in use.
type server struct {
	Server
	base   *url.URL
	label  string // in metrics, logs and errors
	models []llm.Model
	stop   context.CancelFunc // ends its health checks
	kick   chan struct{}      // asks for a health check now
	first  *histogram         // from the beginning of a try to the first byte of its answer
}

// name returns the server's own name of a model.
func (s *server) name(here string, all map[string]string) string {
	if there, ok := s.Models[here]; ok {
		return there
	}
	if there, ok := all[here]; ok {
		return there
	}
	return here
}

// here returns the names that clients use for a model of the server. A model that the configuration leaves out has
// none.
func (s *server) here(there string, all map[string]string) (names []string) {
	for _, models := range []map[string]string{s.Models, all} {
		for _, name := range slices.Sorted(maps.Keys(models)) {
			if models[name] == there && (s.Models == nil || s.Models[name] == there) {
				names = append(names, name)
			}
		}
		if names != nil || s.Models != nil {
			return names
		}
	}
	return []string{there}
}

// CheckServers says whether New and Set would take these servers. Errors match ErrURL and route.ErrRules.
func CheckServers(list []Server) error {
	_, err := parseServers(list)
	return err
}

// parseServers makes servers of their configuration. Their health checks do not run yet.
func parseServers(list []Server) ([]*server, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrURL)
	}
	var servers []*server
	var members []route.Member
	for _, c := range list {
		base, err := parseURL(c.URL)
		if err != nil {
			return nil, err
		}
		c.URL = base.String()
		servers = append(servers, &server{Server: c, base: base, label: base.Host, kick: make(chan struct{}, 1),
			first: &histogram{}})
		members = append(members, c.member())
	}
	for i, s := range servers {
		if slices.ContainsFunc(servers, func(o *server) bool { return o != s && o.base.Host == s.base.Host }) {
			servers[i].label = s.URL
		}
	}
	return servers, route.CheckMembers(members)
}

func parseURL(raw string) (*url.URL, error) {
	b, err := url.Parse(strings.TrimSuffix(strings.TrimRight(raw, "/"), "/v1"))
	if err != nil || b.Scheme != "http" && b.Scheme != "https" || b.Host == "" || b.User != nil || b.RawQuery != "" ||
		b.Fragment != "" {
		return nil, fmt.Errorf("%w: %q: must be http://host:port or https://host", ErrURL, raw)
	}
	return b, nil
}

// Set replaces the servers. A server with the URL of an old one keeps its state. A new one is used after its first
// successful health check, and starts slowly. A removed one finishes its requests. If anything is wrong with the list,
// nothing changes.
func (u *Upstream) Set(list []Server) error {
	servers, err := parseServers(list)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return llm.ErrClosed
	}
	var members []route.Member
	next := map[string]*server{}
	for i, s := range servers {
		members = append(members, s.member())
		switch old := u.servers[s.URL]; {
		case old != nil && old.label == s.label && reflect.DeepEqual(old.Server, s.Server):
			servers[i] = old
		case old != nil:
			old.stop()
			s.models, s.first, s.kick = old.models, old.first, old.kick
		}
		next[s.URL] = servers[i]
	}
	for name, s := range u.servers {
		if next[name] == nil {
			s.stop()
			u.leaving[name] = s
			u.log.Info("upstream removed", "replica", s.label)
		}
	}
	u.servers, u.order = next, servers
	u.pool.Set(u.now(), members)
	u.forget()
	for _, s := range servers {
		u.hear(s)
		if s.stop != nil { // its health checks run
			continue
		}
		ctx, cancel := context.WithCancel(u.alive)
		s.stop = cancel
		if u.c.HealthEvery > 0 {
			u.stopped.Go(func() { u.watch(ctx, s) })
		}
	}
	return nil
}

// forget drops removed servers that have finished. The caller holds the lock.
func (u *Upstream) forget() {
	maps.DeleteFunc(u.leaving, func(name string, _ *server) bool {
		return u.servers[name] != nil || u.pool.Find(name) == nil
	})
}

// hear tells the pool which models a server lists. The caller holds the lock.
func (u *Upstream) hear(s *server) {
	if s.models == nil {
		return
	}
	var names []string
	for _, m := range s.models {
		names = append(names, s.here(m.ID, u.c.Models)...)
	}
	u.pool.Serves(u.pool.Find(s.URL), append([]string{}, names...))
}

// Models returns the models that the servers serve, under the names that clients use, in the order of the servers.
func (u *Upstream) Models() (list []llm.Model) {
	u.mu.Lock()
	defer u.mu.Unlock()
	heard := map[string]llm.Model{}
	for _, s := range slices.Backward(u.order) { // the first server that describes a model wins
		for _, m := range s.models {
			for _, name := range s.here(m.ID, u.c.Models) {
				heard[name] = llm.Model{ID: name, Created: m.Created, ContextLength: m.ContextLength}
			}
		}
	}
	for _, name := range u.pool.Models() {
		m, ok := heard[name]
		if !ok { // configured, but its server has not listed it
			m = llm.Model{ID: name, Created: u.began}
		}
		list = append(list, m)
	}
	return list
}

// Replica describes one upstream server.
type Replica struct {
	Name        string          // host and port, or the URL where another server has the same; unique
	State       route.State     // in words
	Up          bool            // it may get requests now
	Outstanding int             // requests under way
	Weight      float64         // at present: less than its own during a slow start, 0 while it gets nothing
	Sent        int64           // tries since it was added
	Failed      int64           // of these
	First       telemetry.Times // from the beginning of a try to the first byte of its answer
}

// Replicas describes all servers in the order of the configuration, then the removed ones that finish their requests.
func (u *Upstream) Replicas() []Replica {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []Replica
	for _, i := range u.pool.Replicas(u.now()) {
		s := u.servers[i.Name]
		if s == nil {
			s = u.leaving[i.Name]
		}
		if s == nil || slices.ContainsFunc(list, func(r Replica) bool { return r.Name == s.label }) {
			continue
		}
		list = append(list, Replica{Name: s.label, State: i.State, Up: i.Usable, Outstanding: i.Outstanding,
			Weight: i.Weight, Sent: i.Sent, Failed: i.Failed, First: s.first.times()})
	}
	return list
}

// Fleet describes all servers together.
type Fleet struct {
	Retries, Denied int64 // requests that were tried again, and retries that the budget did not allow
	Models, Missing int   // models, and those of them without a server that may be used now
}

// Fleet describes all servers together.
func (u *Upstream) Fleet() (f Fleet) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f.Retries, f.Denied = u.pool.Retries()
	_, f.Models, f.Missing = u.pool.Status(u.now())
	return f
}

// known returns the path of a model's directory for one of its names, if servers list the model under this path and
// none lists the name.
func (u *Upstream) known(model string) string {
	if u.c.Directory == "" || !slices.Contains(u.c.Names, model) {
		return model
	}
	found := model
	for _, m := range u.Models() {
		switch {
		case m.ID == model: // the servers use this name themselves
			return model
		case strings.TrimRight(m.ID, "/") == strings.TrimRight(u.c.Directory, "/"):
			found = m.ID
		}
	}
	return found
}

// errModel says that no server serves a model, and lists those that are served.
func (u *Upstream) errModel(model string) error {
	var names []string
	for _, m := range u.Models() {
		names = append(names, m.ID)
	}
	return fmt.Errorf("%w: %q is not served; these are: %s", llm.ErrModelNotFound, model, strings.Join(names, ", "))
}

// isLate tells a health check that timed out from one that failed.
func isLate(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// histogram counts durations.
type histogram struct {
	counts []uint64
	sum    float64
}

func (h *histogram) add(d time.Duration) {
	if h.counts == nil {
		h.counts = make([]uint64, len(telemetry.FirstByteBuckets)+1)
	}
	i, _ := slices.BinarySearch(telemetry.FirstByteBuckets, d.Seconds())
	h.counts[i]++
	h.sum += d.Seconds()
}

func (h *histogram) times() telemetry.Times {
	t := telemetry.Times{Sum: h.sum, Buckets: map[float64]uint64{}}
	for i, bound := range telemetry.FirstByteBuckets {
		if h.counts != nil {
			t.Count += h.counts[i]
		}
		t.Buckets[bound] = t.Count
	}
	if h.counts != nil {
		t.Count += h.counts[len(telemetry.FirstByteBuckets)]
	}
	return t
}
