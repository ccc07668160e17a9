package judge

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const noStream = "the case does not stream: tokens have no times of their own"

// ttftMean compares the mean time to the first token with the target. A failed request counts with its time or the
// target, whichever is longer.
func ttftMean(r *run, c *testcases.Check, p *phase) outcome {
	target := r.c.Limit(*c)
	if !r.c.Request.Stream {
		return invalid(noStream)
	}
	var x []float64
	for _, q := range p.judged {
		v, ok := p.firstToken(q)
		if !ok {
			v = p.latency(q, target)
		}
		x = append(x, v)
	}
	return r.below(target, x, len(x), "mean time to the first token of %s")
}

// tpotMean judges answers of two or more tokens. A failed request counts with the target.
func tpotMean(r *run, c *testcases.Check, p *phase) outcome {
	target := r.c.Limit(*c)
	var x []float64
	for _, q := range p.judged {
		if v, ok := perToken(q); ok {
			x = append(x, v)
		} else if !q.OK() {
			x = append(x, target)
		}
	}
	return r.below(target, x, len(x), "mean time per output token of %s")
}

// gapSums sums up the gaps of one answer: their number, their sum in milliseconds, and how many are above a limit.
type gapSums struct {
	n, sum, over float64
}

// fewestChunks is the smallest share of tokens with a chunk of their own at which gaps between chunks count as times
// between tokens. The last token of an answer, which ends it, has no chunk.
const fewestChunks = 0.95

// mostBlurred is the largest share of chunks that the client may have read too late to know their times. Above it,
// gaps are not judged.
const mostBlurred = 0.01

// gaps collects the gaps of the judged answers. why says why they are not times between tokens; "" if they are.
func (p *phase) gaps(limit float64) (all []gapSums, why string) {
	chunks, tokens := 0, 0
	for _, q := range p.judged {
		if !q.OK() {
			continue
		}
		if q.HasUsage {
			chunks, tokens = chunks+int(q.Chunks), tokens+max(q.Shown()-1, 1)
		}
		g := gapSums{n: float64(q.gapCount)}
		for us := range q.Gaps() {
			v := float64(us) / 1000
			g.sum += v
			if v > limit {
				g.over++
			}
		}
		if g.n > 0 {
			all = append(all, g)
		}
	}
	if p.report.BlurredGaps > 0 && float64(p.report.BlurredGaps) > mostBlurred*float64(chunks) {
		return nil, fmt.Sprintf("this client was too late to tell %s of %s apart", count(p.report.BlurredGaps),
			plural(chunks, "chunk", "chunks"))
	}
	if float64(chunks) < fewestChunks*float64(tokens) {
		return nil, fmt.Sprintf("%s hold %s: gaps between chunks are not times between tokens; judge the time per "+
			"output token", plural(chunks, "chunk", "chunks"), plural(tokens, "token", "tokens"))
	}
	if len(all) == 0 {
		return nil, "no answer has two tokens with times of their own"
	}
	return all, ""
}

// itlMean judges the mean of all gaps. The gaps of one answer depend on each other, so the interval is that of a ratio
// of sums over answers, linearized.
func itlMean(r *run, c *testcases.Check, p *phase) outcome {
	target := r.c.Limit(*c)
	if !r.c.Request.Stream {
		return invalid(noStream)
	}
	all, why := p.gaps(target)
	if why != "" {
		return invalid("%s", why)
	}
	var n, sum float64
	for _, g := range all {
		n, sum = n+g.n, sum+g.sum
	}
	mean, each := sum/n, n/float64(len(all))
	x := make([]float64, len(all))
	for i, g := range all {
		x[i] = mean + (g.sum-mean*g.n)/each
	}
	return r.below(target, x, len(x), "mean time between two tokens of %s")
}

// fewestOver is the number of answers with a slow gap that are needed to estimate how much the gaps of an answer
// depend on each other. With fewer, an answer counts as one observation, the least that its gaps can be worth.
const fewestOver = 5

// itlPercentile judges a percentile of all gaps by the criterion of early stopping. The gaps of one answer depend on
// each other, so the number of observations is the number of gaps divided by the design effect of clustering by answer
// (Rao and Scott 1992).
func itlPercentile(r *run, c *testcases.Check, p *phase) outcome {
	limit := r.c.Limit(*c)
	if !r.c.Request.Stream {
		return invalid(noStream)
	}
	all, why := p.gaps(limit)
	if why != "" {
		return invalid("%s", why)
	}
	var n, over, answers float64
	for _, g := range all {
		n, over = n+g.n, over+g.over
		if g.over > 0 {
			answers++
		}
	}
	worth := effectiveGaps(all, n, over, answers)
	bad := min(int(math.Ceil(over/n*worth)), int(worth))
	o := outcome{op: "<=", target: ptr(limit), unit: "ms"}
	name := slo.Objective{Percentile: c.P}.Statistic()
	seen := fmt.Sprintf("%s of the time between two tokens: %s of %s above %s ms, in %s; worth %s independent ones",
		name, count(int(over)), count(int(n)), num(limit), plural(int(answers), "answer", "answers"),
		count(int(worth)))
	if int(worth) >= stats.MinSamples(c.P, 0.99, 0) {
		o.measured = ptr(countGaps(p.gapsOf((*request).OK)).percentile(c.P))
	}
	return r.proven(o, c.P, int(worth), bad, seen)
}

// effectiveGaps is the number of independent gaps that would carry the same information. over is the number of gaps
// above the limit, and answers the number of answers that have such a gap.
func effectiveGaps(all []gapSums, n, over, answers float64) float64 {
	k := float64(len(all))
	if answers < fewestOver || over == n {
		return k
	}
	share, squares := over/n, 0.0
	for _, g := range all {
		d := g.over - share*g.n
		squares += d * d
	}
	taken := k / math.Max(k-1, 1) * squares / (n * n)
	effect := taken / (share * (1 - share) / n)
	return math.Max(n/math.Max(effect, 1), 1)
}

// goodputRule judges the share of scheduled requests that meet every objective by themselves. Neighbouring requests
// depend on each other, so their effective number is used.
func goodputRule(r *run, c *testcases.Check, p *phase) outcome {
	target, n := r.c.Limit(*c), len(p.judged)
	if n == 0 {
		return invalid("no request was judged")
	}
	limits, good := p.limits(r.c), 0
	x := make([]float64, n)
	for i, q := range p.judged {
		if p.good(q, limits) {
			good++
			x[i] = 1
		}
	}
	worth := float64(n)
	if good > 0 && good < n {
		worth = math.Min(math.Max(stats.EffectiveN(x), 1), worth)
	}
	bad := int(math.Ceil(float64(n-good) / float64(n) * worth))
	lo, hi := stats.Wilson(int(worth)-min(bad, int(worth)), int(worth), r.conf())
	o := outcome{measured: ptr(significant(float64(good) / float64(n))), interval: band(lo, hi), op: ">=",
		target: ptr(target), unit: "share"}
	return r.proven(o, target, int(worth), min(bad, int(worth)),
		fmt.Sprintf("%s of %s met %s; worth %s independent ones",
			count(good), plural(n, "request", "requests"), limits, count(int(worth))))
}

// proven decides whether at least the share p of observations is good, as for a percentile. bad of the n observations
// are not good.
func (r *run) proven(o outcome, p float64, n, bad int, seen string) outcome {
	pass, more := stats.EarlyStopping(p, r.conf(), n, bad)
	switch lo, _ := stats.Wilson(bad, n, r.conf()); {
	case pass:
		o.verdict, o.reason = report.Pass, seen
	case lo > 1-p:
		o.verdict, o.reason = report.Fail, fmt.Sprintf("%s; more miss than the %s allowed", seen, percent(1-p))
	default:
		o.verdict = report.Invalid
		o.reason = fmt.Sprintf("%s; not enough evidence: need about %s more", seen, count(more))
	}
	return o
}

// limits are the objectives of a phase that apply to a single request, in milliseconds. +Inf means that there is none.
type limits struct{ ttft, tpot, itl, latency float64 }

func (l limits) String() string {
	s := ""
	for _, x := range []struct {
		name string
		v    float64
	}{{"TTFT", l.ttft}, {"TPOT", l.tpot}, {"ITL", l.itl}, {"latency", l.latency}} {
		if !math.IsInf(x.v, 1) {
			if s != "" {
				s += ", "
			}
			s += x.name + " " + num(x.v) + " ms"
		}
	}
	if s == "" {
		return "no objective but an answer"
	}
	return s
}

// limits collects the limits of the phase's checks, whatever their statistic, and the case's latency target.
func (p *phase) limits(c *testcases.Case) limits {
	inf := math.Inf(1)
	l := limits{inf, inf, inf, inf}
	checks := c.Checks
	if len(p.objectives) > 0 { // a step of a sweep has objectives of its own, which alone count
		checks = p.objectives
	} else if c.Targets.LatencyMS > 0 {
		l.latency = c.Targets.LatencyMS
	}
	for _, x := range checks {
		limit := c.Limit(x)
		if !(limit > 0) || x.Phase != "" && x.Phase != p.plan.ID {
			continue
		}
		switch x.Rule {
		case testcases.RuleTTFTPercentile, testcases.RuleTTFTMean:
			l.ttft = math.Min(l.ttft, limit)
		case testcases.RuleTPOTPercentile, testcases.RuleTPOTMean:
			l.tpot = math.Min(l.tpot, limit)
		case testcases.RuleITLPercentile, testcases.RuleITLMean:
			l.itl = math.Min(l.itl, limit)
		case testcases.RuleMeanLatency, testcases.RulePercentileLatency:
			if x.Limit > 0 { // others use the case's latency, or are not about single requests
				l.latency = math.Min(l.latency, limit)
			}
		}
	}
	return l
}

// good says whether a request was answered within every limit. For the time between two tokens the mean of its gaps
// counts.
func (p *phase) good(q *request, l limits) bool {
	first, _ := p.firstToken(q)
	each, _ := perToken(q)
	if !q.OK() || !(p.latency(q, 0) < l.latency) || first > l.ttft || each > l.tpot {
		return false
	}
	if math.IsInf(l.itl, 1) || q.gapCount == 0 {
		return true
	}
	return q.gapMean() <= l.itl
}
