package faults

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Strange is a server that works, but in a way that breaks many clients. The certifier must not blame any of them.
type Strange string

// Strange servers.
const (
	NDJSON     Strange = "ndjson"     // streams JSON lines without "data:"
	Unstreamed Strange = "unstreamed" // sends one JSON object when a stream was requested
	LongLine   Strange = "long-line"  // sends a line of 2 MiB in each stream
	Zipped     Strange = "zipped"     // compresses with gzip without being asked
	Brotli     Strange = "brotli"     // claims an encoding that the client does not know
	NoSeed     Strange = "no-seed"    // refuses a seed with 422 and FastAPI's message
	NoUsage    Strange = "no-usage"   // refuses stream_options with 400 and the message of old servers
	// accepts only max_completion_tokens, with the message of OpenAI's o-series
	NewMaxTokens   Strange = "new-max-tokens"
	NoTemperature  Strange = "no-temperature"  // refuses a temperature
	Bare           Strange = "bare"            // refuses all four of these fields
	KeyHeader      Strange = "key-header"      // demands its key in the header api-key, and the query ?api-version
	Gateway        Strange = "gateway"         // serves only /models/m/chat/completions, and lists no models
	RoleNull       Strange = "role-null"       // begins its streams with a role and "content": null
	Unlabelled     Strange = "unlabelled"      // streams without a content type
	EmptyEvents    Strange = "empty-events"    // sends events without data between the chunks
	Forgetful      Strange = "forgetful"       // answers two requests, and refuses all later ones
	StrangeMetrics Strange = "strange-metrics" // has metrics under unknown names
	JSONMetrics    Strange = "json-metrics"    // has metrics in JSON
	// has vLLM's metrics with "_" instead of ":", as some exporters write them
	Underscores Strange = "vllm-underscores"
	// has gauges for each of four tensor ranks, and each rank counts all requests
	RankGauges Strange = "rank-gauges"
	Foreign    Strange = "foreign"  // another client sends as many requests as the certifier
	Thinking   Strange = "thinking" // reasons until max_tokens is reached
	// closes idle connections so soon that a request may be on its way; see IdleTimeout
	HastyClose Strange = "hasty-close"
)

// IdleTimeout is how long HastyClose keeps an idle connection. A client waits less than this before it reuses a
// connection, and at the specification's rate connections are idle for about as long.
const IdleTimeout = 20 * time.Millisecond

// StrangeOnes lists all strange servers, with those of dialects.go and wire.go.
func StrangeOnes() []Strange {
	return slices.Concat(strangeOnes(), DialectOnes(), WireOnes())
}

func strangeOnes() []Strange {
	return []Strange{NDJSON, Unstreamed, LongLine, Zipped, Brotli, NoSeed, NoUsage, NewMaxTokens, NoTemperature, Bare,
		KeyHeader, Gateway, RoleNull, Unlabelled, EmptyEvents, Forgetful, StrangeMetrics, JSONMetrics, Underscores,
		RankGauges, Foreign, Thinking, HastyClose}
}

// refuses lists, for each strange server, the request fields that it refuses, each with its answer.
var refuses = map[Strange][][2]string{
	NoSeed: {{"seed",
		`{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted"}]}`}},
	NoUsage: {{"stream_options", `{"error":{"message":"Unrecognized request argument supplied: stream_options"}}`}},
	NewMaxTokens: {{"max_tokens", `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with ` +
		`this model. Use 'max_completion_tokens' instead."}}`}},
	NoTemperature: {{"temperature", `{"error":{"message":"'temperature' does not support 0 with this model."}}`}},
}

func init() {
	for _, s := range []Strange{NoSeed, NoUsage, NewMaxTokens, NoTemperature} {
		refuses[Bare] = append(refuses[Bare], refuses[s]...)
	}
}

// Key is the API key that KeyHeader demands.
const Key = "hush"

// Handler makes the server inner strange.
func (s Strange) Handler(inner http.Handler) http.Handler {
	var asked atomic.Int64
	began := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		chat := strings.HasSuffix(r.URL.Path, "/chat/completions")
		switch {
		case s.wire(w, r, began, chat):
			return
		case s == KeyHeader && (r.Header.Get("api-key") != Key || r.URL.Query().Get("api-version") == "") &&
			r.URL.Path != "/metrics" && r.URL.Path != "/health":
			writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"message": "wrong key"}})
			return
		case s == Gateway && r.URL.Path == "/models/m/chat/completions":
			r.URL.Path = "/v1/chat/completions"
		case s == Gateway && (chat || r.URL.Path == "/v1/models"):
			http.NotFound(w, r)
			return
		case s == Letters && r.URL.Path == "/tokenize": // then tokens can only be counted by the chunks
			http.NotFound(w, r)
			return
		case r.URL.Path == "/metrics" && s.metrics(w, r, inner):
			return
		}
		if !chat {
			inner.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		var fields map[string]any
		if err = errors.Join(err, json.Unmarshal(body, &fields)); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
		for _, x := range refuses[s] {
			if _, ok := fields[x[0]]; ok {
				status := map[bool]int{true: 422, false: 400}[strings.HasPrefix(x[1], `{"detail`)]
				w.WriteHeader(status)
				fmt.Fprint(w, x[1])
				return
			}
		}
		if n := asked.Add(1); s == Forgetful && n > 2 {
			writeJSON(w, 422, map[string]any{"error": map[string]any{"message": "unknown field seed"}})
			return
		}
		if s == Unstreamed || s == LabelledSSE {
			fields["stream"] = false
			delete(fields, "stream_options")
			body, _ = json.Marshal(fields)
		}
		if s == Foreign {
			other := r.Clone(context.WithoutCancel(r.Context()))
			other.Body = io.NopCloser(bytes.NewReader(body))
			done := make(chan struct{})
			go func() {
				defer close(done)
				inner.ServeHTTP(&bodyWriter{header: http.Header{}}, other)
			}()
			defer func() { <-done }()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch {
		case s.hijacks():
			f, err := s.frames(w)
			if err != nil {
				panic(err) // cannot happen: the bank speaks only HTTP/1.1
			}
			defer f.end()
			w = f
		case s == Buffered, s == Blocks, s == RawDeflate:
			h := s.held(w)
			defer h.end()
			w = h
		}
		out := &strangeWriter{ResponseWriter: w, s: s, stream: fields["stream"] == true, asked: asked.Load()}
		if s == EarlyHeader && out.stream {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			out.Flush()
		}
		inner.ServeHTTP(out, r)
		out.close()
	})
}

// metrics answers /metrics for servers with unusual metrics. It returns false for the others, and writes nothing.
func (s Strange) metrics(w http.ResponseWriter, r *http.Request, inner http.Handler) bool {
	switch s {
	case StrangeMetrics:
		fmt.Fprint(w, "acme_answers{model=\"m\"} 12\nacme_words 12\n")
	case JSONMetrics:
		writeJSON(w, http.StatusOK, []any{map[string]any{"iter": 12, "gpuMemUsage": 7e9}})
	case Underscores:
		rec := &bodyWriter{header: http.Header{}}
		r.Header.Del("Accept-Encoding")
		inner.ServeHTTP(rec, r)
		fmt.Fprint(w, strings.ReplaceAll(rec.String(), "vllm:", "vllm_"))
	case RankGauges:
		rec := &bodyWriter{header: http.Header{}}
		r.Header.Del("Accept-Encoding")
		inner.ServeHTTP(rec, r)
		for line := range strings.Lines(rec.String()) {
			name, value, _ := strings.Cut(line, " ")
			if name != "vllm:num_requests_running" && name != "vllm:num_requests_waiting" {
				io.WriteString(w, line)
				continue
			}
			for rank := range 4 {
				fmt.Fprintf(w, "%s{tp_rank=\"%d\"} %s", name, rank, value)
			}
		}
	default:
		return false
	}
	return true
}

// bodyWriter keeps the body of a response.
type bodyWriter struct {
	bytes.Buffer
	header http.Header
}

func (b *bodyWriter) Header() http.Header { return b.header }
func (b *bodyWriter) WriteHeader(int)     {}

// Flush does nothing because nothing is sent.
func (b *bodyWriter) Flush() {}

// strangeWriter changes what the inner server sends.
type strangeWriter struct {
	http.ResponseWriter
	s      Strange
	stream bool
	began  bool
	zip    *gzip.Writer
	d      dialect
	asked  int64
}

// WriteHeader sends the status; Created201 turns 200 into 201.
func (w *strangeWriter) WriteHeader(status int) {
	if w.s == Created201 && status == http.StatusOK {
		status = http.StatusCreated
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *strangeWriter) Write(p []byte) (int, error) {
	first := !w.began
	w.began = true
	h := w.Header()
	text := string(p)
	switch {
	case w.s == Zipped:
		if first {
			h.Set("Content-Encoding", "gzip")
			h.Del("Content-Length")
			w.zip = gzip.NewWriter(w.ResponseWriter)
		}
		if _, err := w.zip.Write(p); err != nil {
			return 0, err
		}
		return len(p), w.zip.Flush()
	case w.s == Brotli && first, w.s == Zstd && first:
		h.Set("Content-Encoding", map[Strange]string{Brotli: "br", Zstd: "zstd"}[w.s])
	case !w.stream:
		if w.s == LabelledSSE {
			h.Set("Content-Type", "text/event-stream")
		}
	case w.s == NDJSON:
		h.Set("Content-Type", "application/x-ndjson")
		text = strings.ReplaceAll(strings.ReplaceAll(text, "data: ", ""), "\n\n", "\n")
	case w.s == LongLine && first:
		text = ": " + strings.Repeat("x", 2<<20) + "\n\n" + text
	case w.s == RoleNull:
		text = strings.ReplaceAll(text, `{"role":"assistant","content":""}`, `{"role":"assistant","content":null}`)
	case w.s == Thinking:
		text = strings.ReplaceAll(strings.ReplaceAll(text, `"content":`, `"reasoning_content":`),
			`"finish_reason":"stop"`, `"finish_reason":"length"`)
	case w.s == Unlabelled && first:
		h["Content-Type"] = nil
	case w.s == EmptyEvents:
		text = "data:\n\n: ping\n\ndata: \n\n" + text
	default:
		if text = w.d.rewrite(w.s, h, text, w.asked); w.s == Created201 && first {
			w.WriteHeader(http.StatusCreated)
		}
	}
	if w.s == ByteByByte {
		for i := 0; i < len(text); i += 7 {
			if _, err := io.WriteString(w.ResponseWriter, text[i:min(i+7, len(text))]); err != nil {
				return 0, err
			}
			w.Flush()
		}
		return len(p), nil
	}
	if _, err := io.WriteString(w.ResponseWriter, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush sends what was written.
func (w *strangeWriter) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

func (w *strangeWriter) close() {
	if w.zip != nil {
		_ = w.zip.Close() // the client has gone
	}
}
