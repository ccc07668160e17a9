package sample

import (
	"math"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// Prob is a token and the natural logarithm of its probability.
type Prob struct {
	ID      int32
	Logprob float64
}

// Logprobs gives the log-probability of id under the unmodified distribution, softmax(logits), and appends the top
// likeliest tokens to dst, the likeliest first and the lower id first among equals. logits must be finite.
func Logprobs(dst []Prob, w *Scratch, logits []float32, id int32, top int) (float64, []Prob) {
	best, _ := kernel.Highest(logits)
	highest := logits[best]
	w.weigh(logits, nil, highest, 1)
	norm := float64(highest) + math.Log(w.total())
	start := len(dst)
	top = min(top, len(logits))
	for i, v := range logits {
		n := len(dst) - start
		if top == 0 || n == top && float64(v) <= dst[len(dst)-1].Logprob {
			continue
		}
		if n < top {
			dst = append(dst, Prob{})
		}
		at := len(dst) - 1
		for ; at > start && dst[at-1].Logprob < float64(v); at-- {
			dst[at] = dst[at-1]
		}
		dst[at] = Prob{int32(i), float64(v)} // the logit, until all are found
	}
	for i := range dst[start:] {
		dst[start+i].Logprob -= norm
	}
	return float64(logits[id]) - norm, dst
}
