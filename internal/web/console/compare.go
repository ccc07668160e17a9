package console

import (
	"context"
	"net/http"
	"slices"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// comparePage compares two runs.
type comparePage struct {
	Choice        []Row // runs to choose from, the newest
	IDs           [2]string
	A, B          *Row
	Warnings      []string
	Changed       []report.Change
	Worse, Better int
	Differ, Same  int
	Charts        []report.Chart
	Apart         bool // they have no phase in common
	Sweeps        [2][]sweepOf
	Problems      []string
}

type sweepOf struct {
	report.Sweep
	Charts []report.Chart
}

// compare takes the earlier run as a= and the later one as b=, or both as run= in any order.
func (k *Console) compare(w http.ResponseWriter, r *http.Request) {
	p := comparePage{IDs: [2]string{r.FormValue("a"), r.FormValue("b")}}
	both := r.Form["run"]
	if len(both) > 0 {
		p.IDs[1] = both[0]
	}
	if len(both) > 1 { // in any order: the later run is compared with the earlier one
		p.IDs[0] = both[1]
	}
	status := http.StatusOK
	if len(both) > 2 {
		p.Problems = append(p.Problems, "More than two runs were chosen; the first two are compared.")
	}
	var wrong []string
	p.Choice, wrong = k.source.list(r.Context(), filter{}, perPage)
	p.Problems = append(p.Problems, wrong...)
	if p.IDs[0] != "" && p.IDs[1] != "" {
		a, err := k.source.load(r.Context(), p.IDs[0])
		var b *loaded
		if err == nil {
			b, err = k.source.load(r.Context(), p.IDs[1])
		}
		if err != nil {
			k.fail(w, r, err)
			return
		}
		if len(both) > 1 && a.Start.After(b.Start) {
			a, b = b, a
		}
		k.fillComparison(r.Context(), &p, a, b)
	} else if p.IDs != [2]string{} {
		p.Problems = append(p.Problems, "Choose two runs.")
	}
	k.show(w, r, status, "compare", "Compare", "/compare", p)
}

func (k *Console) fillComparison(ctx context.Context, p *comparePage, a, b *loaded) {
	p.A, p.B, p.IDs = &a.Row, &b.Row, [2]string{a.ID, b.ID}
	c := k.difference(ctx, a, b)
	p.Warnings = c.Warnings
	p.Changed, p.Same = report.ChangesOf(c)
	for _, x := range p.Changed {
		switch x.How {
		case report.Worse:
			p.Worse++
		case report.Better:
			p.Better++
		default:
			p.Differ++
		}
	}
	before, after := k.phases(ctx, p, a), k.phases(ctx, p, b)
	p.Apart = true
	for i, ph := range b.report.Phases {
		if !slices.ContainsFunc(a.report.Phases, func(q report.Phase) bool { return q.ID == ph.ID }) {
			continue
		}
		p.Apart = false
		if ph.Step != "" || ph.Latency == nil || !ph.Kind.Loop() && ph.Kind != testcases.KindBatch {
			continue
		}
		now, was := after[ph.ID], before[ph.ID]
		now.ID, now.Kind = ph.ID, ph.Kind
		if chart := report.TwoECDFs(a.report, b.report, was, now, i); chart.SVG != "" {
			chart.Caption = ph.ID + ": " + chart.Caption
			p.Charts = append(p.Charts, chart)
		}
	}
	for i, l := range []*loaded{a, b} {
		for n, s := range l.report.Sweeps {
			p.Sweeps[i] = append(p.Sweeps[i], sweepOf{s, report.SweepCharts(s, 10*i+n)})
		}
	}
}

// difference compares two runs. Comparing their single latencies takes a fraction of a second, so the newest
// comparisons are kept.
func (k *Console) difference(ctx context.Context, a, b *loaded) report.Comparison {
	_, first := a.record()
	_, second := b.record()
	key := pair{a.ID, b.ID, first && second}
	k.compared.Lock()
	for _, d := range k.compared.list {
		if d.key == key {
			k.compared.Unlock()
			return d.of
		}
	}
	k.compared.Unlock()
	of := report.DiffWith(a.report, b.report, k.shift(ctx, a, b))
	if ctx.Err() != nil { // it may be incomplete, since nobody waits for it any more
		return of
	}
	k.compared.Lock()
	defer k.compared.Unlock()
	list := append([]compared{{key, of}}, k.compared.list...)
	k.compared.list = list[:min(len(list), mostDrawn)]
	return of
}

// pair identifies a comparison: two runs, with or without their records.
type pair struct {
	before, after string
	records       bool
}

type compared struct {
	key pair
	of  report.Comparison
}

// phases returns the plots of a run's phases by their ids.
func (k *Console) phases(ctx context.Context, p *comparePage, l *loaded) map[string]report.PhaseSeries {
	s, err := k.source.series(ctx, l)
	if err != nil {
		p.Problems = append(p.Problems, "run "+l.ID+": "+err.Error())
	}
	out := map[string]report.PhaseSeries{}
	for _, ph := range s.Phases {
		out[ph.ID] = ph
	}
	return out
}

// shift compares single latencies if both records are available; otherwise the intervals of the reports are used.
func (k *Console) shift(ctx context.Context, a, b *loaded) report.Shift {
	before, first := a.record()
	after, second := b.record()
	if !first || !second {
		return nil
	}
	select {
	case k.source.slow <- struct{}{}:
		defer func() { <-k.source.slow }()
	case <-ctx.Done():
		return nil
	}
	shift, err := judge.Shift(ctx, before, after)
	if err != nil {
		return nil
	}
	return shift
}
