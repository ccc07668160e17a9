package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
)

// collector receives the exporter's requests: it keeps their bodies and answers with the given statuses.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	bodies  [][]byte
	headers []http.Header
	answers []int // statuses in turn; the last one stays
	plea    string
}

func newCollector(t *testing.T, answers ...int) *collector {
	c := &collector{answers: answers}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies, c.headers = append(c.bodies, body), append(c.headers, r.Header)
		if c.plea != "" {
			w.Header().Set("Retry-After", c.plea)
		}
		w.WriteHeader(c.answers[0])
		if len(c.answers) > 1 {
			c.answers = c.answers[1:]
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// vars makes an environment.
func vars(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func newTracer(t *testing.T, url string, env ...string) *Tracer {
	t.Helper()
	tr, err := NewTracer(TracerConfig{URL: url, Service: "mixtral", Version: "v1", Getenv: vars(env...)})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func shutdown(t *testing.T, tr *Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := tr.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

const (
	remoteTrace  = "0af7651916cd43dd8448eb211c80319c"
	remoteParent = "00-" + remoteTrace + "-b7ad6b7169203331-01"
)

func parent(value string) http.Header {
	h := http.Header{}
	h.Set("Traceparent", value)
	return h
}

// TestTraceGoesOn: a span is in the caller's trace, its child is below it, and a called server gets the ids.
func TestTraceGoesOn(t *testing.T) {
	defer leak.Check(t, 5*time.Second, goleak.IgnoreCurrent())
	c := newCollector(t, 200)
	tr := newTracer(t, c.URL)
	ctx, server := tr.Serve(context.Background(), parent(remoteParent), "POST /x")
	if server.TraceID() != remoteTrace || SpanFrom(ctx) != server {
		t.Errorf("trace %q", server.TraceID())
	}
	ctx, child := Start(ctx, "queue", Internal, t0)
	child.Int(AttrInputTokens, 7)
	out := http.Header{}
	Inject(ctx, out)
	if got := out.Get("Traceparent"); !strings.HasPrefix(got, "00-"+remoteTrace+"-") || got == remoteParent ||
		!strings.HasSuffix(got, "-01") {
		t.Errorf("passed on: %q", got)
	}
	child.EndAt(t0.Add(time.Second))
	server.EndHTTP(200, Server)
	shutdown(t, tr)
	c.Close()
	id, _ := hex.DecodeString(remoteTrace)
	all := bytes.Join(c.bodies, nil) // usually one
	if bytes.Count(all, id) != 2 || !bytes.Contains(all, []byte("queue")) ||
		!bytes.Contains(all, []byte("service.name")) {
		t.Errorf("collected: %q", c.bodies)
	}
}

// TestUnsampledCaller: a caller that does not record its trace gets no span here, and called servers are told not to
// record.
func TestUnsampledCaller(t *testing.T) {
	c := newCollector(t, 200)
	tr := newTracer(t, c.URL)
	ctx, s := tr.Serve(context.Background(), parent(strings.TrimSuffix(remoteParent, "1")+"0"), "x")
	if s.On() || s.TraceID() != "" {
		t.Error("recorded")
	}
	if _, below := Start(ctx, "y", Internal, time.Time{}); below.On() {
		t.Error("a child is recorded")
	}
	out := http.Header{}
	Inject(ctx, out)
	if got := out.Get("Traceparent"); !strings.Contains(got, remoteTrace) || !strings.HasSuffix(got, "-00") {
		t.Errorf("passed on: %q", got)
	}
	s.End()
	shutdown(t, tr)
	if len(c.bodies) != 0 {
		t.Error("something was sent")
	}
}

// TestOff: without a tracer nothing happens, and a request allocates nothing for it.
func TestOff(t *testing.T) {
	tr, err := NewTracer(TracerConfig{})
	if tr != nil || err != nil {
		t.Fatal(tr, err)
	}
	ctx, h := context.Background(), parent(remoteParent)
	if n := testing.AllocsPerRun(100, func() { offPath(ctx, tr, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got := h.Get("Traceparent"); got != remoteParent {
		t.Errorf("the client's header became %q", got)
	}
	if r := tr.Reserve(); r.On() || len(r.AppendHeader(nil)) != 0 || tr.Record(r, "x", t0).On() {
		t.Error("reserved something")
	}
	if err := tr.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// offPath is everything that a request does for its trace.
func offPath(ctx context.Context, tr *Tracer, h http.Header) {
	ctx, server := tr.Serve(ctx, h, "POST /v1/chat/completions")
	ctx, s := Start(ctx, "chat", Internal, t0)
	s.Text(AttrOperation, OperationChat)
	s.Int(AttrInputTokens, 1)
	s.Float(AttrTemperature, 0.7)
	s.Bool(AttrPreempted, true)
	Inject(ctx, h)
	if s.On() || s.TraceID() != "" {
		panic("on")
	}
	s.Fail("500")
	s.EndAt(t0)
	server.EndHTTP(200, Server)
}

func BenchmarkOff(b *testing.B) {
	ctx, h := context.Background(), http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		offPath(ctx, nil, h)
	}
}

func BenchmarkOn(b *testing.B) {
	tr, err := NewTracer(TracerConfig{URL: "http://127.0.0.1:1", Getenv: vars("OTEL_EXPORTER_OTLP_TIMEOUT", "1")})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ctx, server := tr.Serve(context.Background(), http.Header{}, "POST /v1/chat/completions")
		_, s := Start(ctx, "chat", Internal, t0)
		s.Int(AttrInputTokens, 1)
		s.EndAt(t0)
		server.EndHTTP(200, Server)
	}
	b.StopTimer()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = tr.Shutdown(ctx) // there is no listener
}

// TestReserved: a span has the ids that were sent with its request, and is sampled as its header said.
func TestReserved(t *testing.T) {
	c := newCollector(t, 200)
	tr := newTracer(t, c.URL, "OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG", "0.5")
	sampled := 0
	var announced [][]byte
	for range 200 {
		r := tr.Reserve()
		line := string(r.AppendHeader(nil))
		if flag := map[bool]string{true: "-01\r\n", false: "-00\r\n"}[r.On()]; !strings.HasSuffix(line, flag) ||
			len(line) != len("traceparent: \r\n")+len(remoteParent) {
			t.Fatalf("header %q of %v", line, r.On())
		}
		s := tr.Record(r, "chat", t0)
		if s.On() != r.On() {
			t.Fatal("the header and the span disagree")
		}
		if s.On() {
			sampled++
			if got := s.TraceID(); got != line[16:48] {
				t.Fatalf("trace %s, announced %q", got, line)
			}
			id, _ := hex.DecodeString(line[49:65])
			announced = append(announced, id)
			s.EndAt(t0.Add(time.Second))
		}
	}
	if sampled < 50 || sampled > 150 {
		t.Errorf("%d of 200 sampled at a ratio of 0.5", sampled)
	}
	shutdown(t, tr)
	all := bytes.Join(c.bodies, nil)
	for _, id := range announced {
		if !bytes.Contains(all, id) {
			t.Fatal("an announced span was not sent")
		}
	}
}

// TestSend: settings of the environment, and another attempt when the collector is busy.
func TestSend(t *testing.T) {
	c := newCollector(t, 503, 429, 200)
	c.plea = "2"
	tr := newTracer(t, c.URL+"/custom", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x = y",
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip", "OTEL_SERVICE_NAME", "renamed", "OTEL_RESOURCE_ATTRIBUTES",
		"deployment.environment.name=test%20bed,service.name=not this")
	var pauses []time.Duration
	tr.exporter.pause = func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}
	_, s := tr.Serve(context.Background(), http.Header{}, "x")
	s.End()
	shutdown(t, tr)
	if len(c.bodies) != 3 || len(pauses) != 2 || pauses[0] < 2*time.Second || pauses[1] < 2*time.Second {
		t.Fatalf("%d tries, pauses %v", len(c.bodies), pauses)
	}
	h := c.headers[2]
	if h.Get("Api-Key") != "a b" || h.Get("X") != "y" || h.Get("Content-Type") != "application/x-protobuf" {
		t.Errorf("headers %v", h)
	}
	z, err := gzip.NewReader(bytes.NewReader(c.bodies[2]))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(body, []byte("renamed")) || !bytes.Contains(body, []byte("test bed")) ||
		bytes.Contains(body, []byte("not this")) {
		t.Errorf("%q, %v", body, err)
	}
}

// TestLost: a collector that refuses, or is unreachable, costs only spans; the log says so once, and again when it is
// over.
func TestLost(t *testing.T) {
	c := newCollector(t, 400, 400, 200)
	var out bytes.Buffer
	tr, err := NewTracer(TracerConfig{URL: c.URL, Getenv: vars("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret"),
		Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, s := tr.Serve(context.Background(), http.Header{}, "x")
		s.End()
		if err := tr.provider.ForceFlush(context.Background()); err != nil {
			t.Error(err)
		}
	}
	shutdown(t, tr)
	got := out.String()
	if strings.Count(got, "being lost") != 1 || strings.Count(got, "sent again") != 1 ||
		!strings.Contains(got, "lost_spans=2") || strings.Contains(got, "secret") {
		t.Errorf("log:\n%s", got)
	}
}

// TestShutdownIsBounded: a collector that accepts the connection and never answers delays neither requests nor the
// end.
func TestShutdownIsBounded(t *testing.T) {
	defer leak.Check(t, 5*time.Second, goleak.IgnoreCurrent())
	release := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-release }))
	defer hung.Close()
	defer close(release)
	tr := newTracer(t, hung.URL)
	for range 5000 { // more than the queue holds
		_, s := tr.Serve(context.Background(), http.Header{}, "x")
		s.End()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := tr.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shut down: %v", err)
	}
}

// TestShutdownAfterItsTime: with a context that has ended, what waits is dropped, and Shutdown still returns.
func TestShutdownAfterItsTime(t *testing.T) {
	defer leak.Check(t, 5*time.Second, goleak.IgnoreCurrent())
	tr := newTracer(t, "http://127.0.0.1:1")
	_, s := tr.Serve(context.Background(), http.Header{}, "x")
	s.End()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan error)
	go func() { ended <- tr.Shutdown(ctx) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("shut down: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Shutdown does not return")
	}
}

func TestTracingURL(t *testing.T) {
	for _, test := range []struct {
		env  []string
		want string
		set  bool
	}{
		{nil, "", false},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/"}, "http://c:4318/v1/traces", true},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base"}, "http://c:4318/base/v1/traces", true},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
			"http://t/in"}, "http://t/in", true},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "OTEL_SDK_DISABLED", "True"}, "", true},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "OTEL_TRACES_EXPORTER", "none"}, "", true},
	} {
		if got, set := TracingURL(vars(test.env...)); got != test.want || set != test.set {
			t.Errorf("%v: %q %v", test.env, got, set)
		}
	}
}

func TestTracerConfig(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range [][]string{
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"},
		{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "soon"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "secret"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0d%0ab"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", empty},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", empty + "not"},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", empty},
		{"OTEL_TRACES_SAMPLER", "jaeger_remote"},
		{"OTEL_RESOURCE_ATTRIBUTES", "secret"},
		{"OTEL_TRACES_SAMPLER_ARG", "2", "OTEL_TRACES_SAMPLER", "traceidratio"},
	} {
		_, err := NewTracer(TracerConfig{URL: "http://c", Getenv: vars(env...)})
		if !errors.Is(err, ErrTracing) || !strings.Contains(err.Error(), env[0]) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", env, err)
		}
	}
	for _, bad := range []string{"c:4318", "ftp://c", "http://", "http://a b"} {
		if _, err := NewTracer(TracerConfig{URL: bad, Getenv: vars()}); !errors.Is(err, ErrTracing) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, name := range Samplers {
		shutdown(t, newTracer(t, "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", name))
	}
}

// TestLogsNameTheTrace: records with a span in their context have its ids, and other records are unchanged.
func TestLogsNameTheTrace(t *testing.T) {
	tr := newTracer(t, "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER", "always_off")
	defer shutdown(t, tr)
	var out bytes.Buffer
	log := WithTraceIDs(slog.New(slog.NewTextHandler(&out, nil))).With("a", 1)
	ctx, _ := tr.Serve(context.Background(), parent(remoteParent), "x")
	log.InfoContext(ctx, "with")
	log.Info("without")
	with, without, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(with, "a=1 trace_id="+remoteTrace+" span_id=") || strings.Contains(without, "trace_id") {
		t.Errorf("log:\n%s", out.String())
	}
}

// TestExemplars: OpenMetrics shows a trace for each latency histogram with a traced request.
func TestExemplars(t *testing.T) {
	m := NewMetrics("v1")
	for _, id := range []string{"", remoteTrace} {
		c := m.Begin(t0)
		c.Trace(id)
		c.Tokens(at(0.5), 1)
		c.End(at(1), "stop", time.Millisecond)
	}
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	for _, name := range []string{TimeToFirstToken, RequestLatency, QueueTime} {
		found := false
		for line := range strings.Lines(w.Body.String()) {
			found = found || strings.HasPrefix(line, name+"_bucket") &&
				strings.Contains(line, `# {trace_id="`+remoteTrace+`"}`)
		}
		if !found {
			t.Errorf("%s has no exemplar", name)
		}
	}
}
