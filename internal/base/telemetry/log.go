package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// LogLevels and LogFormats are the values that NewLogger accepts.
var (
	LogLevels  = []string{"debug", "info", "warn", "error", "off"}
	LogFormats = []string{"text", "json"}
)

// NewLogger writes records of at least the given level to w.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	if !slices.Contains(LogLevels, level) {
		return nil, fmt.Errorf("log level %q: must be one of %s", level, strings.Join(LogLevels, ", "))
	}
	if !slices.Contains(LogFormats, format) {
		return nil, fmt.Errorf("log format %q: must be one of %s", format, strings.Join(LogFormats, ", "))
	}
	if level == "off" {
		return slog.New(slog.DiscardHandler), nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: l}
	if format == "json" {
		opts.ReplaceAttr = seconds
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}

// seconds writes durations with their unit, which JSON would leave out: "took_seconds": 0.25.
func seconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.Float64(a.Key+"_seconds", a.Value.Duration().Seconds())
	}
	return a
}

// WithTraceIDs returns a logger whose records contain the trace and span ids of their context, under the keys that log
// collectors look for.
func WithTraceIDs(log *slog.Logger) *slog.Logger { return slog.New(tracing{log.Handler()}) }

type tracing struct{ slog.Handler }

func (h tracing) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h tracing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tracing{h.Handler.WithAttrs(attrs)}
}

func (h tracing) WithGroup(name string) slog.Handler { return tracing{h.Handler.WithGroup(name)} }
