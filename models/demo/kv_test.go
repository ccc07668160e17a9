package demo_test

import (
	"math"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// distances are how far two models' logits are apart, over many positions of the same text.
type distances struct {
	positions, same     int     // of which the likeliest token is the same
	logits, squares     float64 // Σ |Δ|, Σ Δ²
	norm, count, excess float64 // Σ of the first one's squares, elements; Σ of the second's loss beyond the first's
}

func (d *distances) add(a, b []float32, next int32) {
	pa, pb := logSoftmax(a), logSoftmax(b)
	for i := range pa {
		d.logits += math.Abs(float64(a[i] - b[i]))
		d.squares += (float64(a[i]) - float64(b[i])) * (float64(a[i]) - float64(b[i]))
		d.norm += float64(a[i]) * float64(a[i])
		d.count++
	}
	d.excess += pa[next] - pb[next]
	d.positions++
	if greedy(a) == greedy(b) {
		d.same++
	}
}

func logSoftmax(row []float32) []float64 {
	top := float64(slices.Max(row))
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(v) - top)
	}
	log := math.Log(sum)
	p := make([]float64, len(row))
	for i, v := range row {
		p[i] = float64(v) - top - log
	}
	return p
}

// TestKeysAndValuesInBytes compares the model with its KV cache in q8_0 to that in f16 on held-out conversations,
// token by token, and on its own answers: what 8-bit keys and values cost a trained model.
func TestKeysAndValuesInBytes(t *testing.T) {
	half := load(t)
	bytes := *half
	bytes.kv = kvcache.NewStorage(half.model.Config().KVLayout(quant.KVQ8, room/kernel.BlockTokens), nil)
	const answers = 20
	var d distances
	same := 0
	for i, s := range readVectors(t).Sequences[:100] {
		if i < answers {
			a, _ := half.answer(t, s.Prompt, greedy)
			b, _ := bytes.answer(t, s.Prompt, greedy)
			if a == b {
				same++
			}
		}
		var rows [][]float32
		for _, row := range half.forward(t, s.Tokens, 0, len(s.Tokens)) {
			rows = append(rows, slices.Clone(row))
		}
		for i, row := range bytes.forward(t, s.Tokens, 0, len(s.Tokens))[:len(rows)-1] {
			d.add(rows[i], row, s.Tokens[i+1])
		}
	}
	n := float64(d.positions)
	rms, agree, excess := math.Sqrt(d.squares/d.norm), float64(d.same)/n, d.excess/n
	t.Logf("%d positions: mean |Δlogit| %.4f, relative rms %.4f, same greedy token %.2f %%, loss %+.5f nats a "+
		"token; %d of %d greedy answers the same",
		d.positions, d.logits/d.count, rms, 100*agree, excess, same, answers)
	if rms == 0 {
		t.Fatal("nothing was compared")
	}
	if rms > 0.05 || agree < 0.97 || math.Abs(excess) > 0.01 {
		t.Error("8-bit keys and values cost more than rounding should")
	}
}
