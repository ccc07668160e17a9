package knee

import (
	"math"
	"slices"
)

// Verdict is the result of one step.
type Verdict string

// Verdicts of a step.
const (
	Held    Verdict = "held"    // every objective was proven to be met
	Missed  Verdict = "missed"  // one objective was proven not to be met
	Unclear Verdict = "unclear" // neither was proven
)

// longest is the largest length of a step, as a multiple of a first step's. A load that four times the requests cannot
// decide is closer to the knee than the noise of the server allows to tell.
const longest = 4

// Search says which loads are searched, and when the search ends.
type Search struct {
	From, To float64
	Whole    bool    // the load is a whole number: requests in flight
	Within   float64 // the search ends when the proven loads on both sides of the knee differ by this share at most
	Most     int     // largest number of steps
}

// Step is the result for one load that was tried.
type Step struct {
	Load    float64
	Times   int // length, as a multiple of a first step's
	Verdict Verdict
	Likely  bool // the figures met the objectives, proven or not; true if Verdict is Held
}

// Next returns the load to try next, and the length of the step as a multiple of a first step's. more is false when
// the search has ended. The result depends only on the steps so far.
func (s Search) Next(done []Step) (load float64, times int, more bool) {
	if len(done) >= s.Most {
		return 0, 0, false
	}
	if len(done) == 0 {
		return s.From, 1, true
	}
	lo, hi := border(done)
	switch {
	case lo == 0: // the lowest load misses: try it again, because a short disturbance can cause that
		return s.again(done, s.From)
	case hi == 0 && lo < s.To:
		return s.fit(math.Min(2*lo, s.To), lo, s.To), 1, true
	case hi == 0:
		return s.again(done, s.To)
	case s.open(lo, hi):
		return s.fit(math.Sqrt(lo*hi), lo, hi), 1, true
	}
	for _, c := range s.proofs(done, lo, hi) {
		return c.Load, c.Times, true
	}
	return 0, 0, false
}

// again tries a load at the end of the range in longer and longer steps, until its verdict is certain or the step has
// its largest length.
func (s Search) again(done []Step, load float64) (float64, int, bool) {
	times := 0
	for _, x := range done {
		if same(x.Load, load) {
			if x.Verdict != Unclear && x.Times > 1 || x.Verdict == Held {
				return 0, 0, false
			}
			times = max(times, x.Times)
		}
	}
	return load, max(2*times, 1), 2*times <= longest
}

// open says whether there is room for another step between two neighbouring loads. Half of Within is reserved for the
// proofs on both sides.
func (s Search) open(lo, hi float64) bool {
	if s.Whole && hi-lo <= 1 {
		return false
	}
	return hi/lo > 1+s.Within/2
}

// fit rounds a load to a whole number strictly between two others, if loads are whole numbers.
func (s Search) fit(load, lo, hi float64) float64 {
	if !s.Whole {
		return load
	}
	return math.Min(math.Max(math.Round(load), lo+1), math.Max(hi-1, math.Min(hi, s.To)))
}

// proofs lists the steps that are left to prove both sides of the knee: longer steps at the two loads nearest to it,
// and then loads further away.
func (s Search) proofs(done []Step, lo, hi float64) []Step {
	var out []Step
	half := s.Within / 2
	k := s.Knee(done)
	if k.Low == 0 || !s.near(k.Low, lo) {
		out = append(out, s.side(done, lo, func(j float64) float64 { return math.Floor(lo / (1 + j*half)) },
			func(j float64) float64 { return lo / (1 + j*half) }, Held)...)
	}
	if k.High == 0 || !s.near(hi, k.High) {
		out = append(out, s.side(done, hi, func(j float64) float64 { return math.Ceil(hi * (1 + j*half)) },
			func(j float64) float64 { return hi * (1 + j*half) }, Missed)...)
	}
	return out
}

// near says whether a proven load is close enough to the border.
func (s Search) near(a, b float64) bool {
	return b/a <= 1+s.Within/4 || s.Whole && b-a < 1
}

// side lists the steps that are left on one side of the border, the shortest first.
func (s Search) side(done []Step, at float64, whole, any func(j float64) float64, want Verdict) []Step {
	var out []Step
	try := func(load float64, times int) (settled bool) {
		if load < s.From || load > s.To {
			return true // loads outside the range are not searched
		}
		tried := 0
		for _, x := range done {
			if same(x.Load, load) {
				if x.Verdict == want {
					return true
				}
				tried = max(tried, x.Times)
			}
		}
		if tried < times {
			out = append(out, Step{Load: load, Times: times})
		}
		return false
	}
	for _, times := range []int{2, longest} {
		if try(at, times) {
			return out
		}
	}
	for _, j := range []float64{1, 2, 4} {
		load := any(j)
		if s.Whole {
			load = whole(j)
			if same(load, at) {
				load += map[Verdict]float64{Held: -1, Missed: 1}[want]
			}
		}
		if try(load, longest) {
			return out
		}
	}
	return out
}

// same says whether two loads are equal, except for rounding.
func same(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(a, b) }

// certainWeight is the weight of a step with a proven verdict. Others have weight 1.
const certainWeight = 4

// border is where the steps change from those that rather held to those that rather missed: the place that contradicts
// the fewest of them, weighted by their lengths. So a disturbance in one short step cannot mislead the search for
// good. lo is the highest load below the border and hi the lowest above it; 0 if there is none.
func border(done []Step) (lo, hi float64) {
	byLoad := slices.Clone(done)
	slices.SortStableFunc(byLoad, func(a, b Step) int {
		switch {
		case same(a.Load, b.Load):
			return 0
		case a.Load < b.Load:
			return -1
		}
		return 1
	})
	weight := func(x Step) float64 {
		if x.Verdict != Unclear {
			return float64(certainWeight * x.Times)
		}
		return float64(x.Times)
	}
	cost := 0.0 // cost of a border below all loads, which the steps that held contradict
	for _, x := range byLoad {
		if x.Likely {
			cost += weight(x)
		}
	}
	best, at := cost, 0
	for i, x := range byLoad {
		if x.Likely {
			cost -= weight(x)
		} else {
			cost += weight(x)
		}
		if i+1 < len(byLoad) && same(byLoad[i+1].Load, x.Load) {
			continue // steps of one load are on the same side
		}
		if cost < best {
			best, at = cost, i+1
		}
	}
	if at > 0 {
		lo = byLoad[at-1].Load
	}
	if at < len(byLoad) {
		hi = byLoad[at].Load
	}
	return lo, hi
}

// Knee is the load at which a server stops meeting its objectives.
type Knee struct {
	Best      float64 // most likely load; 0 if no step held
	Low, High float64 // it was proven to hold at Low and to miss at High; 0 if no step proved that
	Above     bool    // no step missed: the knee is above the range
	Below     bool    // no step held: the knee is below the range
	// a load was proven to hold above one that was proven to miss: the server changed, or has no single knee
	Conflict bool
}

// Knee combines the results of all steps.
func (s Search) Knee(done []Step) (k Knee) {
	for _, x := range done {
		if x.Verdict == Missed && (k.High == 0 || x.Load < k.High) {
			k.High = x.Load
		}
	}
	for _, x := range done {
		if x.Verdict != Held {
			continue
		}
		if k.High > 0 && x.Load >= k.High {
			k.Conflict = true
		} else if x.Load > k.Low {
			k.Low = x.Load
		}
	}
	lo, hi := border(done)
	switch {
	case lo == 0:
		k.Below = len(done) > 0
	case hi == 0:
		k.Best, k.Above = lo, true
	case s.Whole:
		k.Best = lo
	default:
		k.Best = math.Sqrt(lo * hi)
	}
	if k.Best > 0 && !k.Conflict {
		if k.High > 0 {
			k.Best = math.Min(k.Best, k.High)
		}
		k.Best = math.Max(k.Best, k.Low)
	}
	return k
}

// Located says whether both ends are proven, and as close together as Within asks.
func (s Search) Located(k Knee) bool {
	return !k.Conflict && k.Low > 0 && k.High > 0 && (k.High/k.Low <= 1+s.Within || s.Whole && k.High-k.Low <= 1)
}
