package sample

import (
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// candidate is a token that may be drawn.
type candidate struct {
	weight float64 // its probability, up to a common factor; the likeliest has 1
	id     int32
}

// before is the order of likelihood, the lower id first among equals: a total order, so that what is kept is one
// certain set.
func (c candidate) before(d candidate) bool {
	return c.weight > d.weight || c.weight == d.weight && c.id < d.id
}

// draw takes a token at random. allowed are the ids that may be drawn, nil for all, and top is the highest logit of
// these.
func (s *Sampler) draw(w *Scratch, logits []float32, allowed []uint64, top float32) int32 {
	weights := w.weigh(logits, allowed, top, 1/s.p.Temperature)
	u := rand.New(&s.rng).Float64()
	byK, byP := s.p.TopK > 0 && s.p.TopK < len(weights), s.p.TopP > 0 && s.p.TopP < 1
	if s.p.MinP <= 0 && !byK && !byP {
		return w.pick(u * w.total())
	}
	least, all := s.p.MinP, 0.
	if byP && !byK && least <= 0 {
		// All tokens that are less likely than a share (1 − TopP)/n are together less likely than 1 − TopP, so that
		// the others reach TopP without them.
		all = w.total()
		least = (1 - s.p.TopP) * (1 - 1e-6) * all / float64(len(weights))
	}
	c := w.atLeast(weights, least)
	if byK && s.p.TopK < len(c) {
		c = topK(c, s.p.TopK)
	}
	if byP {
		if all == 0 {
			all = sum(c)
		}
		c = topP(c, s.p.TopP*all)
	}
	at := u * sum(c)
	for _, x := range c {
		if at -= x.weight; at < 0 {
			return x.id
		}
	}
	return c[len(c)-1].id // rounding left a crumb
}

// atLeast gives the ids whose weights are not less than least, nor zero.
func (w *Scratch) atLeast(weights []float32, least float64) []candidate {
	bound := max(float32(least), math.SmallestNonzeroFloat32)
	if float64(bound) < least {
		bound = math.Nextafter32(bound, 2)
	}
	c := w.candidates[:0]
	for id, v := range weights {
		if v >= bound {
			c = append(c, candidate{float64(v), int32(id)})
		}
	}
	w.candidates = c
	return c
}

// weigh gives exp((logit − top) · factor) of every id, 0 where it is not allowed; nil allows all.
func (w *Scratch) weigh(logits []float32, allowed []uint64, top float32, factor float64) []float32 {
	w.weights = sized(w.weights, len(logits))
	kernel.ExpScaled(w.weights, logits, top, float32(min(factor, math.MaxFloat32)))
	if allowed != nil {
		w.clear(allowed)
	}
	return w.weights
}

// clear sets the weights to 0 that are not allowed.
func (w *Scratch) clear(allowed []uint64) {
	for i, word := range allowed {
		for word = ^word; word != 0; word &= word - 1 {
			id := 64*i + bits.TrailingZeros64(word)
			if id >= len(w.weights) {
				return
			}
			w.weights[id] = 0
		}
	}
	clear(w.weights[min(64*len(allowed), len(w.weights)):])
}

// total adds all weights: blocks as float32, these as float64.
func (w *Scratch) total() (t float64) {
	w.sums = sized(w.sums, (len(w.weights)+kernel.SumBlock-1)/kernel.SumBlock)
	kernel.BlockSums(w.sums, w.weights)
	for _, s := range w.sums {
		t += float64(s)
	}
	return t
}

// pick gives the first id up to which the weights are more than at: whole blocks are passed over. It comes behind
// total.
func (w *Scratch) pick(at float64) int32 {
	for i, s := range w.sums {
		if at >= float64(s) {
			at -= float64(s)
			continue
		}
		first := i * kernel.SumBlock
		for j, x := range w.weights[first:min(first+kernel.SumBlock, len(w.weights))] {
			if at -= float64(x); at < 0 {
				return int32(first + j)
			}
		}
	}
	last := len(w.weights) - 1 // rounding left a crumb
	for w.weights[last] == 0 {
		last--
	}
	return int32(last)
}

func sum(c []candidate) float64 {
	var s float64
	for _, x := range c {
		s += x.weight
	}
	return s
}

// topK keeps the k likeliest, in no order, in linear expected time.
func topK(c []candidate, k int) []candidate {
	for lo, hi := 0, len(c); hi-lo > 1; {
		p := lo + partition(c[lo:hi])
		switch {
		case p == k:
			return c[:k]
		case p > k:
			hi = p
		default:
			lo = p + 1
		}
	}
	return c[:k]
}

// topP keeps the likeliest whose weights reach need: the last one kept crosses it. Linear expected time.
func topP(c []candidate, need float64) []candidate {
	lo, hi := 0, len(c)
	for lo < hi {
		at := lo + partition(c[lo:hi])
		if before := sum(c[lo:at]); before >= need {
			hi = at
		} else if need -= before + c[at].weight; need <= 0 {
			return c[:at+1]
		} else {
			lo = at + 1
		}
	}
	return c[:max(lo, 1)]
}

// partition moves what comes before some pivot to its left and the rest to its right, and gives the pivot's place.
func partition(c []candidate) int {
	last := len(c) - 1
	mid := last / 2
	// The median of three as pivot, at the end.
	if c[mid].before(c[0]) {
		c[mid], c[0] = c[0], c[mid]
	}
	if c[last].before(c[0]) {
		c[last], c[0] = c[0], c[last]
	}
	if c[mid].before(c[last]) {
		c[mid], c[last] = c[last], c[mid]
	}
	pivot, at := c[last], 0
	for i := range last {
		if c[i].before(pivot) {
			c[i], c[at] = c[at], c[i]
			at++
		}
	}
	c[at], c[last] = c[last], c[at]
	return at
}
