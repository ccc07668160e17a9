package judge

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// mostAgainst bounds the samples of one phase of an earlier run. With a thousand, a rank test detects a shift of a
// tenth of a standard deviation.
const mostAgainst = 1000

// Samples are the latencies of a record's phases under load, at most mostAgainst each. A later run keeps them in its
// own record to be compared with.
func Samples(events []evidence.Event) ([]evidence.AgainstPhase, error) {
	r, err := read(events)
	if err != nil {
		return nil, err
	}
	var out []evidence.AgainstPhase
	for _, p := range r.load("") {
		if len(p.latencies) > 0 {
			out = append(out, evidence.AgainstPhase{ID: p.plan.ID, Latency: sparse(p.latencies), TTFT: sparse(p.ttft)})
		}
	}
	return out, nil
}

// sparse keeps mostAgainst evenly spaced values at most, and rounds them to a microsecond.
func sparse(x []float64) []float64 {
	n := min(len(x), mostAgainst)
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Round(x[i*len(x)/n]*1000) / 1000
	}
	return out
}

// compare compares the report with the earlier run that the record holds; nil if it holds none.
func (r *run) compare(out *report.Report) (*report.Against, error) {
	if r.against == nil {
		return nil, nil
	}
	earlier, err := report.Parse(r.against.Report)
	if err != nil {
		return nil, fmt.Errorf("%w: the earlier run: %w", ErrEvidence, err)
	}
	return report.CompareWith(r.against.Name, earlier, out, r.shiftFrom(r.against.Phases)), nil
}

// shiftFrom returns a function that compares the latencies of a phase with those of the earlier run.
func (r *run) shiftFrom(earlier []evidence.AgainstPhase) report.Shift {
	if len(earlier) == 0 {
		return nil
	}
	before := map[string][]float64{}
	for _, p := range earlier {
		before[p.ID] = p.Latency
	}
	return func(phase string) (byMS, p float64, ok bool) {
		now := r.byID(phase)
		if now == nil || len(now.latencies) == 0 {
			return 0, 1, false
		}
		return shifted(before[phase], sparse(now.latencies))
	}
}

// overlay adds the distributions of the earlier run to the plots of the phases with the same name.
func (r *run) overlay(s *report.Series) {
	if r.against == nil {
		return
	}
	for i := range s.Phases {
		for _, p := range r.against.Phases {
			if p.ID == s.Phases[i].ID {
				s.Phases[i].EarlierLatencyECDF, s.Phases[i].EarlierTTFTECDF = ecdf(p.Latency), ecdf(p.TTFT)
			}
		}
	}
}
