package plan

import (
	"fmt"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
)

// Observed is one request as a client of the server observed it. Times are in seconds of one clock.
type Observed struct {
	Begin, First, Last float64 // sent, first token, last token
	Prompt             int     // tokens that were computed: without those from a cache
	Output             int     // tokens
}

// leastObserved is the least number of requests for a fit, which has up to a dozen unknowns.
const leastObserved = 50

// FitObserved computes the costs of a profile from what clients observed of a server with some replicas, each of which
// gets an equal part of the requests. Clients observe steps as the time between two tokens of a request. On average
// over its answer, that time is
//
//	s = D(n) + c·context + d·prompt + e·prompt context
//
// where n is how many sequences of the replica decoded meanwhile, context the number of positions that they attended
// to together, and prompt the number of tokens of others' prompts that were computed, all per step. D is linear
// between powers of two. All of this is one least-squares problem over the requests, each weighted by its number of
// steps; a cost that would be below 0 is left out. The time that a request takes besides its steps is the rest of its
// time to the first token, for requests that arrived at an idle server. The error matches ErrProfile.
func (p *Profile) FitObserved(observed []Observed, replicas int) error {
	observed = slices.DeleteFunc(slices.Clone(observed), func(s Observed) bool {
		return !(s.First > s.Begin) || s.Last < s.First || s.Prompt < 1 || s.Output < 1
	})
	if len(observed) < leastObserved {
		return fmt.Errorf("%w: %s times and tokens, at least %d are needed", ErrProfile,
			noun.Of(len(observed), "request has", "requests have"), leastObserved)
	}
	if replicas < 1 {
		return fmt.Errorf("%w: %d replicas, at least 1 is needed", ErrProfile, replicas)
	}
	rows := loadsOf(observed, float64(replicas))
	if len(rows) < leastObserved {
		return fmt.Errorf("%w: %s four tokens or more, at least %d are needed", ErrProfile,
			noun.Of(len(rows), "answer has", "answers have"),
			leastObserved)
	}
	knots := knotsOf(rows)
	cost := solve(rows, knots)
	p.PerContext, p.PerPromptContext = cost[len(knots)], cost[len(knots)+2]
	perPrompt := cost[len(knots)+1]
	last := len(knots) - 1
	p.PerRow = 0
	if last > 0 { // another sequence costs its token, like one of a prompt, and its row of logits
		p.PerRow = max((cost[last]-cost[last-1])/(knots[last]-knots[last-1])-perPrompt, 0)
	}
	p.Points = p.Points[:0]
	for i, n := range knots {
		p.Points = append(p.Points, Point{Tokens: int(n), Seconds: max(cost[i]-p.PerRow*n, 1e-9)})
	}
	rising(p.Points)
	end := p.Points[last]
	beyond := Point{Tokens: end.Tokens + beyondKnots, Seconds: end.Seconds + perPrompt*beyondKnots}
	p.Points = append(p.Points, beyond)
	p.PerRequest = p.beside(observed)
	for i := range p.Points {
		p.Points[i].Low, p.Points[i].High = p.Points[i].Seconds, p.Points[i].Seconds
	}
	return p.check()
}

// beyondKnots is how many tokens the last point is beyond the maximum number of sequences: a chunk of a prompt.
const beyondKnots = 512

// load is the average work of a replica while a request got its tokens.
type load struct {
	seconds       float64 // between two tokens
	weight        float64 // number of steps
	n, context    float64
	prompt        float64 // tokens of others' prompts per step
	promptContext float64
}

// loadsOf returns the load during each answer.
func loadsOf(observed []Observed, replicas float64) []load {
	type change struct{ at, n, context float64 }
	var changes []change
	firsts := slices.Clone(observed)
	slices.SortFunc(firsts, func(a, b Observed) int { return compare(a.First, b.First) })
	prompts, contexts := []float64{0}, []float64{0}
	for _, s := range firsts {
		n := float64(s.Prompt)
		prompts = append(prompts, prompts[len(prompts)-1]+n)
		contexts = append(contexts, contexts[len(contexts)-1]+n*(n+1)/2)
	}
	for _, s := range observed {
		context := float64(s.Prompt) + float64(s.Output)/2
		changes = append(changes, change{s.First, 1, context}, change{s.Last, -1, -context})
	}
	slices.SortFunc(changes, func(a, b change) int { return compare(a.at, b.at) })
	times, areaN, areaC := make([]float64, len(changes)), make([]float64, len(changes)), make([]float64, len(changes))
	var n, context float64
	for i, c := range changes {
		times[i] = c.at
		if i > 0 {
			areaN[i] = areaN[i-1] + n*(c.at-times[i-1])
			areaC[i] = areaC[i-1] + context*(c.at-times[i-1])
		}
		n, context = n+c.n, context+c.context
	}
	at := func(t float64) int { i, _ := slices.BinarySearch(times, t); return i }
	came := func(t float64) int {
		i, _ := slices.BinarySearchFunc(firsts, t, func(s Observed, t float64) int {
			if s.First <= t {
				return -1
			}
			return 1
		})
		return i
	}
	var out []load
	for _, s := range observed {
		span := s.Last - s.First
		if s.Output < 4 || span <= 0 {
			continue
		}
		steps := float64(s.Output - 1)
		a, b := at(s.First), at(s.Last)
		from, to := came(s.First), came(s.Last)
		out = append(out, load{seconds: span / steps, weight: steps,
			n:             1 + ((areaN[b]-areaN[a])/span-1)/replicas, // some of the others are on the same replica
			context:       s.context() + ((areaC[b]-areaC[a])/span-s.context())/replicas,
			prompt:        (prompts[to] - prompts[from]) / steps / replicas,
			promptContext: (contexts[to] - contexts[from]) / steps / replicas})
	}
	return out
}

func (s Observed) context() float64 { return float64(s.Prompt) + float64(s.Output)/2 }

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// knotsOf returns the numbers of sequences between which the time of a step is linear: powers of two, with some
// answers between each two of them.
func knotsOf(rows []load) []float64 {
	const least = 10
	counts := slices.Sorted(func(yield func(float64) bool) {
		for _, r := range rows {
			if !yield(r.n) {
				return
			}
		}
	})
	most := counts[len(counts)-1-len(counts)/100] // one in a hundred may be above it
	knots := []float64{1}
	for n := 2.; n < 2*most; n *= 2 {
		from, _ := slices.BinarySearch(counts, knots[len(knots)-1])
		to, _ := slices.BinarySearch(counts, n)
		if to-from >= least {
			knots = append(knots, n)
		}
	}
	return knots
}

// solve finds the costs: D at each knot, and the costs of a position in decoding, of a token of a prompt and of a
// position in a prompt.
func solve(rows []load, knots []float64) []float64 {
	size := len(knots) + 3
	used := make([]bool, size)
	for i := range used {
		used[i] = true
	}
	x := make([]float64, size)
	for range size {
		x = leastSquares(rows, knots, used)
		worst, at := 0.0, -1
		for i := len(knots); i < size; i++ {
			if x[i] < worst {
				worst, at = x[i], i
			}
		}
		if at < 0 {
			break
		}
		used[at] = false
	}
	return x
}

// terms writes a load as the factors of the costs.
func (r *load) terms(knots []float64, into []float64) {
	clear(into)
	i, _ := slices.BinarySearch(knots, r.n)
	switch i = min(max(i, 1), len(knots)-1); {
	case len(knots) == 1:
		into[0] = 1
	default: // the nearest line continues beyond the ends
		f := (r.n - knots[i-1]) / (knots[i] - knots[i-1])
		into[i-1], into[i] = 1-f, f
	}
	k := len(knots)
	into[k], into[k+1], into[k+2] = r.context, r.prompt, r.promptContext
}

// leastSquares solves the normal equations by elimination. Each unknown is scaled to the size of its factors, and a
// little is added to the diagonal, so that a factor with little variation does no harm.
func leastSquares(rows []load, knots []float64, used []bool) []float64 {
	size := len(used)
	scale, term := make([]float64, size), make([]float64, size)
	for _, r := range rows {
		r.terms(knots, term)
		for i, v := range term {
			scale[i] += r.weight * v * v
		}
	}
	for i := range scale {
		scale[i] = math.Sqrt(scale[i])
		used[i] = used[i] && scale[i] > 0
	}
	a := make([][]float64, size)
	for i := range a {
		a[i] = make([]float64, size+1)
	}
	for _, r := range rows {
		r.terms(knots, term)
		for i := range size {
			if !used[i] {
				continue
			}
			for k := range size {
				if used[k] {
					a[i][k] += r.weight * term[i] / scale[i] * term[k] / scale[k]
				}
			}
			a[i][size] += r.weight * term[i] / scale[i] * r.seconds
		}
	}
	for i := range size {
		a[i][i] += 1e-9
	}
	eliminate(a)
	out := make([]float64, size)
	for i := range out {
		if used[i] {
			out[i] = a[i][size] / scale[i]
		}
	}
	return out
}

// eliminate solves the equations of an augmented matrix by Gauss-Jordan elimination, with the largest pivot in each
// column.
func eliminate(a [][]float64) {
	n := len(a)
	for c := range n {
		best := c
		for r := c + 1; r < n; r++ {
			if math.Abs(a[r][c]) > math.Abs(a[best][c]) {
				best = r
			}
		}
		a[c], a[best] = a[best], a[c]
		for k := n; k >= c; k-- {
			a[c][k] /= a[c][c]
		}
		for r := range n {
			if f := a[r][c]; r != c && f != 0 {
				for k := c; k <= n; k++ {
					a[r][k] -= f * a[c][k]
				}
			}
		}
	}
}

// beside returns the time that a request takes besides its steps: the median of the rest of the time to the first
// token for requests that found the server idle, or of the shortest tenth if it was never idle.
func (p *Profile) beside(observed []Observed) float64 {
	byBegin := slices.Clone(observed)
	slices.SortFunc(byBegin, func(a, b Observed) int { return compare(a.Begin, b.Begin) })
	var quiet, all []float64
	busy := math.Inf(-1) // end of the last request so far
	for i, s := range byBegin {
		step, _ := p.Step(Step{Prompt: s.Prompt, Rows: 1, PromptContext: int64(s.Prompt) * int64(s.Prompt+1) / 2})
		left := s.First - s.Begin - step
		all = append(all, left)
		if s.Begin >= busy && (i+1 == len(byBegin) || byBegin[i+1].Begin >= s.First) {
			quiet = append(quiet, left)
		}
		busy = max(busy, s.Last)
	}
	const enough = 5
	if len(quiet) < enough {
		slices.Sort(all)
		quiet = all[:max(len(all)/10, 1)]
	}
	return max(stats.Median(quiet), 0)
}
