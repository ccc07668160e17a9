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

// Measured is what one step measured.
type Measured struct {
	Rate        float64 // arrivals a second, where the step has a schedule
	Requests    int
	Failed      int     // of them, those broken off included
	ErrorBudget float64 // share that may fail
	// what arrived and what was answered in equal parts of the step's window; nil: no schedule
	Arrived, Answered []float64
	PartS             float64 // length of a part
	Objectives        []Objective
	// Doubt is why a miss of this step proves nothing, such as a load generator that was late
	Doubt string
}

// Objective is one objective with its sample. Either Mean or the shares are given.
type Objective struct {
	Name  string
	Limit float64   // of the mean, in the unit of Mean
	Mean  []float64 // one figure for each request, in the order of time

	Allowed float64   // share of the requests that may be bad
	Bad     []bool    // for each request, in the order of time
	Of      []float64 // what Bad is about: how much neighbours depend on each other is read from it
	// Worth is how many independent observations there are, where Of cannot tell; 0: Of tells
	Worth float64
}

// fewest is the least number of requests that a step can be judged by.
const fewest = 20

// Outcome is a step's verdict.
type Outcome struct {
	Verdict Verdict
	Likely  bool
	Why     string
}

// Judge decides whether a step held. alpha is the chance of a wrong verdict in either direction; within is the share
// of the arrivals that a server may leave behind and still keep up.
func Judge(m Measured, alpha, within float64) Outcome {
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
	// Any objective that is missed by chance makes the step one that missed: they share the chance. All must hold for
	// it to hold, so that each may have the whole of it.
	each := alpha / float64(max(len(m.Objectives), 1))
	for _, o := range m.Objectives {
		parts = append(parts, o.judge(alpha, each))
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

// part is one demand on a step.
type part struct {
	verdict Verdict
	likely  bool
	why     string
}

// errors holds the failures against the budget: by their count, and for a miss by its bound.
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

// keepsUp says whether what arrived was answered. While a server keeps up, it answers more in those parts of the step
// in which more arrives; one that is full answers the same in all. So the answers are fitted by the arrivals, and only
// what the fit leaves open is doubt about the rate at which the backlog grows.
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

// comesBack says that the backlog certainly returns to its mean, however short the step is: by the test of Dickey and
// Fuller (1979), with a constant, the change of a backlog that only adds up does not depend on its height.
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
		return true // as many answers as arrivals in each part
	}
	slope := xy / xx
	for i := range height {
		d := change[i] - meanC - slope*(height[i]-meanH)
		rest += d * d
	}
	return slope/math.Sqrt(rest/float64(n-2)/xx) < dickeyFuller(alpha)
}

// dickeyFuller is the critical value of the test. That of the tables (-3.6 at 1 %) is for a walk without a floor; a
// backlog comes back from 0 even while its server is full, so the value is lower: it was found with such queues.
func dickeyFuller(alpha float64) float64 {
	return -4.6 - 0.45*math.Max(math.Log2(0.01/alpha), 0)
}

// judge holds an objective against its sample. held is the chance of a wrong "held", missed of a wrong "missed".
func (o Objective) judge(held, missed float64) part {
	if o.Mean != nil || o.Bad == nil {
		return o.judgeMean(held, missed)
	}
	bad, n := o.count(), float64(len(o.Bad))
	worth := o.worth()
	scaled := float64(bad) / n * worth
	why := fmt.Sprintf("%s: %d of %d requests miss it, %s %% may; they count as %d independent ones", o.Name, bad,
		len(o.Bad), short(100*o.Allowed), int(worth))
	few := 1.0 // stretches differ in their lengths: some long ones are not proof of a miss
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

func (o Objective) judgeMean(held, missed float64) part {
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

// ratio is the figure over its limit: below 1 the objective is met in the sample.
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

// worth is how many independent requests these are worth: bad ones come in stretches, while a queue is long. How long
// the stretches are is read from the bad ones and from the slowest tenth, whichever depend on each other more: few bad
// ones tell little, and one long stretch of them may lie within a tenth that looks harmless.
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

// correlation is the correlation time of a long series, read in stretches of correlated requests.
func correlation(x []float64) float64 {
	times, stretches := 0.0, max(len(x)/correlated, 1)
	for i := range stretches {
		times += stats.CorrelationTime(x[i*len(x)/stretches:(i+1)*len(x)/stretches]) / float64(stretches)
	}
	return times
}

// correlated is how long a series the correlation is read from at once: queues of a thousand requests show in it.
const correlated = 4000

// meanPoints bounds the bootstrap's work; longer series are averaged in runs first, which are blocks themselves.
const meanPoints = 200

// seriesMean is the mean of a series with its interval.
func seriesMean(x []float64, conf float64) (mean, lo, hi float64) {
	const seed = 1 // the same sample gives the same interval
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
