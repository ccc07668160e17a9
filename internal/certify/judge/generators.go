package judge

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/offset"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// A load from several generators counts as one load only if each of them was in time, none was lost before the end,
// and their clocks were known well enough.

const (
	// lonelyShare is the share of a generator's requests that must fail to reach the server before its network path is
	// suspected. The share of the other generators must then be lonelyOthers of it at most.
	lonelyShare  = 0.5
	lonelyOthers = 0.1
)

// sortParts gives the records about generators an order that does not depend on the order of events in the file.
func (r *run) sortParts() {
	slices.SortFunc(r.parts, func(a, b *evidence.Part) int {
		return cmp.Or(cmp.Compare(a.Phase, b.Phase), cmp.Compare(a.Generator, b.Generator), compareContent(a, b))
	})
	slices.SortFunc(r.comparisons, func(a, b *evidence.Comparison) int {
		return cmp.Or(cmp.Compare(a.Generator, b.Generator), cmp.Compare(a.There, b.There), compareContent(a, b))
	})
}

// track builds the tracks of the generators' clocks from the comparisons.
func (r *run) track() {
	r.tracks = make([]*offset.Track, len(r.header.Generators))
	for i := range r.tracks {
		r.tracks[i] = &offset.Track{}
	}
	for _, c := range r.comparisons {
		// Add refuses a repeated comparison, which changes nothing
		if c.Generator >= 1 && c.Generator <= len(r.tracks) {
			_ = r.tracks[c.Generator-1].Add(offset.Reading{There: c.There, Offset: c.Offset, Error: c.Error})
		}
	}
}

func (r *run) nameOf(generator int) string {
	return fmt.Sprintf("generator %d (%s)", generator, r.header.Generators[generator-1].Name)
}

// partsOf is what the generators reported of a phase. The index is the generator's number − 1; nil means that it
// reported nothing.
func (r *run) partsOf(phase string) []*evidence.Part {
	out := make([]*evidence.Part, len(r.header.Generators))
	for _, p := range r.parts {
		if p.Phase != phase || p.Generator < 1 || p.Generator > len(out) {
			continue
		}
		sum := out[p.Generator-1]
		if sum == nil {
			sum = &evidence.Part{Phase: phase, Generator: p.Generator}
			out[p.Generator-1] = sum
		}
		sum.Issued, sum.Unsent = sum.Issued+p.Issued, sum.Unsent+p.Unsent // a warm-up has several rounds
		sum.Lost = orElse(sum.Lost, p.Lost)
	}
	return out
}

// divided says whether generators, and not the certifier, made the load of a phase.
func (r *run) divided(p *phase) bool {
	switch p.plan.Kind {
	case testcases.KindIdle, testcases.KindAudit, testcases.KindSweep:
		return false
	}
	return len(r.header.Generators) > 0 && p.ran != nil
}

// missing says which part of a phase's load is not in the record; "" if it has all.
func (r *run) missing(p *phase) string {
	if !r.divided(p) {
		return ""
	}
	have := make([]int, len(r.header.Generators)+1)
	for _, list := range [][]*request{p.requests, p.broken} {
		for _, q := range list {
			if q.Generator >= 0 && q.Generator < len(have) {
				have[q.Generator]++
			}
		}
	}
	for i, part := range r.partsOf(p.plan.ID) {
		switch name := r.nameOf(i + 1); {
		case part == nil:
			return fmt.Sprintf("of phase %s nothing is known from %s", p.plan.ID, name)
		case part.Lost != "":
			return fmt.Sprintf("%s was lost in phase %s: %s", name, p.plan.ID, part.Lost)
		case have[i+1] < part.Issued && part.Unsent > 0:
			return fmt.Sprintf("of phase %s only the own record of %s has %s, since its connection was too slow: "+
				"report "+
				"merge adds them", p.plan.ID, name, plural(part.Issued-have[i+1], "request", "requests"))
		case have[i+1] < part.Issued:
			return fmt.Sprintf("%s sent %s in phase %s, the record holds %s", name,
				plural(part.Issued, "request", "requests"), p.plan.ID, count(have[i+1]))
		}
	}
	return ""
}

// issueDelayOf is issueDelay for the requests of one generator, in milliseconds.
func (p *phase) issueDelayOf(generator int) float64 {
	if p.plan.Kind != testcases.KindOpen || generator > len(p.delayOf) || len(p.delayOf[generator-1]) == 0 {
		return 0
	}
	return stats.Percentile(p.delayOf[generator-1], 0.99)
}

// clockError bounds the error, in milliseconds, with which the clock of a generator is known in a phase.
func (r *run) clockError(generator int, p *phase) float64 {
	t := r.tracks[generator-1]
	off := t.Last().Offset // close enough to find the right part of the track
	return ms(t.Worst(p.ran.Start-off, p.ran.End-off))
}

// partProblems adds the reasons why the load of generators cannot be trusted to m, by phase; see generatorProblems.
func (r *run) partProblems(m map[string]string) {
	limit := r.c.Limits.IssueDelayMS
	var whole []string
	for i := range r.header.Generators {
		name := r.nameOf(i + 1)
		if e := r.client(i + 1); e != nil {
			if why := clientOff(e, limit); why != "" {
				whole = append(whole, "against a null server "+name+" "+why)
			}
		} else {
			whole = append(whole, "the own error of "+name+" was not measured")
		}
		if d := r.worstDrift(i + 1); d > int64(worstStep) {
			whole = append(whole, fmt.Sprintf("the clock of %s stepped by %s ms", name, num(ms(d))))
		}
		if times, by := r.tracks[i].Broken(); times > 0 {
			whole = append(whole, fmt.Sprintf("%s of the clock of %s contradict those before them, by %s ms at "+
				"most: it "+
				"was set, or is slewed by more than %d parts of a million", plural(times, "reading", "readings"), name,
				num(ms(by)), offset.MaxRate))
		}
	}
	for _, p := range r.phases {
		if !r.divided(p) {
			continue
		}
		why := r.missing(p)
		if why == "" {
			why = r.outOfTime(p)
		}
		if n, lonely := r.oneSided(p.requests); why == "" && n > 0 {
			why = "in phase " + p.plan.ID + " " + lonely
		}
		switch {
		case why == "":
		case p.step != nil: // the search for the knee depends on all steps
			whole = append(whole, why)
		default:
			m[p.plan.ID] = why
		}
	}
	if len(whole) > 0 && m[""] == "" {
		m[""] = strings.Join(whole, "; ")
	}
}

// outOfTime says that the clock of a generator was not known well enough for its arrivals; "" if it was. An error of
// the clock shifts requests against the common schedule just as sending them late does, so the limit holds for the sum
// of both.
func (r *run) outOfTime(p *phase) string {
	limit := r.c.Limits.IssueDelayMS
	if p.plan.Kind != testcases.KindOpen || limit <= 0 {
		return ""
	}
	for i := range r.header.Generators {
		late, off := p.issueDelayOf(i+1), r.clockError(i+1, p)
		switch name := r.nameOf(i + 1); {
		case r.tracks[i].Len() == 0:
			return fmt.Sprintf("the clock of %s was not compared", name)
		case late <= limit && late+off > limit:
			return fmt.Sprintf("in phase %s the clock of %s is known to within %s ms only, and its requests were "+
				"%s ms "+
				"late at p99: together more than the limit of %s ms", p.plan.ID, name, num(off), num(late), num(limit))
		}
	}
	return ""
}

// oneSided counts the failed requests of generators that could not reach the server while the others could. That is
// not the server's fault.
func (r *run) oneSided(requests []*request) (n int, why string) {
	count := len(r.header.Generators)
	if count < 2 {
		return 0, ""
	}
	all, failed := make([]float64, count+1), make([]float64, count+1)
	var sum, bad float64
	for _, q := range requests {
		if q.Generator < 1 || q.Generator > count {
			continue
		}
		all[q.Generator]++
		sum++
		if q.Fail == evidence.FailConnect || q.Fail == evidence.FailTimeout {
			failed[q.Generator]++
			bad++
		}
	}
	for g := 1; g <= count; g++ {
		share := failed[g] / math.Max(all[g], 1)
		others := (bad - failed[g]) / math.Max(sum-all[g], 1)
		if sum > all[g] && share >= lonelyShare && others <= lonelyOthers*share {
			n += int(failed[g])
			why = fmt.Sprintf("%s failed to reach the server with %s of its requests, the others with %s: its way "+
				"to the "+
				"server is broken, not the server", r.nameOf(g), percent(share), percent(others))
		}
	}
	return n, why
}

// generatorReports describe the generators for the report.
func (r *run) generatorReports() []report.Generator {
	var out []report.Generator
	for i, g := range r.header.Generators {
		x := report.Generator{Number: i + 1, Name: g.Name, MachineUse: useOf(r.usesOn(i+1), r.serverAt(i+1))}
		for _, p := range r.phases {
			if !r.divided(p) {
				continue
			}
			for _, q := range p.requests {
				if q.Generator == i+1 {
					x.Requests++
					if !q.OK() {
						x.Failed++
					}
				}
			}
			x.IssueP99 = math.Max(x.IssueP99, p.issueDelayOf(i+1))
			x.ClockError = math.Max(x.ClockError, r.clockError(i+1, p))
			if part := r.partsOf(p.plan.ID)[i]; part != nil && part.Lost != "" && x.Lost == "" {
				x.Lost = "in phase " + p.plan.ID + ": " + part.Lost
			}
		}
		if ppm, bound, ok := r.tracks[i].Drift(); ok {
			x.Drift, x.DriftError = ptr(ppm), ptr(bound)
		}
		out = append(out, x)
	}
	return out
}

// generatorNotices say where the load came from.
func (r *run) generatorNotices() []string {
	n := len(r.header.Generators)
	if n == 0 {
		return nil
	}
	worst := 0.0
	for _, g := range r.generatorReports() {
		worst = math.Max(worst, g.ClockError)
	}
	text := fmt.Sprintf("The load came from %s. Times are those of the certifier's clock, from which those of the "+
		"generators are known to within %s ms.", plural(n, "generator", "generators"), num(worst))
	return []string{text}
}
