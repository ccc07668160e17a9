package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/upstream"
)

// trace begins the span of a request, in the trace that its client names or in a new one. Only requests that a model
// answers have one: health checks, scrapes and lists of models come every few seconds, for ever.
func (s *Server) trace(r *http.Request, x *exchange) (*http.Request, telemetry.Span) {
	if s.c.Tracer == nil || r.Method != http.MethodPost {
		return r, telemetry.Span{}
	}
	path := singleSlashes(r.URL.Path)
	name, route, ok := s.find(s.routes, r.Method, path)
	if !ok || route.method != http.MethodPost {
		return r, telemetry.Span{}
	}
	// Routes that only the upstream has share a name: clients can invent any number of them.
	ctx, span := s.c.Tracer.Serve(r.Context(), r.Header, route.method+" "+name)
	span.Text(telemetry.AttrMethod, route.method)
	span.Text(telemetry.AttrRoute, name)
	span.Text(telemetry.AttrPath, printable(path))
	span.Text(telemetry.AttrRequestID, x.id)
	x.trace = span.TraceID()
	return r.WithContext(ctx), span
}

// endTrace ends a request's span.
func endTrace(span telemetry.Span, x *exchange) {
	if x.result.err != nil && x.status == http.StatusOK {
		span.Fail(errorType(x.result.err)) // half an answer
	}
	span.EndHTTP(x.status, telemetry.Server)
}

// errorType returns the kind of an error, one of a few.
func errorType(err error) string {
	switch {
	case gone(err):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, llm.ErrQueueFull):
		return "queue_full"
	case errors.Is(err, llm.ErrClosed), errors.Is(err, llm.ErrNotReady):
		return "unavailable"
	case errors.Is(err, llm.ErrBadRequest):
		return "bad_request"
	case errors.Is(err, llm.ErrNumeric):
		return "numeric"
	case errors.Is(err, upstream.ErrUnreachable):
		return "upstream_error"
	}
	return "_OTHER" // the convention's value
}

// completionSpan is the span of one completion, with the attributes for generative AI. A nil one records nothing.
type completionSpan struct {
	telemetry.Span
	arrived time.Time
	begun   bool
}

// traceID returns the trace's id.
func (c *completionSpan) traceID() string {
	if c == nil {
		return ""
	}
	return c.TraceID()
}

// traceCompletion begins the span of a completion. The spans of the backend's stages are below it.
func (s *Server) traceCompletion(ctx context.Context, arrived time.Time, r *llm.Request) (context.Context,
	*completionSpan) {
	if !telemetry.SpanFrom(ctx).On() {
		return ctx, nil
	}
	operation, model := telemetry.OperationText, r.Model
	if r.Messages != nil {
		operation = telemetry.OperationChat
	}
	if models := s.backend.Load().Models(); model == "" && len(models) > 0 {
		model = models[0].ID
	}
	ctx, span := startCompletion(ctx, operation, model, s.listed(model), telemetry.Internal)
	c := &completionSpan{Span: span, arrived: arrived}
	c.Text(telemetry.AttrResponseID, r.ID)
	c.Text(telemetry.AttrResponseModel, model)
	p := r.Sampling
	if r.MaxTokens > 0 {
		c.Int(telemetry.AttrMaxTokens, r.MaxTokens)
	}
	c.Float(telemetry.AttrTemperature, p.Temperature)
	for _, f := range []struct {
		name  string
		value float64
	}{{telemetry.AttrTopP, p.TopP}, {telemetry.AttrFrequencyPenalty, p.FrequencyPenalty},
		{telemetry.AttrPresencePenalty, p.PresencePenalty}} {
		if f.value != 0 {
			c.Float(f.name, f.value)
		}
	}
	if p.TopK > 0 {
		c.Int(telemetry.AttrTopK, p.TopK)
	}
	if p.Seed != nil {
		c.Int(telemetry.AttrSeed, int(*p.Seed))
	}
	return ctx, c
}

// startCompletion begins a span of a model. known is the model's name if the service has it.
func startCompletion(ctx context.Context, operation, model, known string, kind telemetry.SpanKind) (context.Context,
	telemetry.Span) {
	ctx, span := telemetry.Start(ctx, strings.TrimSuffix(operation+" "+known, " "), kind, time.Time{})
	span.Text(telemetry.AttrOperation, operation)
	span.Text(telemetry.AttrProvider, telemetry.Provider)
	span.Text(telemetry.AttrRequestModel, model)
	return ctx, span
}

// event takes an event of the backend.
func (c *completionSpan) event(now time.Time, e llm.Event) {
	if c == nil {
		return
	}
	if !c.begun && e.NTokens > 0 {
		c.begun = true
		c.Float(telemetry.AttrFirstChunk, now.Sub(c.arrived).Seconds())
	}
	if e.Finish != llm.FinishNone {
		c.Texts(telemetry.AttrFinishReasons, string(e.Finish))
	}
	c.usage(e.Usage)
}

func (c *completionSpan) usage(u *llm.Usage) {
	if u == nil {
		return
	}
	c.Int(telemetry.AttrInputTokens, u.PromptTokens)
	c.Int(telemetry.AttrOutputTokens, u.CompletionTokens)
	if u.CachedTokens > 0 {
		c.Int(telemetry.AttrCachedTokens, u.CachedTokens)
	}
}

// end ends the span.
func (c *completionSpan) end(err error) {
	if c == nil {
		return
	}
	if err != nil {
		c.Fail(errorType(err))
	}
	c.End()
}

// listed returns the name of a model that exists, and nothing for a name that only a client uses: clients must not
// create names of spans. Until a server has listed its models, any may exist.
func (s *Server) listed(model string) string {
	models := s.backend.Load().Models()
	if len(models) == 0 || slices.ContainsFunc(models, func(m llm.Model) bool { return m.ID == model }) {
		return model
	}
	return ""
}

// tracePassed begins the span of a request that is passed on. The spans of its tries are below it. If the route is not
// known, its operation is not known either, and the spans of its tries are below the request's span.
func (s *Server) tracePassed(r *http.Request, o *object, arrived time.Time) (*http.Request, *completionSpan) {
	if !telemetry.SpanFrom(r.Context()).On() {
		return r, nil
	}
	operation := telemetry.OperationChat
	switch {
	case r.URL.Path == "/v1/completions":
		operation = telemetry.OperationText
	case r.URL.Path == "/v1/embeddings":
		operation = telemetry.OperationEmbeddings
	case !completions(r.URL.Path):
		return r, nil
	}
	peek := *o // the upstream refuses a value that is not text
	model, _ := peek.Text("model")
	const most = 100
	if len(model) > most {
		model = model[:most]
	}
	ctx, span := startCompletion(r.Context(), operation, model, s.listed(model), telemetry.Client)
	return r.WithContext(ctx), &completionSpan{Span: span, arrived: arrived}
}

// endPassed ends the span of such a request; out is nil after a panic.
func (c *completionSpan) endPassed(out *upstream.Outcome) {
	if c == nil {
		return
	}
	if out == nil {
		c.end(errPanic)
		return
	}
	if out.First > 0 {
		c.Float(telemetry.AttrFirstChunk, out.First.Seconds())
	}
	if out.Finish != llm.FinishNone {
		c.Texts(telemetry.AttrFinishReasons, string(out.Finish))
	}
	c.usage(out.Usage)
	if out.Status >= 400 {
		c.Int(telemetry.AttrStatus, out.Status)
		c.Fail(strconv.Itoa(out.Status))
	}
	c.end(out.Err)
}
