package service

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// openTracer starts tracing if the configuration names a collector. Log lines then name the trace.
func (s *Service) openTracer() error {
	t, err := telemetry.NewTracer(telemetry.TracerConfig{URL: s.o.TracingURL, Service: "mixtral",
		Version: s.o.Version, Logger: s.log, Getenv: os.Getenv})
	if err != nil {
		return fmt.Errorf("%w: tracing_url: %w", ErrConfig, err)
	}
	if t != nil {
		s.tracer, s.log = t, telemetry.WithTraceIDs(s.log)
	}
	return nil
}

// flushTime bounds how long the service's end waits for a collector that is slow or unreachable.
const flushTime = 2 * time.Second

// closeTracer sends the last spans, or drops them after flushTime.
func (s *Service) closeTracer() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := s.tracer.Shutdown(ctx); err != nil {
		s.log.Warn("the last traces are lost", "error", err)
	}
}
