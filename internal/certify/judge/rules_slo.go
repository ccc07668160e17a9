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

// ttftMean holds the mean time to the first token against the target. A failed request counts with its time or the
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

// tpotMean judges answers of two tokens and more; a failed request counts as the target.
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

// gapSums is the gaps of one answer: how many, their sum in milliseconds, and how many are above a limit.
type gapSums struct {
	n, sum, over float64
}

// fewestChunks is the share of tokens that must have come in a chunk of their own, so that gaps between chunks are
// times between tokens. The last token of an answer, which ends it, has no chunk.
const fewestChunks = 0.95

// mostBlurred is the share of chunks that a client may read too late to know their times, and still speak of gaps.
const mostBlurred = 0.01

// gaps collects the gaps of the judged answers. why says what makes them no times between tokens.
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

// itlMean is the mean over all gaps. The gaps of an answer depend on each other, so the interval is that of a ratio
// of sums over answers, linearised.
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

// fewestOver is how many answers with a slow gap tell how much the gaps of an answer depend on each other. With fewer
// an answer counts as one observation, the least that its gaps can be worth.
const fewestOver = 5

// itlPercentile proves a percentile over all gaps by early stopping. As many observations are counted as independent
// ones would say the same: the gaps divided by the design effect of taking them by answers (Rao and Scott 1992).
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

// effectiveGaps is how many independent gaps these are worth.
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

// goodputRule proves the share of scheduled requests that meet every objective by themselves. Good and bad requests
// come in stretches, so they count as their effective number.
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

// proven decides whether a share p of observations is good, of which bad of n are not, as percentiles are decided.
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

// limits are the objectives of a phase that can be held against one request, in milliseconds; +Inf: none.
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

// limits collects the objectives of the checks of the phase, whatever their statistic, and the case's latency.
func (p *phase) limits(c *testcases.Case) limits {
	inf := math.Inf(1)
	l := limits{inf, inf, inf, inf}
	checks := c.Checks
	if len(p.objectives) > 0 { // a step of a sweep has its own, and nothing else is asked of it
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
			if x.Limit > 0 { // others are the case's latency, or not about one request
				l.latency = math.Min(l.latency, limit)
			}
		}
	}
	return l
}

// good says that a request was answered within every limit. Its time between two tokens is the mean of its gaps.
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
