package upstream

import (
	"net/http"
	"strconv"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
)

// traceTry begins the span of one try below the request's own, and gives the request whose header tells the replica
// of it. Without a trace the request is the same, with the header that its client sent.
func (u *Upstream) traceTry(r *http.Request, i, tries int) (*http.Request, telemetry.Span) {
	ctx, span := telemetry.Start(r.Context(), http.MethodPost, telemetry.Client, time.Time{})
	if !span.On() {
		return r, span
	}
	span.Text(telemetry.AttrMethod, http.MethodPost)
	span.Text(telemetry.AttrServer, u.bases[i].Hostname())
	if port, err := strconv.Atoi(u.bases[i].Port()); err == nil {
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

// endTry says what became of a try.
func endTry(span telemetry.Span, o outcome, out *Outcome) {
	if !span.On() {
		return
	}
	if out.Err != nil {
		span.Fail(map[outcome]string{broken: "upstream_error", busy: "busy", ignored: "canceled"}[o])
	}
	span.EndHTTP(out.Status, telemetry.Client)
}
