package certify

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// openTracer begins to trace the requests of the load where Options name a collector.
func (r *runner) openTracer() (err error) {
	r.tracer, err = telemetry.NewTracer(telemetry.TracerConfig{URL: r.o.TracingURL, Service: "mixtral-certify",
		Version: r.o.Version, Getenv: os.Getenv})
	if err != nil {
		return fmt.Errorf("%w: tracing URL: %w", ErrOptions, err)
	}
	return nil
}

// flushTime bounds how long the end of a run waits for a collector that is slow or away.
const flushTime = 2 * time.Second

// closeTracer sends the last spans. Those that are lost are no part of the verdict.
func (r *runner) closeTracer() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := r.tracer.Shutdown(ctx); err != nil {
		r.tell(Event{Kind: EventNote, Text: "the last traces are lost: " + err.Error()})
	}
}
