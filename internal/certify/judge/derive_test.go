package judge

import (
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// Derive returns the report of events in memory, and the series that its plots show.
func Derive(events []evidence.Event) (*report.Report, report.Series, error) {
	r, err := read(events)
	if err != nil {
		return nil, report.Series{}, err
	}
	out, err := r.deriveFrom(events)
	if err != nil {
		return nil, report.Series{}, err
	}
	return out, r.series(), nil
}
