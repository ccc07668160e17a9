package engine

import (
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// traced runs a request below a span and gives the spans that were recorded, by name.
func traced(t *testing.T, e *Engine, r *llm.Request, sink func(llm.Event) error) (map[string]sdktrace.ReadOnlySpan,
	error) {
	t.Helper()
	rec := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec))
	ctx, parent := p.Tracer("test").Start(t.Context(), "request")
	err := e.Generate(ctx, r, sink)
	parent.End()
	spans := map[string]sdktrace.ReadOnlySpan{}
	for _, s := range rec.Ended() {
		if s.Name() == "request" {
			continue
		}
		if s.Parent().SpanID() != parent.SpanContext().SpanID() {
			t.Errorf("%s is not below the request", s.Name())
		}
		if s.StartTime().After(s.EndTime()) {
			t.Errorf("%s ends before it begins", s.Name())
		}
		if spans[s.Name()] != nil {
			t.Errorf("two spans %s", s.Name())
		}
		spans[s.Name()] = s
	}
	return spans, err
}

func attr(s sdktrace.ReadOnlySpan, name string) int {
	set := attribute.NewSet(s.Attributes()...)
	v, _ := set.Value(attribute.Key(name))
	return int(v.AsInt64())
}

// TestPhases: queue, prefill and decode follow each other without a gap, and count the request's tokens; a prompt
// that was there before says so.
func TestPhases(t *testing.T) {
	e, err := New(makeFile(t, synth.Tiny()), Config{PrefillChunk: 16, NoGuesses: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	cached := 0
	for range 2 {
		var usage *llm.Usage
		spans, err := traced(t, e, ask(ids(1, 50), 5), func(ev llm.Event) error {
			usage = ev.Usage
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		queue, prefill, decode := spans["queue"], spans["prefill"], spans["decode"]
		if queue == nil || prefill == nil || decode == nil || len(spans) != 3 {
			t.Fatalf("spans: %v", spans)
		}
		if !queue.EndTime().Equal(prefill.StartTime()) || !prefill.EndTime().Equal(decode.StartTime()) {
			t.Error("there is time between the spans")
		}
		if got := queue.EndTime().Sub(queue.StartTime()); got != usage.Queued {
			t.Errorf("%v in the queue, usage says %v", got, usage.Queued)
		}
		if attr(prefill, telemetry.AttrInputTokens) != 50 || attr(decode, telemetry.AttrOutputTokens) != 5 ||
			attr(decode, telemetry.AttrSteps) != 4 {
			t.Errorf("prefill %v, decode %v", prefill.Attributes(), decode.Attributes())
		}
		if got := attr(prefill, telemetry.AttrCachedTokens); got != usage.CachedTokens || got < cached {
			t.Errorf("%d tokens cached, usage says %d", got, usage.CachedTokens)
		}
		if want := (50 - usage.CachedTokens + 15) / 16; attr(prefill, telemetry.AttrSteps) != want {
			t.Errorf("prefill took %d steps, want %d", attr(prefill, telemetry.AttrSteps), want)
		}
		cached = 32 // whole blocks of the second round's prompt
	}
}

// TestPhasesOfTheCutOff: what was not reached has no span, and what was cut off ends.
func TestPhasesOfTheCutOff(t *testing.T) {
	e, err := New(makeFile(t, synth.Tiny()), Config{MaxRunning: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	enough := errors.New("enough")
	n := 0
	spans, err := traced(t, e, ask(ids(1, 20), 100), func(llm.Event) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || len(spans) != 3 || attr(spans["decode"], telemetry.AttrOutputTokens) < 3 {
		t.Errorf("left after 3 tokens: %v, %v", spans, err)
	}

	// One that is given up in the queue.
	q := &request{arrived: time.Now().Add(-time.Second)}
	q.out.spanTimes = &spanTimes{}
	rec := tracetest.NewSpanRecorder()
	ctx, parent := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(rec)).Tracer("test").Start(t.Context(),
		"request")
	q.trace(ctx, q.arrived.Add(time.Second))
	parent.End()
	if ended := rec.Ended(); len(ended) != 2 || ended[0].Name() != "queue" ||
		ended[0].EndTime().Sub(ended[0].StartTime()) != time.Second {
		t.Errorf("given up in the queue: %v", ended)
	}
}
