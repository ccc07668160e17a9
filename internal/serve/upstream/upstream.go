package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

var (
	// ErrURL is matched by errors about an upstream URL.
	ErrURL = errors.New("unusable upstream URL")
	// ErrUnreachable is matched when no replica gave an answer.
	ErrUnreachable = errors.New("no upstream answered")
)

// Config describes the upstreams.
type Config struct {
	URLs    []string          // servers that take any model's name, with nothing else to configure
	Servers []Server          // other servers
	APIKey  string            // sent upstream in place of the client's own
	Models  map[string]string // clients' names to the servers' own, for servers without a map of their own

	Policy    string        // of route.Names; empty: least-outstanding
	Slack     int           // see route.Affinity; 0: route.DefaultSlack
	SlowStart time.Duration // the time in which a new server reaches its full weight; 0: at once
	Retries   float64       // how many requests may be tried again, as a share of all; 0: 0.2; negative: none
	CanaryBy  string        // one of CanaryBys: what decides whether a canary gets a request; empty: request
	AnyModel  bool          // ready if one model has a server; otherwise each model needs one
	// Directory is the model's directory. Servers that were started with it list the model under this path; requests
	// may then also use Names.
	Directory string
	Names     []string

	// the longest silence before an answer and within it; 0: 10 minutes (an answer that is not streamed may take long)
	Silence     time.Duration
	DialTimeout time.Duration    // 0: 3 s
	HealthEvery time.Duration    // between health checks; 0: 5 s; negative: none
	HealthPath  string           // path of the health checks; empty: /v1/models
	MaxTries    int              // maximum number of servers that are asked for one request; 0: 3
	Logger      *slog.Logger     // nil: no logs
	Now         func() time.Time // nil: time.Now
}

// What decides whether a canary gets a request.
const (
	CanaryByRequest      = "request"      // each request separately, so that the shares are exact
	CanaryByConversation = "conversation" // all requests of a conversation go to the same version
	CanaryByCaller       = "caller"       // all requests of an API key go to the same version
)

// CanaryBys lists them.
var CanaryBys = []string{CanaryByRequest, CanaryByConversation, CanaryByCaller}

// Outcome says how a request ended.
type Outcome struct {
	Status  int // of the answer that was passed on
	Replica string
	Tries   int
	First   time.Duration // until the first content of a stream, or the whole answer; 0: none
	Total   time.Duration
	Gaps    []time.Duration // between chunks with content
	Finish  llm.Finish      // of the first choice
	Usage   *llm.Usage      // nil: the upstream did not send it
	Err     error           // the stream broke off, or no server answered
}

// Upstream is a set of servers. All methods are safe for concurrent use.
type Upstream struct {
	c       Config
	http    *http.Client
	log     *slog.Logger
	now     func() time.Time
	began   time.Time
	alive   context.Context // until Close
	stop    context.CancelFunc
	stopped sync.WaitGroup

	mu      sync.Mutex
	pool    *route.Pool
	servers map[string]*server // by URL
	order   []*server
	leaving map[string]*server // removed servers that finish their requests
	closed  bool
}

// New checks the configuration and starts the health checks. The servers need not be available yet.
func New(c Config) (*Upstream, error) {
	def(&c.Silence, 10*time.Minute)
	def(&c.DialTimeout, 3*time.Second)
	def(&c.HealthEvery, 5*time.Second)
	def(&c.HealthPath, modelsPath)
	def(&c.MaxTries, 3)
	def(&c.Retries, 0.2)
	u := &Upstream{c: c, log: c.Logger, now: c.Now, servers: map[string]*server{}, leaving: map[string]*server{}}
	if u.log == nil {
		u.log = slog.New(slog.DiscardHandler)
	}
	if u.now == nil {
		u.now = time.Now
	}
	u.began = u.now()
	rules := route.Rules{Policy: c.Policy, Slack: c.Slack, SlowStart: c.SlowStart, Retries: max(c.Retries, 0),
		Checked: c.HealthEvery > 0}
	if err := rules.Check(); err != nil {
		return nil, err
	}
	u.pool = route.NewPool(rules)
	u.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: c.DialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			ResponseHeaderTimeout:  c.Silence,
			MaxResponseHeaderBytes: 256 << 10, // eight times what this service accepts from a client
			MaxIdleConnsPerHost:    1024,      // every request under way may leave a connection behind
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true, // bytes are passed on as they are
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	u.alive, u.stop = context.WithCancel(context.Background())
	if err := u.Set(append(anyOf(c.URLs), c.Servers...)); err != nil {
		u.stop()
		return nil, err
	}
	return u, nil
}

// anyOf returns servers that take any model's name, one for each different URL.
func anyOf(urls []string) (list []Server) {
	for i, raw := range urls {
		if !slices.Contains(urls[:i], raw) {
			list = append(list, Server{URL: raw, Any: true})
		}
	}
	return list
}

// CheckURLs says whether New would take these URLs.
func CheckURLs(urls []string) error { return CheckServers(anyOf(urls)) }

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Close ends the health checks and the requests of Generate, and waits for them. It does not end requests of Forward:
// their callers do. A second Close does nothing.
func (u *Upstream) Close() error {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.stop()
	u.stopped.Wait()
	u.http.CloseIdleConnections()
	return nil
}

// Status counts requests under way. It is ready if each model has a server that may be used, or with Config.AnyModel,
// if one model has.
func (u *Upstream) Status() llm.Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	open, models, missing := u.pool.Status(u.now())
	return llm.Status{Ready: !u.closed && (missing == 0 || u.c.AnyModel && missing < models), Running: open}
}

func (u *Upstream) authorize(s *server, h http.Header) {
	key := s.APIKey
	if key == "" {
		key = u.c.APIKey
	}
	if key != "" {
		h.Set("Authorization", "Bearer "+key)
	}
}
