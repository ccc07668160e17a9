package upstream

import (
	"net/http"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// traceTry begins the span of one try below the request's span, and returns the request with a header that names the
// new span to the replica. Without a trace the request keeps the header that its client sent.
func (u *Upstream) traceTry(r *http.Request, s *server, tries int) (*http.Request, telemetry.Span) {
	ctx, span := telemetry.Start(r.Context(), http.MethodPost, telemetry.Client, time.Time{})
	if !span.On() {
		return r, span
	}
	span.Text(telemetry.AttrMethod, http.MethodPost)
	span.Text(telemetry.AttrServer, s.base.Hostname())
	if port, err := strconv.Atoi(s.base.Port()); err == nil {
		span.Int(telemetry.AttrPort, port)
	}
	if tries > 1 {
		span.Int(telemetry.AttrResend, tries-1)
	}
	r = r.WithContext(ctx)
	r.Header = r.Header.Clone()
	telemetry.Inject(ctx, r.Header)
	return r, span
}

// endTry ends the span of a try with its result.
func endTry(span telemetry.Span, o route.Outcome, out *Outcome) {
	if !span.On() {
		return
	}
	if out.Err != nil {
		span.Fail(map[route.Outcome]string{route.Broken: "upstream_error", route.Refused: "upstream_error",
			route.Busy: "busy", route.Ignored: "canceled"}[o])
	}
	span.EndHTTP(out.Status, telemetry.Client)
}
