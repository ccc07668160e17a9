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

// Config describes the upstreams. Zero values mean what the comments say.
type Config struct {
	URLs    []string          // servers that take any model's name, without more to say of them
	Servers []Server          // others
	APIKey  string            // sent upstream in place of the client's own
	Models  map[string]string // names here to names there, for servers that have none of their own

	Policy    string        // of route.Names; empty: least-outstanding
	Slack     int           // see route.Affinity; 0: route.DefaultSlack
	SlowStart time.Duration // after which a server that begins has its whole weight; 0: at once
	Retries   float64       // of requests, how many may be tried again; 0: 0.2; negative: none
	CanaryBy  string        // of CanaryBys: what decides whether a canary gets a request; empty: request
	AnyModel  bool          // ready while a server for one model is there, and not only while there is one for each
	// Directory is the model's directory. Servers that were started with it list the model under this path: then
	// requests may also use Names.
	Directory string
	Names     []string

	// that is borne before an answer and within it; 0: 10 minutes (an answer at once may take long)
	Silence     time.Duration
	DialTimeout time.Duration    // 0: 3 s
	HealthEvery time.Duration    // between health checks; 0: 5 s; negative: none
	HealthPath  string           // what they ask for; empty: /v1/models
	MaxTries    int              // servers asked for one request; 0: 3
	Logger      *slog.Logger     // nil: silent
	Now         func() time.Time // nil: time.Now
}

// What may decide whether a canary gets a request.
const (
	CanaryByRequest      = "request"      // each for itself, so that the shares are exact
	CanaryByConversation = "conversation" // all requests of a conversation go to the same version
	CanaryByCaller       = "caller"       // all requests of an API key go to the same version
)

// CanaryBys lists them.
var CanaryBys = []string{CanaryByRequest, CanaryByConversation, CanaryByCaller}

// Outcome is what became of a request.
type Outcome struct {
	Status  int // of the answer that was passed on
	Replica string
	Tries   int
	First   time.Duration // to the first content of a stream, or to the whole answer; 0: none
	Total   time.Duration
	Gaps    []time.Duration // between chunks with content
	Finish  llm.Finish      // of the first choice
	Usage   *llm.Usage      // nil: the upstream did not say
	Err     error           // the stream broke off, or nobody answered
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
	leaving map[string]*server // removed ones that finish what they have
	closed  bool
}

// New checks the configuration and starts the health checks. Nobody need answer yet.
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
			MaxResponseHeaderBytes: 256 << 10, // eight times what this service takes from a client
			MaxIdleConnsPerHost:    1024,      // as every request under way may leave a connection behind
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

// anyOf gives servers that take any model's name. A URL counts once.
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

// Close ends the health checks and the requests of Generate, and waits for them. Requests of Forward are their
// callers' to end. A second Close is harmless.
func (u *Upstream) Close() error {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	u.stop()
	u.stopped.Wait()
	u.http.CloseIdleConnections()
	return nil
}

// Status counts requests under way. It is ready while each model has a server that may be asked; with
// Config.AnyModel, while one model has.
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
