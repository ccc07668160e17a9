package knee

import (
	"math"
	"slices"
)

// Verdict says how a step went.
type Verdict string

// Verdicts of a step.
const (
	Held    Verdict = "held"    // every objective is proven to be met
	Missed  Verdict = "missed"  // one is proven not to be met
	Unclear Verdict = "unclear" // neither is proven
)

// longest is how many times as long as the first a step may become: what four times the requests do not settle is
// nearer to the knee than the noise of the server lets anybody see.
const longest = 4

// Search is what to search for.
type Search struct {
	From, To float64
	Whole    bool    // the load is a whole number: requests in flight
	Within   float64 // the search ends when the knee is enclosed within this share of itself
	Most     int     // steps, at most
}

// Step is a load that was tried.
type Step struct {
	Load    float64
	Times   int // as long as a first step
	Verdict Verdict
	Likely  bool // it rather held than not; without doubt where it held
}

// Next gives the load to try next, and how many times as long as a first step. more is false when the search has
// ended. It depends on the steps so far alone.
func (s Search) Next(done []Step) (load float64, times int, more bool) {
	if len(done) >= s.Most {
		return 0, 0, false
	}
	if len(done) == 0 {
		return s.From, 1, true
	}
	lo, hi := border(done)
	switch {
	case lo == 0: // the least load misses: once more, since a moment of other work can do that
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

// again tries a load at the end of the range until it is certain, or as long as a step can be.
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

// open says that there is room for another step between two neighbouring loads. Half of Within is left to the proofs
// on both sides.
func (s Search) open(lo, hi float64) bool {
	if s.Whole && hi-lo <= 1 {
		return false
	}
	return hi/lo > 1+s.Within/2
}

// fit makes a load a whole number strictly between two others, where it must be one.
func (s Search) fit(load, lo, hi float64) float64 {
	if !s.Whole {
		return load
	}
	return math.Min(math.Max(math.Round(load), lo+1), math.Max(hi-1, math.Min(hi, s.To)))
}

// proofs lists what is left to try so that the knee is enclosed for certain: the two loads nearest to it for longer,
// then loads further away from it.
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

// near says that a proven load lies as near to the border as asked.
func (s Search) near(a, b float64) bool {
	return b/a <= 1+s.Within/4 || s.Whole && b-a < 1
}

// side lists the steps left on one side of the border, shortest first.
func (s Search) side(done []Step, at float64, whole, any func(j float64) float64, want Verdict) []Step {
	var out []Step
	try := func(load float64, times int) (settled bool) {
		if load < s.From || load > s.To {
			return true // nothing outside is asked for
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

// same compares loads that were computed in the same way.
func same(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(a, b) }

// certainWeight is what a proven step counts beside one that only looks so.
const certainWeight = 4

// border is where the steps change from those that rather held to those that rather missed: the place that
// contradicts the fewest of them, by their length. So one bad moment in a short step hides nothing for ever. lo is the
// highest load below the border, hi the lowest above it; 0: none.
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
	cost := 0.0 // of a border below all: those that held contradict it
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
			continue // steps of one load lie on one side
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

// Knee is where a server stops to keep its objectives.
type Knee struct {
	Best      float64 // the likeliest place; 0: no step held
	Low, High float64 // proven: it held at Low and missed at High; 0: no step proves that end
	Above     bool    // no step missed: the knee lies above the range
	Below     bool    // no step held: it lies below the range
	// a load was proven to hold above one that was proven to miss: the server changed, or its knee is not a line
	Conflict bool
}

// Knee says what the steps say together.
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

// Located says that both ends are proven, and as near to each other as asked.
func (s Search) Located(k Knee) bool {
	return !k.Conflict && k.Low > 0 && k.High > 0 && (k.High/k.Low <= 1+s.Within || s.Whole && k.High-k.Low <= 1)
}
