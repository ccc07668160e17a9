package quality

import (
	_ "embed"
	"encoding/json"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// Threshold is the lowest score of a good answer, as TC-L1-COMP-MIXTRAL-003 asks.
const Threshold = 0.8

// calibrationSeed is the seed of the corruptions. Another seed changes the figures within their intervals.
const calibrationSeed = 3

// draws is how often each good answer is corrupted in each way. With a single draw, a shuffle that happens to change
// little would distort the figures. Intervals count the answers, not the draws.
const draws = 3

// Report says how well scores separate good answers from bad ones on the labelled set. Intervals are at 95 %
// confidence.
type Report struct {
	Threshold   float64 `json:"threshold"`
	Development Half    `json:"development"` // the half to which weights and thresholds were fitted
	HeldOut     Half    `json:"held_out"`    // the half that was not used for fitting, whose figures should be quoted
}

// Half is the result on one half of the prompts.
type Half struct {
	Prompts     int          `json:"prompts"`
	Good        int          `json:"good"`
	Bad         int          `json:"bad"`        // each draw of a corruption counts
	AUC         Interval     `json:"auc"`        // probability that a good answer scores above a bad one
	FalsePass   Rate         `json:"false_pass"` // bad answers at or above the threshold
	FalseFail   Rate         `json:"false_fail"` // good answers below the threshold
	Corruptions []Corruption `json:"corruptions"`
}

// Corruption is the result on one kind of bad answer.
type Corruption struct {
	Kind      string   `json:"kind"`
	Bad       int      `json:"bad"`
	AUC       Interval `json:"auc"`
	FalsePass Rate     `json:"false_pass"`
}

// Interval is an estimate with its 95 % interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Rate is a share with its counts and Wilson's 95 % interval.
type Rate struct {
	Interval
	Count int `json:"count"`
	Of    int `json:"of"`
}

// Calibrate scores the embedded labelled set and its corruptions. These are some 9,000 answers, which take a few
// seconds of one processor.
func Calibrate() Report { return calibrate(labelled(), calibrationSeed) }

//go:embed calibration.json
var calibrationRecord []byte

// Calibration returns the result of Calibrate as recorded in this version. A test checks that it is still the same.
func Calibration() Report { return calibration() }

var calibration = sync.OnceValue(func() Report {
	var r Report
	if err := json.Unmarshal(calibrationRecord, &r); err != nil {
		panic("quality: calibration.json: " + err.Error()) // a test reads the file
	}
	return r
})

// sample is one answer of the set, good or bad.
type sample struct {
	topic   int // index in the set
	kind    string
	text    string
	heldOut bool
	score   float64
}

const good = "good" // the kind of a good answer

// calibrate scores a labelled set.
func calibrate(set []topic, seed uint64) Report {
	all := samples(set, seed)
	score(set, all)
	half := func(heldOut bool) Half {
		h := Half{}
		for _, t := range set {
			if t.heldOut() == heldOut {
				h.Prompts++
			}
		}
		var pos, neg []float64
		by := map[string][]float64{}
		for _, s := range all {
			switch {
			case s.heldOut != heldOut:
			case s.kind == good:
				pos = append(pos, s.score)
			default:
				neg = append(neg, s.score)
				by[s.kind] = append(by[s.kind], s.score)
			}
		}
		h.Good, h.Bad = len(pos), len(neg)
		h.AUC = auc(pos, neg, draws)
		h.FalsePass = rate(passing(neg), len(neg), draws)
		h.FalseFail = rate(len(pos)-passing(pos), len(pos), 1)
		for _, kind := range append(slices.Clone(Corruptions), Written) {
			times := draws
			if kind == Written {
				times = 1
			}
			h.Corruptions = append(h.Corruptions, Corruption{kind, len(by[kind]), auc(pos, by[kind], times),
				rate(passing(by[kind]), len(by[kind]), times)})
		}
		return h
	}
	return Report{Threshold: Threshold, Development: half(false), HeldOut: half(true)}
}

// samples lists the set's answers, and the corruptions of every good one. Off-topic answers come from the same half,
// so that no text of one half is scored in the other.
func samples(set []topic, seed uint64) []sample {
	var all []sample
	for i, t := range set {
		var others []string
		for j, o := range set {
			for _, e := range o.examples {
				if j != i && o.heldOut() == t.heldOut() && e.label == good {
					others = append(others, e.text)
				}
			}
		}
		for k, e := range t.examples {
			if e.label != good {
				all = append(all, sample{topic: i, kind: Written, text: e.text, heldOut: t.heldOut()})
				continue
			}
			all = append(all, sample{topic: i, kind: good, text: e.text, heldOut: t.heldOut()})
			d := read(t.input(e.text))
			for c, kind := range Corruptions {
				rng := rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(k)<<8|uint64(c)))
				for range draws {
					if text, ok := corrupt(rng, kind, d, others); ok {
						all = append(all, sample{topic: i, kind: kind, text: text, heldOut: t.heldOut()})
					}
				}
			}
		}
	}
	return all
}

// score computes all scores, on all processors.
func score(set []topic, all []sample) {
	var wg sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for w := range n {
		wg.Go(func() {
			for i := w; i < len(all); i += n {
				all[i].score = Score(set[all[i].topic].input(all[i].text)).Score
			}
		})
	}
	wg.Wait()
}

func passing(scores []float64) int {
	n := 0
	for _, s := range scores {
		if s >= Threshold {
			n++
		}
	}
	return n
}

// z95 is the normal distribution's 97.5 % quantile.
const z95 = 1.959963984540054

// rate returns a share with its Wilson interval, which is the whole range for an empty sample. The cases come in
// groups of size times, which are not independent.
func rate(count, of, times int) Rate {
	r := Rate{Interval{0, 0, 1}, count, of}
	if of == 0 {
		return r
	}
	n, p, z2 := float64(of)/float64(times), float64(count)/float64(of), z95*z95
	mid := (p + z2/(2*n)) / (1 + z2/n)
	half := z95 / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	r.Interval = Interval{p, math.Max(0, mid-half), math.Min(1, mid+half)}
	return r
}

// auc is the probability that a good answer scores above a bad one, where ties count half. Its interval is Newcombe's
// (2006, method 5), which has a width even if the scores do not overlap at all. The bad answers come in groups of size
// times, which are not independent.
func auc(pos, neg []float64, times int) Interval {
	if len(pos) == 0 || len(neg) == 0 {
		return Interval{0.5, 0, 1}
	}
	sorted := slices.Clone(neg)
	slices.Sort(sorted)
	wins := 0.0
	for _, p := range pos {
		below, _ := slices.BinarySearch(sorted, p)
		through, _ := slices.BinarySearchFunc(sorted, p, func(x, target float64) int {
			if x <= target {
				return -1
			}
			return 1
		})
		wins += float64(below) + float64(through-below)/2
	}
	m, n := float64(len(pos)), float64(len(neg))
	a := wins / (m * n)
	n = math.Max(1, n/float64(times))
	mean := math.Max(0, (m+n)/2-1)
	// beyond reports whether a is further from theta than chance explains.
	beyond := func(theta float64) bool {
		v := theta * (1 - theta) * (1 + mean*((1-theta)/(2-theta)+theta/(1+theta))) / (m * n)
		return math.Abs(a-theta) > z95*math.Sqrt(v)
	}
	search := func(out, in float64) float64 {
		for range 50 { // halves the gap each time, until it is smaller than the printed digits
			if mid := (out + in) / 2; beyond(mid) {
				out = mid
			} else {
				in = mid
			}
		}
		return in
	}
	return Interval{a, search(0, a), search(1, a)}
}
