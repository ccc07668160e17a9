package certify

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// newTracer returns a tracer of the load's requests, or nil if the options name no collector.
func newTracer(o Options) (*telemetry.Tracer, error) {
	t, err := telemetry.NewTracer(telemetry.TracerConfig{URL: o.TracingURL, Service: "mixtral-certify",
		Version: o.Version, Getenv: os.Getenv})
	if err != nil {
		return nil, fmt.Errorf("%w: tracing URL: %w", ErrOptions, err)
	}
	return t, nil
}

// flushTime is how long the end of a run waits for a collector that is slow or unreachable. Tests have
// more patience.
var flushTime = 2 * time.Second

// closeTracer sends the last spans. The verdict does not depend on them.
func closeTracer(t *telemetry.Tracer) error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	return t.Shutdown(ctx)
}
