package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

var (
	// ErrURL is matched by errors about an upstream URL.
	ErrURL = errors.New("unusable upstream URL")
	// ErrUnreachable is matched when no replica gave an answer.
	ErrUnreachable = errors.New("no upstream answered")
)

// Config describes the upstreams. Zero values mean what the comments say.
type Config struct {
	URLs   []string          // one gateway or several replicas, as "http://host:port" or with a path before /v1
	APIKey string            // sent upstream in place of the client's own
	Models map[string]string // names here to names there
	// Directory is the model's directory. Servers that were started with it list the model under this path: then
	// requests may also use Names.
	Directory string
	Names     []string
	// that is borne before an answer and within it; 0: 10 minutes (an answer at once may take long)
	Silence     time.Duration
	DialTimeout time.Duration    // 0: 3 s
	HealthEvery time.Duration    // between health checks; 0: 5 s; negative: none
	MaxTries    int              // replicas asked for one request; 0: 3
	Logger      *slog.Logger     // nil: silent
	Now         func() time.Time // nil: time.Now
}

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

// Upstream is a set of replicas.
type Upstream struct {
	c       Config
	bases   []*url.URL
	http    *http.Client
	log     *slog.Logger
	now     func() time.Time
	mu      sync.Mutex
	pool    *pool
	models  []llm.Model
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// New checks the configuration and starts the health checks. Nobody need answer yet.
func New(c Config) (*Upstream, error) {
	def(&c.Silence, 10*time.Minute)
	def(&c.DialTimeout, 3*time.Second)
	def(&c.HealthEvery, 5*time.Second)
	def(&c.MaxTries, 3)
	u := &Upstream{c: c, log: c.Logger, now: c.Now}
	if u.log == nil {
		u.log = slog.New(slog.DiscardHandler)
	}
	if u.now == nil {
		u.now = time.Now
	}
	var err error
	if u.bases, err = parseURLs(c.URLs); err != nil {
		return nil, err
	}
	u.pool = newPool(c.URLs)
	u.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: c.DialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			ResponseHeaderTimeout: c.Silence,
			MaxIdleConnsPerHost:   1024, // every request under way may leave a connection behind: reuse all of them
			IdleConnTimeout:       time.Minute,
			DisableCompression:    true, // bytes are passed on as they are
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, cancel := context.WithCancel(context.Background())
	u.stop = cancel
	if c.HealthEvery > 0 {
		for i := range u.bases {
			u.stopped.Go(func() { u.watch(ctx, i) })
		}
	}
	return u, nil
}

// CheckURLs says whether New would take these URLs.
func CheckURLs(urls []string) error {
	_, err := parseURLs(urls)
	return err
}

func parseURLs(urls []string) ([]*url.URL, error) {
	if len(urls) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrURL)
	}
	var bases []*url.URL
	for _, raw := range urls {
		b, err := url.Parse(strings.TrimSuffix(strings.TrimRight(raw, "/"), "/v1"))
		if err != nil || b.Scheme != "http" && b.Scheme != "https" || b.Host == "" || b.User != nil ||
			b.RawQuery != "" {
			return nil, fmt.Errorf("%w: %q: want http://host:port or https://host", ErrURL, raw)
		}
		bases = append(bases, b)
	}
	return bases, nil
}

func def[T int | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Close ends the health checks. A second Close is harmless.
func (u *Upstream) Close() error {
	u.stop()
	u.stopped.Wait()
	u.http.CloseIdleConnections()
	return nil
}

// Status counts requests under way; Ready while a replica may be used.
func (u *Upstream) Status() llm.Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	usable, outstanding := u.pool.status(u.now())
	return llm.Status{Ready: usable > 0, Running: outstanding}
}

// Replica is what is known of one upstream server.
type Replica struct {
	Host   string // and port
	Up     bool   // it may be asked now
	Failed int64  // tries, since start
}

// Replicas gives all replicas, in the order of Config.URLs. Those of the same host and port are one.
func (u *Upstream) Replicas() []Replica {
	u.mu.Lock()
	defer u.mu.Unlock()
	now, list := u.now(), make([]Replica, 0, len(u.bases))
	for i := range u.pool.replicas {
		r, host := &u.pool.replicas[i], u.bases[i].Host
		at := slices.IndexFunc(list, func(known Replica) bool { return known.Host == host })
		if at < 0 {
			list = append(list, Replica{Host: host, Up: r.usable(now), Failed: r.failed})
			continue
		}
		list[at].Up = list[at].Up && r.usable(now)
		list[at].Failed += r.failed
	}
	return list
}

// Models gives the models that the replicas serve, under the names they have here; what the last health check heard.
func (u *Upstream) Models() []llm.Model {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.models
}

// watch checks one replica's health and asks for its models until ctx ends.
func (u *Upstream) watch(ctx context.Context, i int) {
	tick := time.NewTicker(u.c.HealthEvery)
	defer tick.Stop()
	for healthy := true; ; {
		models, err := u.ask(ctx, i)
		if ctx.Err() != nil {
			return
		}
		if ok := err == nil; ok != healthy {
			healthy = ok
			u.log.Warn("upstream health", "replica", u.bases[i].Host, "healthy", ok, "err", err)
		}
		u.mu.Lock()
		u.pool.health(i, err == nil)
		if err == nil {
			u.models = models
		}
		u.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask gets /v1/models: it is what every OpenAI-compatible server has.
func (u *Upstream) ask(ctx context.Context, i int) ([]llm.Model, error) {
	ctx, cancel := context.WithTimeout(ctx, max(u.c.HealthEvery, time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.bases[i].JoinPath("/v1/models").String(), nil)
	if err != nil {
		return nil, err
	}
	u.authorize(req.Header)
	resp, err := u.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/v1/models answers %d", resp.StatusCode)
	}
	var list struct {
		Data []struct {
			ID      string `json:"id"`
			Created int64  `json:"created"`
			Length  int    `json:"max_model_len"` // vLLM says it
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("/v1/models: %w", err)
	}
	var models []llm.Model
	for _, m := range list.Data {
		models = append(models, llm.Model{ID: u.nameHere(m.ID), Created: time.Unix(m.Created, 0),
			ContextLength: m.Length})
	}
	return models, nil
}

// nameHere is the name that clients use for an upstream model.
func (u *Upstream) nameHere(there string) string {
	for here, t := range u.c.Models {
		if t == there {
			return here
		}
	}
	return there
}

// nameThere is the name that the servers use for a model; false where it is the same.
func (u *Upstream) nameThere(here string) (string, bool) {
	if there, ok := u.c.Models[here]; ok {
		return there, true
	}
	if u.c.Directory == "" || !slices.Contains(u.c.Names, here) {
		return "", false
	}
	there := ""
	for _, m := range u.Models() {
		switch {
		case m.ID == here: // they use this name themselves
			return "", false
		case strings.TrimRight(m.ID, "/") == strings.TrimRight(u.c.Directory, "/"):
			there = m.ID
		}
	}
	return there, there != ""
}

func (u *Upstream) authorize(h http.Header) {
	if u.c.APIKey != "" {
		h.Set("Authorization", "Bearer "+u.c.APIKey)
	}
}

// prepared is a request's body as it goes upstream.
type prepared struct {
	body   []byte
	stream bool
	other  bool // none of the routes for completions: its answer may be of any form
	hide   bool // the client did not ask for the usage chunk of its stream: it is read and kept back
}

// knownRoutes have answers whose form is known here.
var knownRoutes = []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"}

// prepare maps the model's name and asks for usage. A body that needs neither goes on as it came, byte for byte.
func (u *Upstream) prepare(path string, body []byte) (prepared, error) {
	var fields map[string]json.RawMessage
	other := !slices.Contains(knownRoutes, path)
	if err := json.Unmarshal(body, &fields); err != nil {
		if other { // a form, or nothing
			return prepared{body: body, other: true}, nil
		}
		return prepared{}, llm.BadField("body", "is not a JSON object")
	}
	p := prepared{body: body, other: other}
	changed := false
	var model string
	if json.Unmarshal(fields["model"], &model) == nil {
		if there, ok := u.nameThere(model); ok {
			fields["model"], _ = json.Marshal(there) // a string
			changed = true
		}
	}
	_ = json.Unmarshal(fields["stream"], &p.stream)
	if p.stream && !other {
		var options map[string]json.RawMessage
		if raw := fields["stream_options"]; len(raw) > 0 && json.Unmarshal(raw, &options) != nil {
			return prepared{}, llm.BadField("stream_options", "is not an object")
		}
		if string(bytes.TrimSpace(options["include_usage"])) != "true" {
			if options == nil {
				options = map[string]json.RawMessage{}
			}
			options["include_usage"] = json.RawMessage("true")
			fields["stream_options"], _ = json.Marshal(options)
			p.hide, changed = true, true
		}
	}
	if changed {
		data, err := json.Marshal(fields)
		if err != nil {
			return prepared{}, llm.BadField("body", "is not a JSON object")
		}
		p.body = data
	}
	return p, nil
}

// retryAfter reads how long a busy replica wants to be left alone; at least a second, at most a minute.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil {
		n = 1
	}
	return time.Duration(min(max(n, 1), 60)) * time.Second
}
