package certify

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// newTracer traces the requests of the load where the options name a collector; it is nil where they name none.
func newTracer(o Options) (*telemetry.Tracer, error) {
	t, err := telemetry.NewTracer(telemetry.TracerConfig{URL: o.TracingURL, Service: "mixtral-certify",
		Version: o.Version, Getenv: os.Getenv})
	if err != nil {
		return nil, fmt.Errorf("%w: tracing URL: %w", ErrOptions, err)
	}
	return t, nil
}

// flushTime bounds how long the end of a run waits for a collector that is slow or cannot be reached.
const flushTime = 2 * time.Second

// closeTracer sends the last spans. The verdict does not depend on them.
func closeTracer(t *telemetry.Tracer) error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	return t.Shutdown(ctx)
}
