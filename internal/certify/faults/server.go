package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ModelID is what every server of the bank calls its model.
const ModelID = "simulated-mixtral"

// Config describes a server. The comments give the default of each zero value.
type Config struct {
	Fault     Fault
	Seed      uint64
	TTFT      time.Duration // median time to the first token; 0: 60 ms
	Gap       time.Duration // between tokens; 0: 2 ms
	Spread    float64       // σ of the logarithm of a request's times; 0: 0.10, noisy servers 0.5
	TargetRPS float64       // requests per second; TooSlow serves 80 % of it; 0: 50
	LatencyMS float64       // milliseconds; SlowFirst's TTFT is 15 % above it; 0: 2000
	MemoryGB  float64       // GiB; MemoryHog uses 2 GiB more; 0: 90
	CPUCores  float64       // CPUBurner uses 1.5 cores more; 0: 8
	Speed     float64       // multiplies the rate of drift and of leaks by time, for short runs; 0: 1
}

func (c *Config) defaults() {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Fault == "" {
		c.Fault = Healthy
	}
	if c.TTFT == 0 {
		c.TTFT = 60 * time.Millisecond
	}
	if c.Gap == 0 {
		c.Gap = 2 * time.Millisecond
	}
	spread := 0.10
	if c.Fault == HealthyNoisy {
		spread = 0.5
	}
	def(&c.Spread, spread)
	def(&c.TargetRPS, 50)
	def(&c.LatencyMS, 2000)
	def(&c.MemoryGB, 90)
	def(&c.CPUCores, 8)
	def(&c.Speed, 1)
}

// Server is one server of the bank. It is an http.Handler.
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	start   time.Time
	metrics *metrics

	mu   sync.Mutex
	rng  *rand.Rand
	seen map[string]bool // the prompts seen so far

	requests atomic.Int64
	running  atomic.Int64
	peak     atomic.Int64  // most requests in flight so far
	gate     chan struct{} // for TooSlow: receives once for each request that may begin
	stop     chan struct{}
	once     sync.Once
}

// New makes a server and starts its clock. Call Close to end the goroutine of TooSlow.
func New(c Config) *Server {
	c.defaults()
	s := &Server{cfg: c, mux: http.NewServeMux(), start: time.Now(), rng: rand.New(rand.NewPCG(c.Seed, 0x6d697874)),
		seen: map[string]bool{}, stop: make(chan struct{})}
	s.metrics = newMetrics(s)
	s.mux.HandleFunc("GET /v1/models", s.models)
	s.mux.HandleFunc("POST /v1/chat/completions", s.chat)
	s.mux.HandleFunc("POST /tokenize", s.tokenize)
	s.mux.HandleFunc("GET /health", func(http.ResponseWriter, *http.Request) {})
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	if c.Fault == TooSlow {
		s.gate = make(chan struct{})
		go s.meter(time.Duration(float64(time.Second) / (0.8 * c.TargetRPS)))
	}
	return s
}

// ServeHTTP answers as an OpenAI-compatible server would.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends the server's own goroutine; a second Close is harmless.
func (s *Server) Close() { s.once.Do(func() { close(s.stop) }) }

// meter lets one request begin in every interval.
func (s *Server) meter(interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			select {
			case s.gate <- struct{}{}:
			case <-s.stop:
				return
			}
		case <-s.stop:
			return
		}
	}
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{map[string]any{
		"id": ModelID, "object": "model", "created": s.start.Unix(), "owned_by": "faults"}}})
}

// request has the fields of a chat request that the bank reads.
type request struct {
	Messages []struct {
		Content string `json:"content"`
	} `json:"messages"`
	MaxTokens           int  `json:"max_tokens"`
	MaxCompletionTokens int  `json:"max_completion_tokens"`
	Stream              bool `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// text joins the messages, with a line break after each.
func (r *request) text() string {
	var b strings.Builder
	for _, m := range r.Messages {
		b.WriteString(m.Content)
		b.WriteByte('\n')
	}
	return b.String()
}

func (s *Server) tokenize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Prompt string `json:"prompt"`
	}
	if !readJSON(w, r, &in) {
		return
	}
	ids := make([]int, len(strings.Fields(in.Prompt))) // one token a word; the IDs do not matter
	writeJSON(w, http.StatusOK, map[string]any{"count": len(ids), "max_model_len": 32768, "tokens": ids})
}

// draw makes all random choices for one request. It is called in the order of arrival, so that a seed fixes them.
func (s *Server) draw(prompt string) (factor float64, failed, cut, cached, missed bool, shuffle uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	factor = math.Exp(s.cfg.Spread * s.rng.NormFloat64())
	failed = s.rng.Float64() < 0.01
	cut = s.rng.Float64() < 0.01
	missed = s.rng.Float64() < 1.0/40
	shuffle = s.rng.Uint64()
	cached = s.seen[prompt]
	s.seen[prompt] = true
	return
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var in request
	if !readJSON(w, r, &in) {
		return
	}
	arrived := time.Now()
	n := s.requests.Add(1)
	inFlight := s.running.Add(1)
	defer s.running.Add(-1)
	for p := s.peak.Load(); inFlight > p && !s.peak.CompareAndSwap(p, inFlight); p = s.peak.Load() {
	}
	prompt := in.text()
	factor, failed, cut, cached, missed, shuffle := s.draw(prompt)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-r.Context().Done():
			return
		case <-s.stop:
			return
		}
	}
	fault := s.cfg.Fault
	if fault == Errors && failed {
		s.metrics.fail()
		writeJSON(w, http.StatusInternalServerError,
			map[string]any{"error": map[string]any{"message": "internal error", "type": "server_error"}})
		return
	}
	words, finish := s.answer(&in, prompt, inFlight, shuffle)
	if !(fault == Truncated && cut) {
		cut = false
	}
	if fault == Drift {
		factor *= 1 + 0.01*s.cfg.Speed*time.Since(s.start).Minutes()
	}
	ttft, gap := scale(s.cfg.TTFT, factor), scale(s.cfg.Gap, factor)
	switch {
	case fault == CachedReplies && cached:
		ttft, gap = time.Millisecond, 0
	case fault == SlowFirst:
		ttft = scale(time.Duration(s.cfg.LatencyMS*float64(time.Millisecond)), 1.15*math.Max(1, factor))
	case fault == EmptyFirst:
		ttft = scale(s.cfg.TTFT, 6*factor)
	}
	a := &answer{id: fmt.Sprintf("sim-%d", n), words: words, finish: finish, prompt: len(strings.Fields(prompt)) + 4,
		ttft: ttft, gap: gap, cut: cut}
	a.usage = len(words)
	if fault == HealthyReasoning {
		a.thoughts = min(thoughtWords, len(words))
	}
	if fault == InflatedUsage {
		a.usage = int(math.Ceil(1.3 * float64(len(words))))
	}
	// The request is counted before the last byte is sent, so that a client that has its answer finds it in /metrics.
	a.count = func(first, done time.Time) {
		if fault == MissedCounts && missed {
			return
		}
		s.metrics.done(a, arrived, first, done)
	}
	if in.Stream {
		s.stream(r.Context(), w, a, in.StreamOptions.IncludeUsage)
		return
	}
	s.whole(r.Context(), w, a)
}

func scale(d time.Duration, f float64) time.Duration { return time.Duration(float64(d) * f) }

// answer returns the words of the answer and the finish reason.
func (s *Server) answer(in *request, prompt string, inFlight int64, shuffle uint64) (words []string, finish string) {
	words = tokens(answerTo(prompt))
	if s.cfg.Fault == HealthyReasoning {
		words = append(tokens(thought), words...)
	}
	if s.cfg.Fault == Garbled && inFlight > 4 {
		rng := rand.New(rand.NewPCG(shuffle, 1))
		rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	}
	limit := in.MaxTokens
	if in.MaxCompletionTokens > 0 {
		limit = in.MaxCompletionTokens
	}
	if limit <= 0 || limit >= len(words) {
		return words, "stop"
	}
	if s.cfg.Fault == IgnoresMax {
		limit = min(len(words), limit+limit/4+1)
	}
	if s.cfg.Fault == FalseFinish {
		return words[:limit], "stop"
	}
	return words[:limit], "length"
}

// wait sleeps until a moment, and longer if a stall has not ended by then. It returns false if ctx ended first.
func (s *Server) wait(ctx context.Context, until time.Time) bool {
	for {
		d := time.Until(until)
		if s.cfg.Fault == Stall {
			const period, length = 10 * time.Second, 1400 * time.Millisecond
			if into := time.Since(s.start) % period; into >= period-length {
				d = max(d, period-into)
			}
		}
		if d <= 0 {
			return ctx.Err() == nil
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": map[string]any{"message": err.Error(),
			"type": "invalid_request_error"}})
		return false
	}
	return true
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // cannot happen: v holds only strings and numbers
	}
	w.Write(data)
}
