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

// Strange is a server that works, in a way that clients choke on. None of them may be blamed.
type Strange string

// Strange servers.
const (
	NDJSON         Strange = "ndjson"           // a stream of JSON lines without "data:"
	Unstreamed     Strange = "unstreamed"       // one JSON object where a stream was asked for
	LongLine       Strange = "long-line"        // a line of 2 MiB in each stream
	Zipped         Strange = "zipped"           // gzip, though nobody asked for it
	Brotli         Strange = "brotli"           // an encoding that the client does not know
	NoSeed         Strange = "no-seed"          // 422 for requests with a seed, as FastAPI puts it
	NoUsage        Strange = "no-usage"         // 400 for stream_options, as old servers put it
	NewMaxTokens   Strange = "new-max-tokens"   // takes max_completion_tokens only, as OpenAI's o-series puts it
	NoTemperature  Strange = "no-temperature"   // takes no temperature
	Bare           Strange = "bare"             // takes none of the four
	KeyHeader      Strange = "key-header"       // wants its key in the header api-key, and ?api-version
	Gateway        Strange = "gateway"          // has one route, /models/m/chat/completions, and lists no models
	RoleNull       Strange = "role-null"        // opens its streams with a role and "content": null
	Unlabelled     Strange = "unlabelled"       // streams without a content type
	EmptyEvents    Strange = "empty-events"     // events without data between the chunks
	Forgetful      Strange = "forgetful"        // answers once, and refuses everything from then on
	StrangeMetrics Strange = "strange-metrics"  // metrics by names that nobody knows
	JSONMetrics    Strange = "json-metrics"     // metrics as JSON
	Underscores    Strange = "vllm-underscores" // vLLM's metrics with "_" for ":", as some exporters write them
	RankGauges     Strange = "rank-gauges"      // gauges for each of four tensor ranks, which all have all requests
	Foreign        Strange = "foreign"          // somebody else sends as many requests as the certifier
	Thinking       Strange = "thinking"         // reasons until max_tokens is reached
	HastyClose     Strange = "hasty-close"      // closes kept connections soon, as a request may come; see IdleTimeout
)

// IdleTimeout is that of HastyClose's connections: longer than a client waits before it trusts one, and about as long
// as the specification's rate leaves them alone.
const IdleTimeout = 20 * time.Millisecond

// StrangeOnes lists all of them.
func StrangeOnes() []Strange {
	return slices.Concat(strangeOnes(), DialectOnes(), WireOnes())
}

func strangeOnes() []Strange {
	return []Strange{NDJSON, Unstreamed, LongLine, Zipped, Brotli, NoSeed, NoUsage, NewMaxTokens, NoTemperature, Bare,
		KeyHeader, Gateway, RoleNull, Unlabelled, EmptyEvents, Forgetful, StrangeMetrics, JSONMetrics, Underscores,
		RankGauges, Foreign, Thinking, HastyClose}
}

// refuses are the fields that a strange server takes no request with, and what it says of each.
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

// Key is what KeyHeader wants.
const Key = "hush"

// Handler makes a server of the bank strange.
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
		case s == Letters && r.URL.Path == "/tokenize": // so that its chunks are all that can be counted
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
				panic(err) // HTTP/1 alone
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

// metrics answers for servers with metrics of their own.
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

// bodyWriter keeps a response.
type bodyWriter struct {
	bytes.Buffer
	header http.Header
}

func (b *bodyWriter) Header() http.Header { return b.header }
func (b *bodyWriter) WriteHeader(int)     {}

// Flush does nothing: nobody waits for it.
func (b *bodyWriter) Flush() {}

// strangeWriter changes what a server sends.
type strangeWriter struct {
	http.ResponseWriter
	s      Strange
	stream bool
	began  bool
	zip    *gzip.Writer
	d      dialect
	asked  int64
}

// WriteHeader sends the status.
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

// Flush hands on what was written.
func (w *strangeWriter) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

func (w *strangeWriter) close() {
	if w.zip != nil {
		_ = w.zip.Close() // the client has gone
	}
}
