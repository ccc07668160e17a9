package sample

import (
	"math"
	"math/rand/v2"
)

// candidate is a token that may be drawn.
type candidate struct {
	weight float64 // its probability, up to a common factor; the likeliest has 1
	id     int32
}

// before is the order of likelihood, the lower id first among equals: a total order, so that what is kept is one certain
// set.
func (c candidate) before(d candidate) bool {
	return c.weight > d.weight || c.weight == d.weight && c.id < d.id
}

// negligible is the exponent below which a weight cannot change a draw: e^−36.1 < 2⁻⁵², the last bit of a sum ≥ 1.
const negligible = -36.1

// draw takes a token at random. top is the highest logit.
func (s *Sampler) draw(w *Scratch, logits []float32, top float32) int32 {
	inverse := 1 / s.p.Temperature
	c := w.candidates[:0]
	// exp is the cost of a draw. Most tokens need none, where min-p says so or they are negligible.
	least := negligible
	if s.p.MinP > 0 {
		least = max(least, math.Log(s.p.MinP)*(1+1e-12)-1e-12) // a little lower: the exact comparison is below
	}
	for id, v := range logits {
		x := float64(v-top) * inverse
		if !(x >= least) {
			continue
		}
		if weight := math.Exp(x); weight >= s.p.MinP {
			c = append(c, candidate{weight, int32(id)})
		}
	}
	w.candidates = c
	if k := s.p.TopK; k > 0 && k < len(c) {
		c = topK(c, k)
	}
	if p := s.p.TopP; p > 0 && p < 1 {
		c = topP(c, p)
	}
	at := rand.New(&s.rng).Float64() * sum(c)
	for _, x := range c {
		if at -= x.weight; at < 0 {
			return x.id
		}
	}
	return c[len(c)-1].id // rounding left a crumb
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

// topP keeps the likeliest whose weights reach the share p of all: the last one kept crosses it. Linear expected time.
func topP(c []candidate, p float64) []candidate {
	need := p * sum(c) // still, of the weights from lo on
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
