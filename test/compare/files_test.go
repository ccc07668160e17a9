package compare

import (
	"math"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// prompt is plain prose: any ids would do, but these repeat like text does.
const prompt = "The model answers every question that people ask about the country, the city and the sea. " +
	"Then they write it down and think about what comes next, because it may change again."

// nano is a model with every part of the real one that takes llama.cpp a second.
func nano(typ quant.Type, calm bool) synth.Shape {
	s := synth.Nano()
	s.Type, s.Calm = typ, calm
	s.FFN = 1024 // rows of K formats are whole blocks of 256
	return s
}

// likeness says how far logits b are from a.
type likeness struct {
	rms    float64 // ‖a − b‖ / ‖a‖ over all rows
	argmax float64 // share of rows with the same highest logit
}

func compareRows(t *testing.T, a, b [][]float32) likeness {
	t.Helper()
	if len(a) != len(b) || len(a) == 0 {
		t.Fatalf("%d and %d rows of logits", len(a), len(b))
	}
	var diff, norm float64
	same := 0
	for i := range a {
		if len(a[i]) != len(b[i]) {
			t.Fatalf("row %d has %d and %d logits", i, len(a[i]), len(b[i]))
		}
		for j := range a[i] {
			d := float64(a[i][j]) - float64(b[i][j])
			diff += d * d
			norm += float64(a[i][j]) * float64(a[i][j])
		}
		if best(a[i]) == best(b[i]) {
			same++
		}
	}
	l := likeness{math.Sqrt(diff / norm), float64(same) / float64(len(a))}
	if math.IsNaN(l.rms) || norm == 0 {
		t.Fatalf("logits are not finite, or all zero")
	}
	return l
}

// best gives the index of the highest value, the lowest among equals.
func best(row []float32) int {
	k := 0
	for i, v := range row {
		if v > row[k] {
			k = i
		}
	}
	return k
}

// TestFilesInLlamaCpp: llama.cpp loads what package synth writes and computes nearly the same model from each format.
// The bounds are about twice what llama.cpp itself loses by the format (3.7e-4, 1.0e-2, 2.8e-2, 5.8e-2, 0.11 and 0.12
// seen); a wrong block order or scale gives about 1.4, two unrelated vectors.
func TestFilesInLlamaCpp(t *testing.T) {
	reference := writeModel(t, nano(quant.F32, true))
	tokens := readTokenizer(t, reference).Encode(prompt, true)
	want := startOracle(t, reference).logits(t, tokens)
	for _, test := range []struct {
		typ quant.Type
		rms float64
	}{{quant.F16, 1e-3}, {quant.Q8_0, 2e-2}, {quant.Q6_K, 6e-2}, {quant.Q5_K, 0.12}, {quant.Q4_K, 0.22},
		{quant.Q4_0, 0.24}} {
		t.Run(test.typ.String(), func(t *testing.T) {
			got := startOracle(t, writeModel(t, nano(test.typ, true))).logits(t, tokens)
			l := compareRows(t, want, got)
			t.Logf("llama.cpp, calm nano %s against F32: relative rms %.2g, argmax agreement %.0f %%", test.typ,
				l.rms, 100*l.argmax)
			if l.rms > test.rms {
				t.Errorf("relative rms %.3g, want at most %.3g", l.rms, test.rms)
			}
		})
	}
}
