package sample

import (
	"math"
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

// draw takes a token at random. top is the highest logit.
func (s *Sampler) draw(w *Scratch, logits []float32, top float32) int32 {
	weights := w.weigh(logits, top, 1/s.p.Temperature)
	u := rand.New(&s.rng).Float64()
	byK, byP := s.p.TopK > 0 && s.p.TopK < len(weights), s.p.TopP > 0 && s.p.TopP < 1
	if s.p.MinP <= 0 && !byK && !byP {
		return pick(weights, u*total(weights))
	}
	least, all := s.p.MinP, 0.
	if byP && !byK && least <= 0 {
		// All tokens that are less likely than a share (1 − TopP)/n are together less likely than 1 − TopP, so that
		// the others reach TopP without them.
		all = total(weights)
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

// weigh gives exp((logit − top) · factor) of every id.
func (w *Scratch) weigh(logits []float32, top float32, factor float64) []float32 {
	if cap(w.weights) < len(logits) {
		w.weights = make([]float32, len(logits))
	}
	w.weights = w.weights[:len(logits)]
	kernel.ExpScaled(w.weights, logits, top, float32(min(factor, math.MaxFloat32)))
	return w.weights
}

// sumBlock is how many weights are added as float32 before the sum goes on as float64: their error is some 10⁻⁷.
const sumBlock = 64

// blockSum adds up to sumBlock weights, in an order that lets a processor do several at a time.
func blockSum(w []float32) float64 {
	var a, b, c, d float32
	i := 0
	for ; i+4 <= len(w); i += 4 {
		x := (*[4]float32)(w[i:])
		a, b, c, d = a+x[0], b+x[1], c+x[2], d+x[3]
	}
	for ; i < len(w); i++ {
		a += w[i]
	}
	return float64((a + b) + (c + d))
}

func total(weights []float32) (t float64) {
	for i := 0; i < len(weights); i += sumBlock {
		t += blockSum(weights[i:min(i+sumBlock, len(weights))])
	}
	return t
}

// pick gives the first id up to which the weights are more than at: whole blocks are passed over.
func pick(weights []float32, at float64) int32 {
	for i := 0; i < len(weights); i += sumBlock {
		block := weights[i:min(i+sumBlock, len(weights))]
		if s := blockSum(block); at >= s {
			at -= s
			continue
		}
		for j, x := range block {
			if at -= float64(x); at < 0 {
				return int32(i + j)
			}
		}
	}
	last := len(weights) - 1 // rounding left a crumb
	for weights[last] == 0 {
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
