package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/base/wait"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/responses"
)

// Config says what a Server needs and allows. A limit of zero means the default written beside it.
type Config struct {
	Version string
	Metrics *telemetry.Metrics // required
	Tracer  *telemetry.Tracer  // nil: no traces
	Logger  *slog.Logger       // nil: no logs
	Callers *access.Callers    // nil: requests need no key

	// called after each completion request; it must not block. nil: not called
	Observe     func(Served)
	KeepPrompts bool // Served contains the beginning of the prompt

	MaxTokens   int     // maximum tokens of a completion, and the default of chats; 4096
	Temperature float64 // if the request does not set it

	IgnoreUnknown bool            // unknown fields are ignored
	ScopePerKey   bool            // the cached prompts of one API key are used for this key only
	Aliases       []string        // other names of the first model
	Responses     responses.Store // stores the answers of /v1/responses; nil: they are not stored
	Origins       []string        // sites whose pages may use the service, as "https://host"; "*": any

	// How many requests the backend computes together, and how many it keeps waiting. Requests beyond both are refused
	// before anything of them is read. 0: not known.
	Slots, Queue int

	Hosts access.Hosts // names that requests may use, besides localhost and IP addresses; nil: any

	MetricsApart bool // /metrics is served by MetricsServer instead

	MaxBody      int64         // bytes of a request's body; 4 MiB
	MaxMessages  int           // messages of a chat; 1024
	MaxRequests  int           // requests whose bodies are being read or that are under way; 1024
	ReadTimeout  time.Duration // for a request's body; 30 s
	WriteTimeout time.Duration // for each write of an answer: a client that reads nothing for so long has left; 30 s
	// the longest silence in a stream, after which it sends a comment; 15 s, well below proxies' usual 60 s
	KeepAlive time.Duration

	// how long a request with a body has to wait before it is processed; nil: not at all
	Hold func() time.Duration

	// Pages are web pages and the files that they load, by path. They contain nothing of the service's data and need
	// no key; the requests of their scripts do. If there are pages, the metrics are also at PageMetrics, with a key if
	// keys are configured.
	Pages map[string]http.Handler

	Now func() time.Time // nil means time.Now
}

const (
	maxChoices  = 8   // n
	maxStops    = 128 // OpenAI allows 4; clients of other servers send more
	maxStopSize = 512 // bytes of a stop string
	maxTop      = 20  // top_logprobs, as OpenAI
	maxBatch    = 128 // choices of a text completion with several prompts
	maxBias     = 300 // entries of logit_bias
)

// PageMetrics is where the web pages read the metrics, even if /metrics is elsewhere.
const PageMetrics = "/console/metrics"

// Server answers HTTP requests. It has no backend at first, and refuses to generate until SetBackend.
type Server struct {
	c        Config
	metrics  *telemetry.Metrics
	log      *slog.Logger
	now      func() time.Time
	gate     *gate
	backend  atomic.Pointer[backend]
	advice   retryAdvice
	forecast lockedForecast
	bodies   *semaphore.Weighted // bytes of large bodies under way
	posts    *semaphore.Weighted // requests with bodies under way
	lacking  lackingRoutes
	parsing  chan struct{} // contains one element while a large body is parsed; see heavy
	handler  http.Handler
	routes   map[string]route
	ops      map[string]route // of MetricsServer
}

// backend boxes the interface for an atomic pointer.
type backend struct{ llm.Backend }

// route is one path. Its name is a metrics label.
type route struct {
	method string
	open   bool // without an API key
	work   bool // takes a place in the backend
	handle func(x *exchange, r *http.Request) error
}

// New makes a Server which is starting.
func New(c Config) *Server {
	setDefault(&c.MaxTokens, 4096)
	setDefault(&c.MaxBody, 4<<20)
	setDefault(&c.MaxMessages, 1024)
	setDefault(&c.MaxRequests, 1024)
	setDefault(&c.ReadTimeout, 30*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.KeepAlive, 15*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Server{c: c, metrics: c.Metrics, log: c.Logger, now: c.Now, gate: newGate(),
		bodies: semaphore.NewWeighted(largeBodies * c.MaxBody), posts: semaphore.NewWeighted(int64(c.MaxRequests)),
		parsing: make(chan struct{}, 1)}
	s.metrics.SetLoad(s.load)
	post := func(handle func(*exchange, *http.Request) error) route {
		return route{method: http.MethodPost, work: true, handle: handle}
	}
	s.routes = map[string]route{
		"/v1/chat/completions": post(s.chat),
		"/v1/completions":      post(s.text),
		responsesPath:          post(s.responses),
		"/v1/messages":         post(s.messagesRoute),
		"/v1/embeddings":       {method: http.MethodPost, handle: s.embeddings},
		"/v1/models":           {method: http.MethodGet, handle: s.models},
		"/tokenize":            {method: http.MethodPost, handle: s.tokenize},
		"/detokenize":          {method: http.MethodPost, handle: s.detokenize},

		"/v1/messages/count_tokens": {method: http.MethodPost, handle: s.countTokens},
	}
	s.ops = map[string]route{
		"/health":  {method: http.MethodGet, open: true, handle: s.health},
		"/livez":   {method: http.MethodGet, open: true, handle: s.livez},
		"/readyz":  {method: http.MethodGet, open: true, handle: s.readyz},
		"/version": {method: http.MethodGet, open: true, handle: s.version},
		"/metrics": {method: http.MethodGet, open: true, handle: plain(s.metrics.Handler())},
	}
	for path, r := range s.ops {
		if path != "/metrics" || !c.MetricsApart {
			s.routes[path] = r
		}
	}
	for path, h := range c.Pages {
		s.routes[path] = route{method: http.MethodGet, open: true, handle: plain(h)}
	}
	if c.Pages != nil {
		s.routes[PageMetrics] = route{method: http.MethodGet, handle: plain(s.metrics.Handler())}
	}
	s.handler = s.wrap(s.routes, nil)
	return s
}

// plain makes a route's handler of one that has no errors.
func plain(h http.Handler) func(*exchange, *http.Request) error {
	return func(x *exchange, r *http.Request) error {
		h.ServeHTTP(x, r)
		return nil
	}
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// HTTPServer returns a server with the limits that apply before a handler runs: for slow and large headers, for idle
// connections, and for the names of Config.Hosts. Reading a body and writing an answer have their own limits, as
// answers may stream for long.
func (s *Server) HTTPServer() *http.Server { return s.httpServer(s.wrap(s.routes, s.c.Hosts)) }

// MetricsServer returns a server of only /metrics and the health checks, for a listener of their own. With profiles,
// which is for listeners that only this machine reaches, it also has /debug/pprof/.
func (s *Server) MetricsServer(profiles bool) *http.Server {
	routes := maps.Clone(s.ops)
	if profiles {
		addProfiles(routes)
	}
	return s.httpServer(s.wrap(routes, s.c.Hosts))
}

const maxHeaders = 32 << 10 // bytes

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaders,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 100}, // of one connection
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// SetBackend makes the service ready. It is called once.
func (s *Server) SetBackend(b llm.Backend) {
	s.backend.Store(&backend{b})
	s.gate.open()
}

// Drain refuses new requests with 503 and waits until those under way have ended, or until ctx ends.
func (s *Server) Drain(ctx context.Context) error { return s.gate.drain(ctx) }

// find returns a path's route and the name under which it is counted.
func (s *Server) find(routes map[string]route, method, path string) (name string, r route, ok bool) {
	if path == modelPrefix {
		path = "/v1/models"
	}
	if id, under := strings.CutPrefix(path, modelPrefix); under && id != "" && routes["/v1/models"].handle != nil {
		return modelPrefix, route{method: http.MethodGet, handle: s.model}, true
	}
	if _, under := strings.CutPrefix(path, responsePrefix); under && routes["/v1/models"].handle != nil {
		return responsePrefix, s.responseRoute(method), true
	}
	r, ok = routes[path]
	if own := ok && path != "/v1/embeddings"; own || !passable(path) || routes["/v1/models"].handle == nil {
		return path, r, ok
	}
	switch b := s.backend.Load(); method {
	case http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodPut, http.MethodPatch:
		if b == nil {
			break
		}
		if _, passes := b.Backend.(passer); passes { // the upstream may have a route that this service does not have
			return passedRoute, route{method: method, work: true, handle: s.passOther}, true
		}
	}
	return path, r, ok
}

// serve routes a request. Its errors are the handlers'.
func (s *Server) serve(routes map[string]route, x *exchange, r *http.Request) {
	r.URL.Path = singleSlashes(r.URL.Path)
	name, route, ok := s.find(routes, r.Method, r.URL.Path)
	if isMistral(r) {
		x.shape = (*httpError).mistralBody
	}
	if ok {
		x.route = name
		switch {
		case strings.HasPrefix(name, messagesPath):
			anthropicErrors(x)
		case name == responsesPath:
			x.event = func(e *httpError) []byte { return responses.AppendError(nil, 0, e.code, e.message) }
		}
	}
	err := s.admit(route, ok, x, r)
	defer func() {
		x.grant.Close(s.now())
		x.place.End()
	}()
	if err == nil && route.method == http.MethodPost {
		if !s.posts.TryAcquire(1) {
			err = llm.ErrQueueFull
		} else {
			defer s.posts.Release(1)
			err = s.hold(r.Context())
		}
	}
	if err == nil {
		defer func() { s.bodies.Release(x.body.held) }()
		defer x.body.light()
		err = route.handle(x, r)
	}
	if err != nil {
		x.result.err = err
		e := toHTTP(err, s.advice.seconds())
		if !route.open && x.status == 0 && x.seen.tokens.Load() == 0 {
			s.countRefusal(e)
		}
		x.fail(e)
	}
}

// singleSlashes corrects the result of joining a base URL that ends with a slash and a path: //v1/models.
func singleSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// admit makes the checks that need no body.
func (s *Server) admit(route route, found bool, x *exchange, r *http.Request) error {
	if !found {
		return &httpError{status: http.StatusNotFound, typ: typeInvalid, code: "not_found", quotes: true,
			message: "no such route: " + printable(r.Method) + " " + printable(r.URL.Path)}
	}
	if r.Method != route.method && !(r.Method == http.MethodHead && route.method == http.MethodGet) {
		allow := route.method
		if allow == http.MethodGet {
			allow = "GET, HEAD"
		}
		return &httpError{status: http.StatusMethodNotAllowed, typ: typeInvalid, code: "method_not_allowed",
			allow: allow, quotes: true,
			message: printable(r.Method) + " is not allowed for " + printable(r.URL.Path) + ": use " + route.method}
	}
	if route.open {
		access.Touch(r.Context())
		return nil
	}
	var err error
	if x.caller, err = s.c.Callers.Identify(s.now(), r); err != nil {
		return err
	}
	if x.place, err = access.Work(r.Context()); err != nil {
		return err
	}
	if err := s.room(route); err != nil || route.method != http.MethodPost {
		return err
	}
	x.grant, err = s.c.Callers.Enter(s.now(), x.caller)
	return err
}

// hold lets a request wait while requests take all the processors that the service may use.
func (s *Server) hold(ctx context.Context) error {
	if s.c.Hold == nil {
		return nil
	}
	return wait.For(ctx, s.c.Hold())
}

// room refuses what the backend would refuse, before the body is read: under overload, refusals must cost next to
// nothing.
func (s *Server) room(route route) error {
	b := s.backend.Load()
	if !route.work || b == nil || s.c.Slots == 0 {
		return nil
	}
	if st := b.Status(); st.Running+st.Waiting >= s.c.Slots+s.c.Queue {
		return llm.ErrQueueFull
	}
	return nil
}

// printable cuts a client's path to a form that may be shown.
func printable(path string) string {
	const most = 100
	if i := strings.IndexFunc(path, func(r rune) bool { return r < '!' || r > '~' }); i >= 0 {
		path = path[:i] + "…"
	}
	if len(path) > most {
		path = path[:most] + "…"
	}
	return path
}

func (s *Server) livez(x *exchange, _ *http.Request) error {
	return respond(x, map[string]string{"status": "ok"})
}

// health is the name of readyz in vLLM and llama.cpp.
func (s *Server) health(x *exchange, r *http.Request) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	if !b.Status().Ready {
		return llm.ErrNotReady
	}
	return respond(x, map[string]string{"status": "ok"})
}

// embeddings refuses a request that the embedded engine cannot compute.
func (s *Server) embeddings(*exchange, *http.Request) error {
	return &httpError{status: http.StatusNotImplemented, typ: typeServer, code: "not_supported",
		message: "this service generates text and computes no embeddings: " +
			"use a server with an embedding model for them"}
}

// readyz says whether a request would be accepted now.
func (s *Server) readyz(x *exchange, _ *http.Request) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	st := b.Status()
	if !st.Ready {
		return llm.ErrNotReady
	}
	answer := map[string]string{"status": ready.String()}
	for key, value := range map[string]string{"chat_format": st.Chat, "no_chat": st.NoChat} {
		if value != "" {
			answer[key] = value
		}
	}
	return respond(x, answer)
}

func (s *Server) version(x *exchange, _ *http.Request) error {
	return respond(x, map[string]string{"version": s.c.Version})
}

// current returns the backend of a ready service.
func (s *Server) current() (llm.Backend, error) {
	l := lifecycle{readiness: s.gate.readiness()}
	if err := l.enter(); err != nil {
		return nil, err
	}
	return s.backend.Load(), nil
}

// load returns the values of the gauges.
func (s *Server) load() telemetry.Load {
	b := s.backend.Load()
	if b == nil {
		return telemetry.Load{}
	}
	st := b.Status()
	l := telemetry.Load{Running: st.Running, Waiting: st.Waiting, Preempted: st.Preempted, Ready: st.Ready &&
		s.gate.readiness() == ready}
	if st.KVTotal > 0 {
		l.KVUsage = float64(st.KVUsed) / float64(st.KVTotal)
	}
	return l
}

// served lists the models by the names that clients may use: the backend's own, then the aliases of the first.
func (s *Server) served(b llm.Backend) []llm.Model {
	models := slices.Clone(b.Models())
	if len(models) == 0 {
		return nil
	}
	first := models[0]
	for _, alias := range s.c.Aliases {
		if !slices.ContainsFunc(models, func(m llm.Model) bool { return m.ID == alias }) {
			first.ID = alias
			models = append(models, first)
		}
	}
	return models
}

// own returns the backend's name of a served model.
func (s *Server) own(b llm.Backend, name string) string {
	if models := b.Models(); len(models) > 0 && slices.Contains(s.c.Aliases, name) &&
		!slices.ContainsFunc(models, func(m llm.Model) bool { return m.ID == name }) {
		return models[0].ID
	}
	return name
}

// lookup finds a model by the name in a request; an empty name means the first.
func (s *Server) lookup(b llm.Backend, name string) (llm.Model, error) {
	models := s.served(b)
	i := slices.IndexFunc(models, func(m llm.Model) bool { return name == "" || m.ID == name })
	if i < 0 {
		return llm.Model{}, notServed(name, models)
	}
	return models[i], nil
}

// notServed refuses a model that does not exist.
func notServed(name string, models []llm.Model) error {
	return &httpError{status: http.StatusNotFound, typ: typeInvalid, code: "model_not_found", param: "model",
		quotes: true, message: "the model " + string(quote(name)) + " does not exist: " + known(models)}
}

// known lists the models, or a few of many.
func known(models []llm.Model) string {
	const most = 8
	if len(models) == 0 {
		return "there is none now"
	}
	var names []string
	for _, m := range models[:min(len(models), most)] {
		names = append(names, string(quote(m.ID)))
	}
	text := "this service has " + strings.Join(names, ", ")
	if len(models) > most {
		text += fmt.Sprintf(" and %d more (GET /v1/models)", len(models)-most)
	}
	return text
}

// quote shows a name that a client sent.
func quote(name string) []byte {
	const most = 100
	if len(name) > most {
		name = name[:most] + "…"
	}
	data, _ := json.Marshal(name) // a string is always encodable
	return data
}

// respond writes a successful answer.
func respond(w http.ResponseWriter, v any) error {
	writeBody(w, http.StatusOK, encode(v))
	return nil
}
