package quality

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "fit the order model again and rewrite weights.go")

// fitPenalty is the strength of the prior. It was chosen by eightfold cross-validation over the prompts of the
// development half; 0.003 to 0.3 were tried. Features without which that score was no worse were removed.
const fitPenalty = 0.02

// developmentCases are the good answers of the development half whose order can be scored.
func developmentCases() []orderCase {
	var cases []orderCase
	for i, t := range labelled() {
		for k, e := range t.examples {
			if e.label != good || t.heldOut() {
				continue
			}
			if c, ok := newOrderCase(read(t.input(e.text)), uint64(i*100+k)); ok {
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// The weights in the source are those fitted to the development half. The test fails if they were changed by hand, or
// if a feature was changed without fitting again.
func TestOrderWeightsAreTheFit(t *testing.T) {
	cases := developmentCases()
	w, best := fitOrder(cases, fitPenalty)
	if *update {
		var b bytes.Buffer
		b.WriteString("package quality\n\n// orderWeights are fitted to the development half of the labelled set " +
			"by \"go test -run Weights -update\"; do not edit.\n")
		b.WriteString("var orderWeights = [orderFeatures]float64{\n")
		for f, v := range w {
			fmt.Fprintf(&b, "%s: %.2f,\n", featureNames[f], v)
		}
		b.WriteString("}\n")
		src, err := format.Source(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("weights.go", src, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if _, got := orderObjective(cases, fitPenalty, &orderWeights); best-got > 1e-3 {
		t.Errorf("the weights reach %.4f, a fit reaches %.4f: run go test -run Weights -update", got, best)
	}
}

// orderCase is one text for the fit: the features of random orders, as differences from those of its own order.
type orderCase struct{ diffs [][orderFeatures]float64 }

const fitPermutations = 60

// newOrderCase computes the features of one answer for the fit. It returns false if its order says nothing.
func newOrderCase(d *doc, seed uint64) (orderCase, bool) {
	units := d.units()
	if len(units) < 4 || !ordered(d.form) || d.code {
		return orderCase{}, false
	}
	m := newOrderModel(d, units)
	n := len(units)
	m.first, m.last = make([]float64, n), make([]float64, n)
	m.next, m.skip, m.before = make([]float64, n*n), make([]float64, n*n), make([]float64, n*n)
	type entry struct {
		f int
		v float64
	}
	var first, last, next, skip, before = make([][]entry, n), make([][]entry, n), make([][]entry, n*n),
		make([][]entry, n*n), make([][]entry, n*n)
	m.each(func(slot []float64, f int, v float64, at int) {
		if v == 0 {
			return
		}
		switch &slot[0] {
		case &m.first[0]:
			first[at] = append(first[at], entry{f, v})
		case &m.last[0]:
			last[at] = append(last[at], entry{f, v})
		case &m.next[0]:
			next[at] = append(next[at], entry{f, v})
		case &m.skip[0]:
			skip[at] = append(skip[at], entry{f, v})
		default:
			before[at] = append(before[at], entry{f, v})
		}
	})
	features := func(at []int) (x [orderFeatures]float64) {
		add := func(list []entry) {
			for _, e := range list {
				x[e.f] += e.v
			}
		}
		add(first[at[0]])
		add(last[at[n-1]])
		for k := 1; k < n; k++ {
			add(next[at[k-1]*n+at[k]])
			if k > 1 {
				add(skip[at[k-2]*n+at[k]])
			}
		}
		for k, i := range at {
			for _, j := range at[k+1:] {
				add(before[i*n+j])
			}
		}
		return x
	}
	at := make([]int, n)
	for i := range at {
		at[i] = i
	}
	own := features(at)
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	c := orderCase{}
	for range fitPermutations {
		rng.Shuffle(n, func(i, j int) { at[i], at[j] = at[j], at[i] })
		x := features(at)
		for f := range x {
			x[f] -= own[f]
		}
		c.diffs = append(c.diffs, x)
	}
	return c, true
}

// fitPrior is the value of a weight without evidence. It is positive because every feature is defined so that it is
// evidence for an order.
const fitPrior = 0.4

// fitOrder maximises the mean log-likelihood of the texts' own orders among random ones, minus a quadratic penalty
// that pulls the weights to the prior. No weight is negative.
func fitOrder(cases []orderCase, penalty float64) (w [orderFeatures]float64, objective float64) {
	for f := range w {
		w[f] = fitPrior
	}
	step := 0.5
	g, obj := orderObjective(cases, penalty, &w)
	for range 3000 {
		next := w
		for f := range w {
			next[f] = math.Max(0, next[f]+step*g[f])
		}
		ng, nobj := orderObjective(cases, penalty, &next)
		if nobj < obj {
			if step /= 2; step < 1e-9 {
				break
			}
			continue
		}
		done := nobj-obj < 1e-9
		w, g, obj = next, ng, nobj
		step *= 1.1
		if done {
			break
		}
	}
	return w, obj
}

// orderObjective is the penalised mean log-likelihood and its gradient.
func orderObjective(cases []orderCase, penalty float64, w *[orderFeatures]float64) (g [orderFeatures]float64,
	obj float64) {
	for _, c := range cases {
		z, p := 1.0, make([]float64, len(c.diffs))
		for k := range c.diffs {
			s := 0.0
			for f, v := range &c.diffs[k] {
				s += w[f] * v
			}
			p[k] = math.Exp(math.Min(s, 300))
			z += p[k]
		}
		obj -= math.Log(z)
		for k := range c.diffs {
			for f, v := range &c.diffs[k] {
				g[f] -= p[k] / z * v
			}
		}
	}
	n := float64(len(cases))
	obj /= n
	for f := range g {
		g[f] = g[f]/n - 2*penalty*(w[f]-fitPrior)
		obj -= penalty * (w[f] - fitPrior) * (w[f] - fitPrior)
	}
	return g, obj
}

// featureNames are the constants of cues.go in their order.
var featureNames = [orderFeatures]string{
	"firstAlone", "firstNoun", "firstTopic", "firstAsked", "firstBeginner", "firstHead",
	"firstProse", "firstGiven", "firstPlain", "firstCentral", "firstSetting", "firstWhole",
	"lastBody", "lastOffer", "lastEnded", "lastEver", "nextOverlap", "nextChain",
	"nextChainTail", "nextSubject", "nextPronounNoun", "nextPronounSame", "nextColonItem", "nextItemItem",
	"nextHeadBody", "nextQuestion", "nextQuote", "nextRhyme", "nextRunOn", "nextTime",
	"nextContinue", "nextPointer", "skipRhyme", "beforeColon", "beforeIntro", "beforeQuote",
	"beforeNumber", "beforeTime", "beforeFacet", "beforePoint", "beforeAspect", "beforeCloser",
	"beforeBeginner", "beforeFrame", "beforeIndefinite", "beforeAdditive", "beforeHand", "beforeDefines",
	"beforeModal", "beforeIf", "beforeLate", "beforeName", "beforeCentral", "beforePointer",
}
