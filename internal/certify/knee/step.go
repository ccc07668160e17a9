package knee

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// Measured is what was measured in one step.
type Measured struct {
	Rate        float64 // arrivals per second, if the step has a schedule
	Requests    int
	Failed      int     // failed requests, including canceled ones
	ErrorBudget float64 // share of requests that may fail
	// numbers of arrivals and answers in equal parts of the step's window; nil without a schedule
	Arrived, Answered []float64
	PartS             float64 // length of a part in seconds
	Objectives        []Objective
	// Doubt says why a miss in this step would prove nothing, such as a load generator that was late
	Doubt string
}

// Objective is one objective with its sample. Either Mean is set, or Allowed and Bad are.
type Objective struct {
	Name  string
	Limit float64   // limit of the mean, in the unit of Mean
	Mean  []float64 // one figure for each request, in the order of time

	Allowed float64   // share of the requests that may be bad
	Bad     []bool    // whether each request is bad, in the order of time
	Of      []float64 // the figures behind Bad, from which the dependence of neighbouring requests is estimated
	// Worth is the effective number of independent observations; 0: it is estimated from Of
	Worth float64
}

// fewest is the smallest number of requests by which a step can be decided.
const fewest = 20

// Outcome is the verdict on a step, with its reason.
type Outcome struct {
	Verdict Verdict
	Likely  bool
	Why     string
}

// Decide says whether a step held. alpha is the probability of a wrong verdict in either direction. within is the
// share of the arrivals that may add to the backlog while the server still counts as keeping up.
func Decide(m Measured, alpha, within float64) Outcome {
	if m.Requests < fewest {
		likely := m.Failed == 0
		for _, o := range m.Objectives {
			likely = likely && o.ratio() < 1
		}
		return Outcome{Unclear, likely, fmt.Sprintf("%s, %d are the least",
			noun.Of(m.Requests, "request", "requests"), fewest)}
	}
	parts := []part{m.errors(alpha)}
	if m.Arrived != nil {
		parts = append(parts, m.keepsUp(alpha, within))
	}
	// One objective that is wrongly found missed makes the whole step miss, so the objectives share the probability of
	// that error. For the step to hold, all objectives must hold, so each may use the whole probability of a wrong
	// "held".
	each := alpha / float64(max(len(m.Objectives), 1))
	for _, o := range m.Objectives {
		parts = append(parts, o.decide(alpha, each))
	}
	out := Outcome{Held, true, "every objective met"}
	for _, p := range parts {
		out.Likely = out.Likely && p.likely
		switch {
		case p.verdict == Missed && out.Verdict != Missed, p.verdict == Unclear && out.Verdict == Held:
			out.Verdict, out.Why = p.verdict, p.why
		}
	}
	if out.Verdict == Unclear {
		out.Why = map[bool]string{true: "rather held", false: "rather missed"}[out.Likely] + ": " + out.Why
	}
	if out.Verdict == Missed && m.Doubt != "" {
		out.Verdict, out.Why = Unclear, out.Why+"; "+m.Doubt
	}
	return out
}

// part is the verdict on one requirement of a step.
type part struct {
	verdict Verdict
	likely  bool
	why     string
}

// errors compares the failures with the budget: the share itself to hold, and the lower end of its interval to miss.
func (m Measured) errors(alpha float64) part {
	lo, _ := stats.Wilson(m.Failed, m.Requests, 1-2*alpha)
	share := float64(m.Failed) / float64(m.Requests)
	why := fmt.Sprintf("%d of %d requests failed, %s %% may", m.Failed, m.Requests, short(100*m.ErrorBudget))
	switch {
	case share <= m.ErrorBudget:
		return part{Held, true, why}
	case lo > m.ErrorBudget:
		return part{Missed, false, why}
	}
	return part{Unclear, false, why}
}

// keepsUp decides whether arrivals were answered. A server that keeps up answers more in those parts of the step in
// which more requests arrive; a full one answers equally many in all parts. So the answers are fitted to the arrivals
// by regression, and only the residuals count as uncertainty about the growth of the backlog.
func (m Measured) keepsUp(alpha, within float64) part {
	k := float64(len(m.Arrived))
	var arrived, answered, xx, xy float64
	for i := range m.Arrived {
		arrived += m.Arrived[i] / k
		answered += m.Answered[i] / k
	}
	for i := range m.Arrived {
		dx := m.Arrived[i] - arrived
		xx, xy = xx+dx*dx, xy+dx*(m.Answered[i]-answered)
	}
	slope, rest := 0.0, 0.0
	if xx > 0 {
		slope = math.Min(math.Max(xy/xx, 0), 1)
	}
	for i := range m.Arrived {
		d := m.Answered[i] - answered - slope*(m.Arrived[i]-arrived)
		rest += d * d
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: math.Max(k-2, 1)}.Quantile(1 - alpha)
	grows := (arrived - answered) / m.PartS
	doubt := t * math.Sqrt(rest/math.Max(k-2, 1)/k) / m.PartS
	allowed := within * arrived / m.PartS
	why := fmt.Sprintf("the backlog grew by %s of %s requests/s", short(math.Max(grows, 0)), short(arrived/m.PartS))
	switch {
	case grows-doubt > allowed/2:
		return part{Missed, false, why}
	case grows+doubt < allowed, m.comesBack(alpha):
		return part{Held, true, why}
	}
	return part{Unclear, grows < allowed*3/4, why + ": the step is too short to tell whether it grows"}
}

// comesBack says whether the backlog certainly returns to its mean, however short the step is. It uses the test of
// Dickey and Fuller (1979) with a constant: the change of a backlog that only accumulates does not depend on its
// height.
func (m Measured) comesBack(alpha float64) bool {
	n := len(m.Arrived)
	if n < fewest {
		return false
	}
	height, change, level := make([]float64, n), make([]float64, n), 0.0
	var meanH, meanC float64
	for i := range height {
		height[i], change[i] = level, m.Arrived[i]-m.Answered[i]
		level += change[i]
		meanH, meanC = meanH+height[i]/float64(n), meanC+change[i]/float64(n)
	}
	var xx, xy, rest float64
	for i := range height {
		xx += (height[i] - meanH) * (height[i] - meanH)
		xy += (height[i] - meanH) * (change[i] - meanC)
	}
	if xx == 0 {
		return true // each part has as many answers as arrivals
	}
	slope := xy / xx
	for i := range height {
		d := change[i] - meanC - slope*(height[i]-meanH)
		rest += d * d
	}
	return slope/math.Sqrt(rest/float64(n-2)/xx) < dickeyFuller(alpha)
}

// dickeyFuller is the critical value of the test. The published one (-3.6 at 1 %) is for a random walk without a lower
// bound. A backlog also returns from 0 while its server is full, so a lower value is needed. This one was found by
// simulating such queues.
func dickeyFuller(alpha float64) float64 {
	return -4.6 - 0.45*math.Max(math.Log2(0.01/alpha), 0)
}

// decide compares the sample of an objective with its limit. held is the probability of a wrong "held", and missed
// that of a wrong "missed".
func (o Objective) decide(held, missed float64) part {
	if o.Mean != nil || o.Bad == nil {
		return o.decideMean(held, missed)
	}
	bad, n := o.count(), float64(len(o.Bad))
	worth := o.worth()
	scaled := float64(bad) / n * worth
	why := fmt.Sprintf("%s: %d of %d requests miss it, %s %% may; they count as %d independent ones", o.Name, bad,
		len(o.Bad), short(100*o.Allowed), int(worth))
	few := 1.0 // runs of bad requests differ in length, and a few long ones do not prove a miss
	if worth < n/2 {
		few = 2
	}
	lo, _ := stats.Wilson(int(math.Floor(scaled/few)), int(worth/few), 1-2*missed)
	pass, _ := stats.EarlyStopping(1-o.Allowed, 1-held, int(worth), int(math.Ceil(scaled)))
	switch {
	case pass:
		return part{Held, true, why}
	case lo > o.Allowed:
		return part{Missed, false, why}
	}
	return part{Unclear, o.ratio() < 1, why}
}

func (o Objective) decideMean(held, missed float64) part {
	if len(o.Mean) < fewest {
		return part{Unclear, o.ratio() < 1, o.Name + ": too few answers have it"}
	}
	mean, lo, hi := seriesMean(o.Mean, 1-2*held)
	if missed != held {
		_, lo, _ = seriesMean(o.Mean, 1-2*missed)
	}
	why := fmt.Sprintf("%s: mean %s ms, from %s to %s", o.Name, short(mean), short(lo), short(hi))
	switch {
	case hi < o.Limit:
		return part{Held, true, why}
	case lo >= o.Limit:
		return part{Missed, false, why}
	}
	return part{Unclear, mean < o.Limit, why}
}

// ratio is the figure divided by its limit. Below 1, the sample meets the objective.
func (o Objective) ratio() float64 {
	if o.Bad != nil {
		return float64(o.count()) / float64(len(o.Bad)) / o.Allowed
	}
	sum := 0.0
	for _, x := range o.Mean {
		sum += x
	}
	return sum / float64(max(len(o.Mean), 1)) / o.Limit
}

func (o Objective) count() (n int) {
	for _, b := range o.Bad {
		if b {
			n++
		}
	}
	return n
}

// worth is the effective number of independent requests. Bad ones come in runs, while a queue is long. The dependence
// is estimated from the bad requests and from the slowest tenth, and the larger estimate counts: a few bad requests
// say little, and one long run of them may look harmless within the slowest tenth.
func (o Objective) worth() float64 {
	n := float64(len(o.Bad))
	if o.Worth > 0 {
		return math.Min(o.Worth, n)
	}
	times, x := 1.0, make([]float64, len(o.Bad))
	for i, b := range o.Bad {
		if b {
			x[i] = 1
		}
	}
	if o.count() > 0 {
		times = correlation(x)
	}
	if len(o.Of) == len(o.Bad) {
		sorted := slices.Sorted(slices.Values(o.Of))
		top := sorted[len(sorted)*9/10]
		for i, v := range o.Of {
			x[i] = 0
			if v > top {
				x[i] = 1
			}
		}
		times = math.Max(times, correlation(x))
	}
	return math.Max(n/times, 1)
}

// correlation is the correlation time of a series, averaged over parts of about correlated requests.
func correlation(x []float64) float64 {
	times, stretches := 0.0, max(len(x)/correlated, 1)
	for i := range stretches {
		times += stats.CorrelationTime(x[i*len(x)/stretches:(i+1)*len(x)/stretches]) / float64(stretches)
	}
	return times
}

// correlated is the length of the parts of a series from which the correlation is estimated. Queues of a thousand
// requests are visible in it.
const correlated = 4000

// meanPoints bounds the work of the bootstrap. Longer series are first reduced to the means of this many consecutive
// blocks.
const meanPoints = 200

// seriesMean is the mean of a series with its interval.
func seriesMean(x []float64, conf float64) (mean, lo, hi float64) {
	const seed = 1 // so that the same sample gives the same interval
	if len(x) > meanPoints {
		runs := make([]float64, meanPoints)
		for i := range runs {
			part := x[i*len(x)/meanPoints : (i+1)*len(x)/meanPoints]
			for _, v := range part {
				runs[i] += v / float64(len(part))
			}
		}
		x = runs
	}
	return stats.SeriesInterval(x, conf, seed)
}

func short(x float64) string { return strconv.FormatFloat(x, 'g', 3, 64) }
