// Package otel follows one request through everything that has a part in it, as an OpenTelemetry collector sees it:
// the load generator, the service, an upstream replica, the engine. The collector reads what comes with
// OpenTelemetry's own types.
package otel

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/loadgen"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

func TestMain(m *testing.M) { leak.Main(m) }

// collector keeps the spans that come, by id, with the name of the service that sent them.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans map[string]span
}

type span struct {
	*tracepb.Span
	service string
}

func newCollector(t *testing.T) *collector {
	c := &collector{spans: map[string]span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var got tracepb.TracesData // the same on the wire as an ExportTraceServiceRequest
		if err == nil {
			err = proto.UnmarshalOptions{DiscardUnknown: false}.Unmarshal(body, &got)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s: %v", r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		if unknown := unknownFields(&got); len(unknown) > 0 {
			t.Errorf("fields that OTLP does not have: %x", unknown)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range got.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					c.spans[string(s.SpanId)] = span{s, text(rs.Resource.Attributes, "service.name")}
				}
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// served waits for the spans of n requests to services. A service that ends gives its last spans two seconds, which a
// busy machine may need for other things.
func (c *collector) served(t *testing.T, n int) {
	t.Helper()
	llmtest.Until(t, "the spans of the requests", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		got := 0
		for _, s := range c.spans {
			if s.Kind == tracepb.Span_SPAN_KIND_SERVER {
				got++
			}
		}
		return got >= n
	})
}

func unknownFields(d *tracepb.TracesData) []byte {
	unknown := []byte(d.ProtoReflect().GetUnknown())
	for _, rs := range d.ResourceSpans {
		unknown = append(unknown, rs.ProtoReflect().GetUnknown()...)
		unknown = append(unknown, rs.Resource.ProtoReflect().GetUnknown()...)
		for _, ss := range rs.ScopeSpans {
			unknown = append(unknown, ss.ProtoReflect().GetUnknown()...)
			for _, s := range ss.Spans {
				unknown = append(unknown, s.ProtoReflect().GetUnknown()...)
				for _, a := range s.Attributes {
					unknown = append(unknown, a.ProtoReflect().GetUnknown()...)
					unknown = append(unknown, a.Value.ProtoReflect().GetUnknown()...)
				}
			}
		}
	}
	return unknown
}

func value(attributes []*commonpb.KeyValue, name string) *commonpb.AnyValue {
	for _, a := range attributes {
		if a.Key == name {
			return a.Value
		}
	}
	return nil
}

func text(attributes []*commonpb.KeyValue, name string) string {
	return value(attributes, name).GetStringValue()
}

// path gives the names of the spans of a trace as paths from its root, "client/server", and checks that a span begins
// in its parent's time, and ends in it where both are of one process.
func (c *collector) paths(t *testing.T, trace string) map[string]span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]span{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) != trace {
			continue
		}
		path := s.service + ":" + s.Name
		for at := s; len(at.ParentSpanId) > 0; {
			parent, ok := c.spans[string(at.ParentSpanId)]
			if !ok {
				t.Fatalf("%s has a parent that was not sent", at.Name)
			}
			if at.StartTimeUnixNano < parent.StartTimeUnixNano || at.EndTimeUnixNano > parent.EndTimeUnixNano &&
				at.Kind != tracepb.Span_SPAN_KIND_SERVER {
				t.Errorf("%s is not in the time of %s", at.Name, parent.Name)
			}
			path, at = parent.service+":"+parent.Name+" > "+path, parent
		}
		if failed(s) {
			path += " (failed)"
		}
		if _, twice := all[path]; twice {
			t.Errorf("%s stands twice", path)
		}
		all[path] = s
	}
	return all
}

func failed(s span) bool { return s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR }

func quiet(string) string { return "" }

// serve opens a service and its HTTP side. stop sends its spans.
func serve(t *testing.T, edit func(*mixtral.Config)) (address string, stop func()) {
	t.Helper()
	c := mixtral.DefaultConfig()
	c.CPUCores = 1
	edit(&c)
	s, err := mixtral.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	return server.URL, func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// ask sends one request of the load generator's and gives its record.
func ask(t *testing.T, address, collectorURL string) evidence.Request {
	t.Helper()
	tracer, err := telemetry.NewTracer(telemetry.TracerConfig{URL: collectorURL, Service: "certify", Getenv: quiet})
	if err != nil {
		t.Fatal(err)
	}
	client, err := loadgen.NewClient(address, loadgen.ClientOptions{Tracer: tracer})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := client.Do(t.Context(), time.Now(), loadgen.Job{Prompt: "key", Body: []byte(
		`{"model":"tiny","messages":[{"role":"user","content":"Top secret words."}],"max_tokens":6,"ignore_eos":true,"temperature":0,"stream":true,"stream_options":{"include_usage":true}}`)})
	if !r.OK() || r.OutputTokens != 6 {
		t.Fatalf("%+v", r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := tracer.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

// theTrace gives the id of the only trace there is.
func (c *collector) theTrace(t *testing.T) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	id := ""
	for _, s := range c.spans {
		got := hex.EncodeToString(s.TraceId)
		if id != "" && got != id {
			t.Fatal("more than one trace")
		}
		id = got
	}
	return id
}

func embedded(c *mixtral.Config, url string) {
	c.ModelPath, c.ModelID, c.TracingURL = "synth:tiny", "tiny", url
}

// TestEmbedded: one trace from the client through the service to the engine's phases. Logs and metrics name it.
func TestEmbedded(t *testing.T) {
	c := newCollector(t)
	var logs bytes.Buffer
	address, stop := serve(t, func(config *mixtral.Config) {
		embedded(config, c.URL)
		config.Logger = slog.New(slog.NewJSONHandler(&logs, nil))
	})
	r := ask(t, address, c.URL)
	exemplars := metrics(t, address)
	c.served(t, 1)
	stop()
	http.DefaultClient.CloseIdleConnections()
	trace := c.theTrace(t)
	got := c.paths(t, trace)
	const (
		client     = "certify:chat tiny"
		server     = client + " > mixtral:POST /v1/chat/completions"
		completion = server + " > mixtral:chat tiny"
	)
	want(t, got, map[string]tracepb.Span_SpanKind{
		client: tracepb.Span_SPAN_KIND_CLIENT, server: tracepb.Span_SPAN_KIND_SERVER,
		completion:                        tracepb.Span_SPAN_KIND_INTERNAL,
		completion + " > mixtral:queue":   tracepb.Span_SPAN_KIND_INTERNAL,
		completion + " > mixtral:prefill": tracepb.Span_SPAN_KIND_INTERNAL,
		completion + " > mixtral:decode":  tracepb.Span_SPAN_KIND_INTERNAL,
	})
	for path, attributes := range map[string]map[string]int{
		completion: {"gen_ai.usage.input_tokens": r.PromptTokens,
			"gen_ai.usage.output_tokens": 6, "gen_ai.request.max_tokens": 6},
		completion + " > mixtral:prefill": {"gen_ai.usage.input_tokens": r.PromptTokens},
		completion + " > mixtral:decode":  {"gen_ai.usage.output_tokens": 6},
		server:                            {"http.response.status_code": 200},
	} {
		for name, n := range attributes {
			if v := value(got[path].Attributes, name); v.GetIntValue() != int64(n) {
				t.Errorf("%s: %s is %v, want %d", path, name, v, n)
			}
		}
	}
	a := got[completion].Attributes
	if text(a, "gen_ai.operation.name") != "chat" || text(a, "gen_ai.request.model") != "tiny" ||
		text(a, "gen_ai.provider.name") != "mixtral" ||
		value(a, "gen_ai.response.finish_reasons").GetArrayValue().GetValues()[0].GetStringValue() != "length" ||
		value(a, "gen_ai.response.time_to_first_chunk").GetDoubleValue() <= 0 {
		t.Errorf("completion: %v", a)
	}
	if !strings.Contains(logs.String(), `"trace_id":"`+trace+`"`) {
		t.Errorf("no log line names the trace:\n%s", &logs)
	}
	if n := strings.Count(exemplars, `trace_id="`+trace+`"`); n < 3 {
		t.Errorf("%d exemplars name the trace", n)
	}
	for path, s := range got {
		if strings.Contains(s.String(), "secret") {
			t.Errorf("%s holds words of the prompt", path)
		}
	}
}

// want compares the paths of a trace, and their kinds.
func want(t *testing.T, got map[string]span, kinds map[string]tracepb.Span_SpanKind) {
	t.Helper()
	for path, kind := range kinds {
		if s, ok := got[path]; !ok || s.Kind != kind {
			t.Errorf("no span %q of kind %v", path, kind)
		}
	}
	for path := range got {
		if _, ok := kinds[path]; !ok {
			t.Errorf("unexpected span %q", path)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// metrics scrapes as a Prometheus server does that wants exemplars.
func metrics(t *testing.T, address string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestUpstream: the same trace goes on into the replica that a service passes the request on to, with a span for each
// try.
func TestUpstream(t *testing.T) {
	c := newCollector(t)
	replica, stopReplica := serve(t, func(config *mixtral.Config) { embedded(config, c.URL) })
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // a health check
			io.WriteString(w, `{"data":[{"id":"tiny"}]}`)
			return
		}
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	// The file says which models they serve, so the request need not wait until both were asked for their lists.
	file := filepath.Join(t.TempDir(), "upstream.yaml")
	both := fmt.Sprintf("replicas:\n- {url: %q, models: [tiny]}\n- {url: %q, models: [tiny]}\n", busy.URL, replica)
	if err := os.WriteFile(file, []byte(both), 0o600); err != nil {
		t.Fatal(err)
	}
	front, stopFront := serve(t, func(config *mixtral.Config) {
		config.Backend, config.UpstreamFile, config.TracingURL = "vllm", file, c.URL
	})
	r := ask(t, front, c.URL)
	c.served(t, 2)
	stopFront()
	stopReplica()
	busy.Close()
	got := c.paths(t, c.theTrace(t))
	const (
		client  = "certify:chat tiny"
		server  = client + " > mixtral:POST /v1/chat/completions"
		passed  = server + " > mixtral:chat tiny"
		try     = passed + " > mixtral:POST"
		there   = try + " > mixtral:POST /v1/chat/completions"
		compute = there + " > mixtral:chat tiny"
	)
	// The busy replica may be asked first: then its try stands beside the good one, and says so.
	for _, path := range []string{client, server, passed, try, there, compute, compute + " > mixtral:queue", compute +
		" > mixtral:prefill", compute + " > mixtral:decode"} {
		if _, ok := got[path]; !ok {
			t.Errorf("no span %q among %v", path, keys(got))
		}
	}
	if t.Failed() {
		return
	}
	if got[passed].Kind != tracepb.Span_SPAN_KIND_CLIENT || got[try].Kind != tracepb.Span_SPAN_KIND_CLIENT {
		t.Error("what is passed on is not a client's span")
	}
	if v := value(got[passed].Attributes, "gen_ai.usage.input_tokens"); v.GetIntValue() != int64(r.PromptTokens) {
		t.Errorf("the proxy says %v prompt tokens, the answer %d", v, r.PromptTokens)
	}
}

func keys(m map[string]span) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// TestCollectorAway: requests are answered, and the service ends, while a collector takes connections and is silent.
func TestCollectorAway(t *testing.T) {
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer silent.Close()
	defer close(release)
	address, stop := serve(t, func(config *mixtral.Config) { embedded(config, silent.URL) })
	client, err := loadgen.NewClient(address, loadgen.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r := client.Do(t.Context(), time.Now(),
			loadgen.Job{Body: []byte(`{"messages":[{"role":"user","content":"Hello"}],"max_tokens":2}`)}); !r.OK() {
			t.Error(r.Fail, r.Detail)
		}
	}
	client.Close()
	stop()
}

// TestPassedRoutes: clients cannot make up names of spans, neither by routes that only the upstream may know nor by
// names of models.
func TestPassedRoutes(t *testing.T) {
	c := newCollector(t)
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"data":[{"id":"tiny"}],"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}`)
	}))
	front, stop := serve(t, func(config *mixtral.Config) {
		config.Backend, config.Upstream, config.TracingURL = "vllm", far.URL, c.URL
	})
	for ready := false; !ready; time.Sleep(time.Millisecond) { // it has listed its models
		resp, err := http.Get(front + "/v1/models/tiny")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		ready = resp.StatusCode == 200
	}
	for _, ask := range [][2]string{{"/v1/rerank", "tiny"}, {"/v1/made/up/1", "tiny"}, {"/v1/made/up/2", "other"},
		{"//v1/embeddings", "tiny"}, {"/v1/chat/completions", "tiny"}, {"/v1/chat/completions", "made-up"}} {
		resp, err := http.Post(front+ask[0], "application/json", strings.NewReader(`{"model":"`+ask[1]+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if resp.Body.Close(); resp.StatusCode != 200 {
			t.Errorf("%s: %s", ask[0], resp.Status)
		}
	}
	c.served(t, 6)
	stop()
	far.Close()
	http.DefaultClient.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := map[string]int{}
	for _, s := range c.spans {
		got[s.Kind.String()[len("SPAN_KIND_"):]+" "+s.Name]++
	}
	if want := map[string]int{"SERVER POST /v1/": 4, "SERVER POST /v1/chat/completions": 2, "CLIENT POST": 6,
		"CLIENT embeddings tiny": 1, "CLIENT chat tiny": 1, "CLIENT chat": 1}; !maps.Equal(got, want) {
		t.Errorf("spans %v, want %v", got, want)
	}
}
