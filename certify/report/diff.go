package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/testcases"
)

// Values of Change.How.
const (
	Better = "better"
	Worse  = "worse"
	Same   = "same" // within noise
	Differ = "differs"
)

// Change is one figure of two reports: A before and B after.
type Change struct {
	What   string   `json:"what"`
	A      *float64 `json:"a"`
	B      *float64 `json:"b"`
	Unit   string   `json:"unit,omitempty"`
	How    string   `json:"how"`
	Reason string   `json:"reason,omitempty"`
	// B − A, with its interval if both figures have one
	By   *float64    `json:"change,omitempty"`
	Band *[2]float64 `json:"change_interval,omitempty"`
}

// Against is the comparison of a run with an earlier one, in the report of the later run. It does not change the
// verdict.
type Against struct {
	Name      string     `json:"name"`      // id of the earlier run, or the file of its report
	Status    Verdict    `json:"status"`    // status of the earlier report
	Timestamp float64    `json:"timestamp"` // start of the earlier run, in Unix seconds
	Target    TargetInfo `json:"target"`    // target of the earlier report
	Comparison
}

// CompareWith compares a report with an earlier one. name is the earlier run's, and shift is as in DiffWith.
func CompareWith(name string, earlier, now *Report, shift Shift) *Against {
	return &Against{Name: name, Status: earlier.Status, Timestamp: earlier.Timestamp, Target: earlier.Target,
		Comparison: DiffWith(earlier, now, shift)}
}

// between fills in the difference of the two figures and its interval. The interval is computed from those of the
// figures by the method of variance estimates recovery (Zou and Donner 2008), which allows asymmetric intervals.
func (c *Change) between(ia, ib *[2]float64) {
	if c.A == nil || c.B == nil {
		return
	}
	by := *c.B - *c.A
	c.By = &by
	if ia == nil || ib == nil {
		return
	}
	c.Band = &[2]float64{by - math.Hypot(*c.B-ib[0], ia[1]-*c.A), by + math.Hypot(ib[1]-*c.B, *c.A-ia[0])}
}

// Comparison is the result of comparing two reports.
type Comparison struct {
	Changes  []Change `json:"changes"`
	Warnings []string `json:"warnings,omitempty"` // why the two may not be comparable
}

// Worse says whether anything got worse by more than noise.
func (c Comparison) Worse() bool {
	return slices.ContainsFunc(c.Changes, func(x Change) bool { return x.How == Worse })
}

// Shift compares the latencies of one phase in two runs. It returns the Hodges-Lehmann shift in ms and the p of the
// Mann-Whitney test. ok is false if either record has too few requests of the phase.
type Shift func(phase string) (byMS, p float64, ok bool)

// Diff compares two reports. A figure with intervals has changed if they do not overlap. A figure without an interval
// has changed if the difference is larger than usual between two runs of one server. A verdict that changes from PASS
// to FAIL is worse, whatever its figure.
func Diff(a, b *Report) Comparison { return DiffWith(a, b, nil) }

// Noise between two runs of one server, for figures without an interval. It is a few percent for a peak of memory or a
// score, and far more for the slowest of a hundred requests and the busiest second. Times that are small in comparison
// with their limit vary even more. A share, such as a degradation, varies around zero, so its noise is a part of its
// limit.
const (
	noiseShare = 0.05
	peakShare  = 0.25
)

// noise is the difference up to which two figures without an interval count as the same.
func noise(x, y Check) float64 {
	larger, target := math.Max(math.Abs(*x.Measured), math.Abs(*y.Measured)), 0.0
	for _, c := range []Check{x, y} {
		if c.Target != nil {
			target = math.Max(target, math.Abs(*c.Target))
		}
	}
	switch x.Unit {
	case "share":
		return math.Max(noiseShare*larger, target)
	case "ms":
		return math.Max(peakShare*larger, noiseShare*target)
	case "cores":
		return peakShare * larger
	}
	return noiseShare * larger
}

// DiffWith is Diff, but compares latencies by shift, which reads the two records. A nil shift is allowed.
func DiffWith(a, b *Report, shift Shift) Comparison {
	var c Comparison
	c.Warnings = comparable(a, b)
	took := takenOf(a, b)
	c.Warnings = append(c.Warnings, took.warnings()...)
	checksA := map[string]Check{}
	for _, x := range a.Checks {
		checksA[x.ID] = x
	}
	seen := map[string]bool{}
	for _, y := range b.Checks {
		seen[y.ID] = true
		if x, ok := checksA[y.ID]; ok {
			change := compareCheck(x, y)
			if y.Verdict != Fail {
				change = took.hindered(change, y.Phase)
			}
			c.Changes = append(c.Changes, change)
		} else {
			c.Changes = append(c.Changes, Change{What: y.ID, B: y.Measured, Unit: y.Unit, How: Differ,
				Reason: "only in the second report, " + string(y.Verdict)})
		}
	}
	for _, x := range a.Checks {
		if !seen[x.ID] {
			c.Changes = append(c.Changes, Change{What: x.ID, A: x.Measured, Unit: x.Unit, How: Differ,
				Reason: "only in the first report, " + string(x.Verdict)})
		}
	}
	c.Changes = append(c.Changes, sweepChanges(a, b)...)
	c.Changes = append(c.Changes, phaseChanges(a, b, shift, took)...)
	c.Changes = append(c.Changes, promptChanges(a, b)...)
	return c
}

// taken says, by phase, how much of the machine other programs took in the earlier and in the later run.
type taken map[string][2]string

func takenOf(a, b *Report) taken {
	t := taken{}
	for i, r := range []*Report{a, b} {
		for _, p := range r.Phases {
			both := t[p.ID]
			both[i] = p.Taken
			t[p.ID] = both
		}
	}
	return t
}

// hindered replaces "worse" and "better" by "differs" if other programs on the machine can explain the change: they
// ran in the later run of a server that got slower, or in the earlier run of one that got faster.
func (t taken) hindered(c Change, phase string) Change {
	both := t[phase]
	why := both[1]
	if c.How == Better {
		why = both[0]
	}
	if why != "" && (c.How == Worse || c.How == Better) {
		c.How = Differ
		if c.Reason != "" {
			c.Reason += "; "
		}
		c.Reason += "other work had the machine during " + phase
	}
	return c
}

// Beginnings of warnings about one of two reports.
const (
	inFirst  = "in the first report, "
	inSecond = "in the second report, "
)

// warnings say for each phase and run how much of the machine other programs took.
func (t taken) warnings() []string {
	var out []string
	for _, phase := range slices.Sorted(maps.Keys(t)) {
		for i, run := range []string{inFirst, inSecond} {
			if why := t[phase][i]; why != "" {
				out = append(out, run+why)
			}
		}
	}
	return out
}

// comparable lists the differences that make two reports hard to compare.
func comparable(a, b *Report) []string {
	var out []string
	for _, x := range []struct{ what, a, b string }{{"test case", a.TestCase, b.TestCase},
		{"profile", a.Profile, b.Profile},
		{"case_sha256", a.Fingerprints["case_sha256"], b.Fingerprints["case_sha256"]},
		{"cpu", a.Environment["cpu"], b.Environment["cpu"]}} {
		if x.a != x.b {
			out = append(out, fmt.Sprintf("the two differ in %s: %q and %q", x.what, x.a, x.b))
		}
	}
	return out
}

// compareCheck compares the two results of one check. The operator decides whether larger is better.
func compareCheck(x, y Check) Change {
	c := Change{What: y.ID, A: x.Measured, B: y.Measured, Unit: y.Unit, How: Same}
	c.between(x.Interval, y.Interval)
	if x.Verdict != y.Verdict {
		c.Reason = string(x.Verdict + " became " + y.Verdict)
		switch {
		case y.Verdict == Fail && y.Gate:
			c.How = Worse
			return c
		case x.Verdict == Fail && x.Gate && y.Verdict == Pass:
			c.How = Better
			return c
		}
		c.How = Differ
	}
	if x.Measured == nil || y.Measured == nil || y.Op == "=" || y.Op == "" || x.Verdict == Invalid ||
		y.Verdict == Invalid {
		return c // such figures mean nothing, or cannot be compared
	}
	if how := changed(*x.Measured, x.Interval, *y.Measured, y.Interval, noise(x, y), y.Op == ">="); how != Same {
		c.How = how
		if c.Reason == "" {
			c.Reason = percentChange(*x.Measured, *y.Measured)
		}
	}
	return c
}

// changed says whether b is better than a, worse or the same. If one of them has no interval, they are the same within
// noise.
func changed(a float64, ia *[2]float64, b float64, ib *[2]float64, noise float64, largerIsBetter bool) string {
	bare := ia == nil || ib == nil
	if bare && math.Abs(b-a) <= noise {
		return Same
	}
	if !bare && ia[0] <= ib[1] && ib[0] <= ia[1] {
		return Same
	}
	if (b > a) == largerIsBetter {
		return Better
	}
	return Worse
}

func percentChange(a, b float64) string {
	if a == 0 {
		return ""
	}
	d := (b - a) / math.Abs(a) * 100
	if d > 0 {
		return "+" + Number(d) + " %"
	}
	return Number(d) + " %"
}

// phaseChanges compares the latencies and rates of each loop: by rank tests if both records are available, and
// otherwise by the intervals of the means.
func phaseChanges(a, b *Report, shift Shift, took taken) []Change {
	before := map[string]Phase{}
	for _, p := range a.Phases {
		before[p.ID] = p
	}
	var out []Change
	for _, p := range b.Phases {
		q, ok := before[p.ID]
		if !ok || p.Latency == nil || q.Latency == nil || !p.Kind.Loop() || p.Step != "" {
			continue
		}
		add := func(c Change) { out = append(out, took.hindered(c, p.ID)) }
		add(latencyChange(q, p, shift))
		if p.TTFT != nil && q.TTFT != nil {
			add(meanChange(p.ID+" ttft", q.TTFT, p.TTFT))
		}
		if p.TPOT != nil && q.TPOT != nil {
			add(meanChange(p.ID+" tpot", q.TPOT, p.TPOT))
		}
		rate := Change{What: p.ID + " rate", A: &q.RPS, B: &p.RPS, Unit: "requests/s"}
		rate.between(&[2]float64{q.RPSLow, q.RPSHigh}, &[2]float64{p.RPSLow, p.RPSHigh})
		rate.How = changed(q.RPS, &[2]float64{q.RPSLow, q.RPSHigh}, p.RPS, &[2]float64{p.RPSLow, p.RPSHigh}, 0, true)
		if rate.How != Same {
			rate.Reason = percentChange(q.RPS, p.RPS)
		}
		if p.Kind == testcases.KindOpen && p.OfferedRPS != q.OfferedRPS && rate.How != Same {
			rate.How, rate.Reason = Differ, "another rate was offered"
		}
		add(rate)
	}
	return out
}

// meanChange compares the means of two samples by their intervals.
func meanChange(what string, before, after *Dist) Change {
	c := Change{What: what, A: &before.Mean, B: &after.Mean, Unit: "ms"}
	ia, ib := &[2]float64{before.MeanLow, before.MeanHigh}, &[2]float64{after.MeanLow, after.MeanHigh}
	c.between(ia, ib)
	if c.How = changed(*c.A, ia, *c.B, ib, 0, false); c.How != Same {
		c.Reason = percentChange(*c.A, *c.B)
	}
	return c
}

// sweepChanges compares the knees of sweeps by their proven ends.
func sweepChanges(a, b *Report) []Change {
	var out []Change
	for _, y := range b.Sweeps {
		for _, x := range a.Sweeps {
			if x.Phase != y.Phase || x.Over != y.Over {
				continue
			}
			c := Change{What: y.Phase + " knee", A: x.Knee, B: y.Knee, Unit: y.Unit, How: Same}
			c.between(ends(x), ends(y))
			switch {
			case strings.Join(x.Objectives, ",") != strings.Join(y.Objectives, ","):
				c.How, c.Reason = Differ, "the objectives differ"
			case x.High != nil && y.Low != nil && *y.Low >= *x.High:
				c.How = Better
			case x.Low != nil && y.High != nil && *y.High <= *x.Low:
				c.How = Worse
			}
			if c.Reason == "" && c.How != Same && x.Knee != nil && y.Knee != nil {
				c.Reason = percentChange(*x.Knee, *y.Knee)
			}
			out = append(out, c)
		}
	}
	return out
}

func ends(s Sweep) *[2]float64 {
	if s.Low == nil || s.High == nil {
		return nil
	}
	return &[2]float64{*s.Low, *s.High}
}

// latencyChange reports a change only if it cannot be chance (p below 1 %) and if it is large enough to matter.
func latencyChange(q, p Phase, shift Shift) Change {
	c := Change{What: p.ID + " latency", A: &q.Latency.Mean, B: &p.Latency.Mean, Unit: "ms"}
	ia, ib := &[2]float64{q.Latency.MeanLow, q.Latency.MeanHigh}, &[2]float64{p.Latency.MeanLow, p.Latency.MeanHigh}
	c.between(ia, ib)
	if shift != nil {
		if by, prob, ok := shift(p.ID); ok {
			c.How = Same
			c.Reason = fmt.Sprintf("shifted by %s ms, p = %s", Number(by), Number(prob))
			if prob < 1e-6 {
				c.Reason = fmt.Sprintf("shifted by %s ms, p < 0.000001", Number(by))
			}
			if prob < 0.01 && math.Abs(by) > noiseShare*q.Latency.Mean {
				c.How = Worse
				if by < 0 {
					c.How = Better
				}
			}
			return c
		}
	}
	if c.How = changed(*c.A, ia, *c.B, ib, 0, false); c.How != Same {
		c.Reason = percentChange(*c.A, *c.B)
	}
	return c
}

// promptNoise is how much the score of one answer may change by chance, because sampling changes words.
const promptNoise = 0.1

func promptChanges(a, b *Report) []Change {
	var out []Change
	for _, k := range slices.Sorted(maps.Keys(b.Quality.PerPrompt)) {
		y := b.Quality.PerPrompt[k]
		x, ok := a.Quality.PerPrompt[k]
		if !ok || math.Abs(y-x) <= promptNoise {
			continue
		}
		c := Change{What: "quality of " + k, A: &x, B: &y, Unit: "score", How: Differ,
			Reason: "one prompt; the mean decides"}
		out = append(out, c)
	}
	return out
}
