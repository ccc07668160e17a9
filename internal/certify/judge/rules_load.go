package judge

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const (
	// fewestArrivals is the smallest number of arrivals that can show a sustained rate. With fewer, the exact interval
	// is wider than half of the rate.
	fewestArrivals = 30

	// backlogShare is the growth of the backlog, as a share of the offered rate, up to which a server keeps up. In a
	// healthy open loop at 50 requests/s with a latency of one second, the backlog fluctuates by 0.3 requests/s within
	// 20 s; 2 % is 1 request/s.
	backlogShare = 0.02
)

// throughput judges the sustained rate of completions in an open loop. A rate is proven if the exact interval of the
// completions lies above the target. It is also proven if the server kept up with a schedule that offers at least the
// target: it completed the requests that arrived, and its backlog did not grow. The arrivals are drawn before the run,
// so their randomness says nothing about the server. Without this second proof, a load of exactly the target could
// never pass.
func throughput(r *run, c *testcases.Check) outcome {
	p := r.sustainedPhase()
	if c.Phase != "" {
		p = r.byID(c.Phase)
	}
	switch {
	case p == nil && c.Phase == "":
		return invalid("the case has no open loop that ran")
	case p == nil:
		return invalid("%s", noPhase(c))
	case p.ran == nil:
		return invalid("phase %s did not run", p.plan.ID)
	case p.plan.Kind != testcases.KindOpen:
		return invalid("phase %s is not an open loop: its rate depends on its concurrency", p.plan.ID)
	}
	target, err := r.value(c, r.c.Targets.ThroughputRPS)
	if err != nil {
		return invalid("%v", err)
	}
	d, b, w := p.report, p.backlog, p.window()
	o := outcome{measured: ptr(d.RPS), interval: band(d.RPSLow, d.RPSHigh), op: ">=", target: ptr(target),
		unit: "requests/s"}
	if b.arrivals < fewestArrivals || w <= 0 {
		o.verdict, o.reason = report.Invalid, fmt.Sprintf("only %s in the steady window, %d are the least",
			plural(b.arrivals, "arrival", "arrivals"), fewestArrivals)
		return o
	}
	d.RPS, d.RPSLow, d.RPSHigh = significant(d.RPS), significant(d.RPSLow), significant(d.RPSHigh)
	n, _ := p.completions()
	offered, of := p.offered(r.c), ""
	if p.report.Conversations { // the plan's rate counts conversations, but each turn is an arrival
		offered, of = float64(b.arrivals)/w, " in conversations"
	}
	grows := p.fallsBehind(offered)
	lost := 0
	for _, q := range p.judged {
		if !q.OK() {
			lost++
		}
	}
	kept := !grows && float64(lost) <= math.Max(r.c.Limits.ErrorBudget, 0)*float64(b.arrivals)
	seen := fmt.Sprintf("%s completed in %s s, of %s that arrived%s (offered %s/s); backlog %s to %s, trend %s/s",
		count(n), num(w), count(b.arrivals), of, num(offered), num(b.start), num(b.end), signed(b.slope))
	switch {
	case grows && d.RPS >= target && offered > target*(1+backlogShare):
		o.verdict, o.reason = report.Invalid,
			seen+": it completes more than the target, but not all that was offered; offer a rate nearer to the target"
	case grows:
		o.verdict, o.reason = report.Fail, seen+": not sustained, the backlog grows"
	case d.RPSLow >= target:
		o.verdict, o.reason = report.Pass, seen
	case kept && offered >= target && d.RPSHigh >= target:
		o.verdict, o.reason = report.Pass, seen+": the server kept up with the whole schedule"
	case kept && d.RPSHigh >= target:
		o.verdict, o.reason = report.Invalid, seen+": it kept up, but less was offered than the target asks for"
	case d.RPS >= target:
		o.verdict, o.reason = report.Invalid, seen+": "+moreNeeded(n, d.RPS-d.RPSLow, d.RPS-target)
	case kept && float64(b.arrivals)/w < target:
		o.verdict, o.reason = report.Invalid, seen+": it kept up, but the schedule held less than the target asks for"
	default:
		o.verdict, o.reason = report.Fail, seen
	}
	return o
}

// fallsBehind says that the backlog of an open loop certainly grows, and by more than it fluctuates in a healthy one.
func (p *phase) fallsBehind(offered float64) bool {
	return p.backlog.lo > 0 && p.backlog.slope > backlogShare*offered
}

func signed(x float64) string {
	if math.Abs(x) < 0.005 {
		return "0"
	}
	if x > 0 {
		return "+" + num(x)
	}
	return num(x)
}

// batchThroughput is the specification's step 2 as written: all requests are sent at once, and the number of answers
// is divided by the time they took. It shows how fast a burst is served, not which rate can be sustained.
func batchThroughput(r *run, c *testcases.Check) outcome {
	var p *phase
	for _, x := range r.phases {
		if x.ran != nil && (c.Phase == x.plan.ID || c.Phase == "" && x.plan.Kind == testcases.KindBatch) {
			p = x
			break
		}
	}
	if p == nil || len(p.requests) == 0 {
		return invalid("no batch ran")
	}
	target, err := r.value(c, r.c.Targets.ThroughputRPS)
	if err != nil {
		return invalid("%v", err)
	}
	rate, lo, hi := p.batchRate(r.conf())
	rate = significant(rate)
	o := outcome{measured: ptr(rate), interval: band(lo, hi), op: ">=", target: ptr(target), unit: "requests/s",
		verdict: report.Pass,
		reason: fmt.Sprintf("%s of %s at once were answered", count(len(p.requests)-p.failed),
			plural(len(p.requests), "request", "requests"))}
	if !(rate >= target) {
		o.verdict = report.Fail
	}
	return o
}

// fewestShift is the smallest sample on either side of a comparison of two stretches. The smallest possible p of eight
// against eight is 0.00016, so 99 % confidence can be reached.
const fewestShift = 8

// degradationWithin compares the last third of the steady window with the first.
func degradationWithin(r *run, c *testcases.Check, p *phase) outcome {
	limit, err := r.value(c, r.c.Limits.DegradationShare)
	if err != nil {
		return invalid("%v", err)
	}
	w := (p.to - p.from) / 3
	first, last := p.stretch("the first third", p.from, p.from+w), p.stretch("the last third", p.from+2*w, p.to+1)
	return r.compared(r.shift(first, last, limit, stats.CorrelationTime(p.latencies)), first, last)
}

// stretch is a part of a phase that is compared with another.
type stretch struct {
	name        string
	from, until int64
	latencies   []float64
	answered    int
	chunks      float64 // per answer, on average
}

// stretch takes the judged requests that were scheduled at from or later and before until.
func (p *phase) stretch(name string, from, until int64) stretch {
	out := stretch{name: name, from: from, until: until}
	for k, q := range p.judged {
		if q.Scheduled >= from && q.Scheduled < until {
			out.latencies = append(out.latencies, p.latencies[k])
			if q.OK() {
				out.answered++
				out.chunks += float64(q.Chunks)
			}
		}
	}
	out.chunks /= float64(max(out.answered, 1))
	return out
}

// degradationAfter compares a phase with the earlier phase that its plan names in CompareTo.
func degradationAfter(r *run, c *testcases.Check) outcome {
	var after *phase
	for _, p := range r.phases {
		if p.plan.CompareTo != "" && (c.Phase == "" || c.Phase == p.plan.ID) {
			after = p
		}
	}
	if after == nil {
		return invalid("no phase compares to an earlier one")
	}
	before := r.byID(after.plan.CompareTo)
	if before == nil || before.ran == nil || after.ran == nil {
		return invalid("phase %s or %s did not run", after.plan.ID, after.plan.CompareTo)
	}
	limit, err := r.value(c, r.c.Limits.BaselineShare)
	if err != nil {
		return invalid("%v", err)
	}
	times := math.Max(stats.CorrelationTime(before.latencies), stats.CorrelationTime(after.latencies))
	earlier, later := before.stretch("phase "+before.plan.ID, before.from, before.to+1),
		after.stretch("phase "+after.plan.ID, after.from, after.to+1)
	return r.compared(r.shift(earlier, later, limit, times), earlier, later)
}

// shift compares the latencies of two stretches. FAIL needs a difference that chance does not explain (Mann-Whitney,
// with z lowered for autocorrelation) and that also matters (the Hodges-Lehmann shift is above the limit).
func (r *run) shift(before, after stretch, limit, times float64) outcome {
	o := outcome{op: "<=", target: ptr(limit), unit: "share"}
	if before.answered < fewestShift || after.answered < fewestShift {
		o.verdict = report.Invalid
		o.reason = fmt.Sprintf("%s has %s and %s %d: %d each are the least", before.name,
			plural(before.answered, "answered request", "answered requests"), after.name, after.answered, fewestShift)
		return o
	}
	a, b := before.latencies, after.latencies
	d := distribution(a, r.conf(), r.header.Rules)
	by := stats.HodgesLehmann(a, b)
	base := *d.P50 // eight samples are enough for a median
	if base <= 0 {
		base = d.Mean
	}
	z, p := stats.MannWhitney(a, b)
	p = dampen(z, p, len(a)+len(b), times)
	share := significant(by / base)
	o.measured = ptr(share)
	o.reason = fmt.Sprintf("%s against %s: %s ms at a median of %s ms (Hodges-Lehmann), Mann-Whitney p %s",
		after.name, before.name, signed(by), num(base), chance(p))
	if floor := r.c.Limits.DegradationMS; floor > limit*base { // show the target that decides
		o.target = ptr(floor / base)
		o.reason += fmt.Sprintf("; a shift of %s ms or less does not matter, so the limit is %s here and not %s",
			num(floor), percent(floor/base), percent(limit))
		limit = floor / base
	}
	o.verdict, o.beyond = report.Pass, by-limit*base
	switch {
	case share <= limit:
	case p < 1-r.conf():
		o.verdict = report.Fail
	default:
		o.reason += "; it is above the limit, but chance may explain it"
	}
	return o
}

// chance formats a p. The digits of a p below a millionth mean nothing.
func chance(p float64) string {
	if p < 1e-6 {
		return "< 0.000001"
	}
	return "= " + num(p)
}

// dampen raises the p of a z for dependent samples. times is their correlation time, in samples: the variance is times
// larger, and only n/times samples are independent. Student's t allows for so few.
func dampen(z, p float64, n int, times float64) float64 {
	if times <= 1 || z == 0 {
		return p
	}
	free := float64(n)/times - 2
	if free < 1 {
		return 1
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: free}
	return math.Max(p, 2*t.Survival(math.Abs(z)/math.Sqrt(times)))
}

// Shift reads two records, in the files a and b, and returns a function that compares their latencies in one phase,
// for report.DiffWith.
func Shift(ctx context.Context, a, b string) (report.Shift, error) {
	before, err := latencies(ctx, a)
	if err != nil {
		return nil, err
	}
	after, err := latencies(ctx, b)
	if err != nil {
		return nil, err
	}
	return func(phase string) (byMS, p float64, ok bool) {
		return shifted(before[phase], after[phase])
	}, nil
}

// shifted compares the latencies of one phase in two runs: their Hodges-Lehmann shift in milliseconds, and the p of
// Mann-Whitney, raised for autocorrelation. ok is false if there are too few of them.
func shifted(x, y []float64) (byMS, p float64, ok bool) {
	if len(x) < fewestShift || len(y) < fewestShift {
		return 0, 1, false
	}
	z, p := stats.MannWhitney(x, y)
	return stats.HodgesLehmann(x, y), dampen(z, p, len(x)+len(y),
		math.Max(stats.CorrelationTime(x), stats.CorrelationTime(y))), true
}

// latencies are the judged latencies of a record in milliseconds, by phase.
func latencies(ctx context.Context, path string) (map[string][]float64, error) {
	r, _, err := readRun(ctx, path, fileScanner(path), func() {})
	if err != nil {
		return nil, err
	}
	m := map[string][]float64{}
	for _, p := range r.phases {
		m[p.plan.ID] = p.latencies
	}
	return m, nil
}
