package main

import (
	"fmt"
	"slices"
	"strings"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// missing says what a damaged record lacks of what its report was made from; it is empty for one that is whole.
func missing(r *reports.Report, d *judge.Derived) string {
	rec := d.Record
	var parts []string
	if rec.Cut {
		parts = append(parts, "the file breaks off")
	}
	if rec.Lost > 0 {
		parts = append(parts, fmt.Sprintf("lines that cannot be read: %d", rec.Lost))
	}
	if rec.Count < r.Evidence.Events {
		parts = append(parts, fmt.Sprintf("%d of %d events are there", rec.Count, r.Evidence.Events))
	}
	var phases []string
	for _, p := range r.Phases {
		if !slices.ContainsFunc(d.Report.Phases, func(q reports.Phase) bool { return q.ID == p.ID }) {
			phases = append(phases, reports.Clean(p.ID))
		}
	}
	if len(phases) > 0 {
		parts = append(parts, "the end of these phases is missing: "+strings.Join(phases, ", "))
	}
	if len(parts) > 0 && !rec.Ended {
		parts = append(parts, "the end of the run is missing")
	}
	return strings.Join(parts, "; ")
}
