package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Names of spans' attributes. Those of OpenTelemetry's conventions for HTTP and for generative AI are used unchanged;
// our own begin with "mixtral.". No attribute contains a prompt, an answer or a key.
const (
	AttrMethod    = "http.request.method"
	AttrRoute     = "http.route"
	AttrPath      = "url.path"
	AttrStatus    = "http.response.status_code"
	AttrResend    = "http.request.resend_count"
	AttrErrorType = "error.type"
	AttrServer    = "server.address"
	AttrPort      = "server.port"

	AttrOperation        = "gen_ai.operation.name" // chat, text_completion, embeddings
	AttrProvider         = "gen_ai.provider.name"
	AttrRequestModel     = "gen_ai.request.model"
	AttrMaxTokens        = "gen_ai.request.max_tokens"
	AttrTemperature      = "gen_ai.request.temperature"
	AttrTopP             = "gen_ai.request.top_p"
	AttrTopK             = "gen_ai.request.top_k"
	AttrSeed             = "gen_ai.request.seed"
	AttrFrequencyPenalty = "gen_ai.request.frequency_penalty"
	AttrPresencePenalty  = "gen_ai.request.presence_penalty"
	AttrResponseID       = "gen_ai.response.id"
	AttrResponseModel    = "gen_ai.response.model"
	AttrFinishReasons    = "gen_ai.response.finish_reasons"
	AttrFirstChunk       = "gen_ai.response.time_to_first_chunk" // seconds
	AttrInputTokens      = "gen_ai.usage.input_tokens"
	AttrOutputTokens     = "gen_ai.usage.output_tokens"
	AttrCachedTokens     = "gen_ai.usage.cache_read.input_tokens"

	AttrRequestID = "mixtral.request_id" // X-Request-Id, as in the logs
	AttrSteps     = "mixtral.steps"      // of the model, in a phase
	AttrPreempted = "mixtral.preempted"  // the KV cache was given up at least once and computed again
	AttrPhase     = "mixtral.phase"      // of a test case
	AttrPrompt    = "mixtral.prompt"     // the key of a test case's prompt, not its text
)

// Values of attributes: operations and the provider.
const (
	OperationChat       = "chat"
	OperationText       = "text_completion"
	OperationEmbeddings = "embeddings"
	Provider            = "mixtral"
)

// SpanKind says on which side of a call a span is.
type SpanKind int

// Kinds of span.
const (
	Internal = SpanKind(trace.SpanKindInternal)
	Server   = SpanKind(trace.SpanKindServer)
	Client   = SpanKind(trace.SpanKindClient)
)

// scope names this instrumentation in every span.
const scope = "github.com/hxp-enterprise/mixtral"

// Span is a span of a trace. The zero Span records nothing: its methods do nothing and cost nothing.
type Span struct{ s trace.Span }

// SpanFrom returns the span in ctx, if it is recorded.
func SpanFrom(ctx context.Context) Span {
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		return Span{s}
	}
	return Span{}
}

// Start begins a span below the one in ctx, at the given time, or now if that is zero. If ctx has no recorded span,
// the new span is the zero Span.
func Start(ctx context.Context, name string, kind SpanKind, at time.Time) (context.Context, Span) {
	parent := SpanFrom(ctx)
	if !parent.On() {
		return ctx, Span{}
	}
	return begin(ctx, parent.s.TracerProvider().Tracer(scope), name, kind, at)
}

func begin(ctx context.Context, t trace.Tracer, name string, kind SpanKind, at time.Time) (context.Context, Span) {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKind(kind))}
	if !at.IsZero() {
		options = append(options, trace.WithTimestamp(at))
	}
	ctx, s := t.Start(ctx, name, options...)
	if !s.IsRecording() {
		return ctx, Span{} // not sampled: ctx still passes the decision on
	}
	return ctx, Span{s}
}

// On says that the span is recorded, so that computing its attributes is worth the effort.
func (s Span) On() bool { return s.s != nil }

// Text sets an attribute.
func (s Span) Text(name, value string) {
	if s.s != nil {
		s.s.SetAttributes(attribute.String(name, value))
	}
}

// Texts sets an attribute that is a list.
func (s Span) Texts(name string, values ...string) {
	if s.s != nil {
		s.s.SetAttributes(attribute.StringSlice(name, values))
	}
}

// Int sets an attribute that is an integer.
func (s Span) Int(name string, value int) {
	if s.s != nil {
		s.s.SetAttributes(attribute.Int(name, value))
	}
}

// Float sets an attribute that is a number.
func (s Span) Float(name string, value float64) {
	if s.s != nil {
		s.s.SetAttributes(attribute.Float64(name, value))
	}
}

// Bool sets an attribute that is true or false.
func (s Span) Bool(name string, value bool) {
	if s.s != nil {
		s.s.SetAttributes(attribute.Bool(name, value))
	}
}

// Fail marks the span as failed. The type is one of a few: a status code, "timeout", "aborted".
func (s Span) Fail(errorType string) {
	if s.s != nil {
		s.s.SetAttributes(attribute.String(AttrErrorType, errorType))
		s.s.SetStatus(codes.Error, "")
	}
}

// End ends the span now.
func (s Span) End() {
	if s.s != nil {
		s.s.End()
	}
}

// EndAt ends the span at a time.
func (s Span) EndAt(at time.Time) {
	if s.s != nil {
		s.s.End(trace.WithTimestamp(at))
	}
}

// TraceID returns the id of the trace in hexadecimal; empty for the zero Span.
func (s Span) TraceID() string {
	if s.s == nil {
		return ""
	}
	return s.s.SpanContext().TraceID().String()
}

var w3c = propagation.TraceContext{}

// Inject writes the W3C trace context of ctx to a request's header. If ctx has none, the header stays unchanged.
func Inject(ctx context.Context, h http.Header) { w3c.Inject(ctx, propagation.HeaderCarrier(h)) }

// Tracer begins traces and sends their spans to a collector. A nil Tracer begins none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	sampler  sdktrace.Sampler
	batches  sdktrace.SpanProcessor // of the provider: gives exporter many spans at a time
	exporter *exporter
}

// Serve begins the span of an incoming request, in the trace that its header names or in a new one.
func (t *Tracer) Serve(ctx context.Context, h http.Header, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	return begin(w3c.Extract(ctx, propagation.HeaderCarrier(h)), t.tracer, name, Server, time.Time{})
}

// Reserved is a root span whose ids are known before it begins. The zero value records nothing.
type Reserved struct {
	ids     *reservedIDs
	sampled bool
}

type reservedIDs struct {
	trace trace.TraceID
	span  trace.SpanID
}

// Reserve draws the ids of a trace and its first span. A client that measures prepares its requests before it sends
// them, since it has no time to spare later.
func (t *Tracer) Reserve() Reserved {
	if t == nil {
		return Reserved{}
	}
	var r reservedIDs
	r.trace, r.span = randomIDs()
	d := t.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: context.Background(), TraceID: r.trace})
	return Reserved{&r, d.Decision == sdktrace.RecordAndSample}
}

// On says whether Record will record it.
func (r Reserved) On() bool { return r.sampled }

// AppendHeader appends the header line that tells a server about the span, if there is one.
func (r Reserved) AppendHeader(b []byte) []byte {
	if r.ids == nil {
		return b
	}
	b = append(b, "traceparent: 00-"...)
	b = append(b, r.ids.trace.String()...)
	b = append(append(b, '-'), r.ids.span.String()...)
	if r.sampled {
		return append(b, "-01\r\n"...)
	}
	return append(b, "-00\r\n"...)
}

type reservedKey struct{}

// Record makes a reserved span of kind Client that began at start. The caller ends it.
func (t *Tracer) Record(r Reserved, name string, start time.Time) Span {
	if t == nil || !r.sampled {
		return Span{}
	}
	_, s := begin(context.WithValue(context.Background(), reservedKey{}, r.ids), t.tracer, name, Client, start)
	return s
}

// ids draws random ids, or uses reserved ones.
type ids struct{}

func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if r, ok := ctx.Value(reservedKey{}).(*reservedIDs); ok {
		return r.trace, r.span
	}
	return randomIDs()
}

func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	_, span := randomIDs()
	return span
}

// EndHTTP ends a span with a status by HTTP's conventions: only an error of the span's own side counts as one, so a
// 4xx is an error for a client only.
func (s Span) EndHTTP(status int, kind SpanKind) {
	if s.s == nil {
		return
	}
	if status > 0 {
		s.Int(AttrStatus, status)
	}
	if status >= 500 || status >= 400 && kind == Client {
		s.Fail(strconv.Itoa(status))
	}
	s.End()
}
