package moe

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// seen is what an observer was shown: sums of squares and numbers of rows, by input.
type seen map[string]*squares

type squares struct {
	rows int
	sums []float64
}

func (s seen) add(layer int, in Input, expert int, row []float64) {
	key := fmt.Sprint(layer, " ", in, " ", expert)
	if s[key] == nil {
		s[key] = &squares{sums: make([]float64, len(row))}
	}
	s[key].rows++
	for i, v := range row {
		s[key].sums[i] += v * v
	}
}

func (s seen) observe(layer int, in Input, expert int, rows [][]float32) {
	for _, row := range rows {
		wide := make([]float64, len(row))
		for i, v := range row {
			wide[i] = float64(v)
		}
		s.add(layer, in, expert, wide)
	}
}

// referenceInputs are what the reference multiplies in TestObserveLikeReference, by the weights' format. TestMain runs
// the test on each tier.
var referenceInputs = map[quant.Type]seen{}

// TestObserveLikeReference: the observer is shown the inputs that the equations give, each as often as it is
// multiplied; in batches and token by token, however many workers there are.
func TestObserveLikeReference(t *testing.T) {
	for _, typ := range []quant.Type{quant.F32, quant.Q8_0, quant.Q4_K} {
		f := makeFile(t, shape(typ))
		tokens := randomTokens(1, 40, shape(typ).Vocab)
		want := referenceInputs[typ] // no tier changes them
		if want == nil {
			want = seen{}
			ref := newReference(t, f)
			ref.see = want.add
			for _, id := range tokens {
				ref.next(id)
			}
			referenceInputs[typ] = want
		}
		var first seen
		for _, c := range []struct{ workers, span int }{{1, 40}, {3, 40}, {2, 1}} {
			m, got := load(t, f, c.workers), seen{}
			m.Observe(got.observe)
			s := newSession(t, m, len(tokens))
			for part := range slices.Chunk(tokens, c.span) {
				s.feed(part)
			}
			if len(got) != len(want) {
				t.Errorf("%v: %d inputs were shown, want %d", typ, len(got), len(want))
			}
			for key, w := range want {
				g := got[key]
				if g == nil || g.rows != w.rows {
					t.Errorf("%v, %d workers, spans of %d: input %s: %+v, want %d rows", typ, c.workers, c.span, key,
						g, w.rows)
					continue
				}
				// Weights are rounded alike on both sides; what differs is what the kernels round activations to.
				if d := distance(g.sums, w.sums); d > 0.02 {
					t.Errorf("%v, %d workers, spans of %d: sums of input %s are %.2g away", typ, c.workers, c.span,
						key, d)
				}
				if first != nil && !slices.Equal(g.sums, first[key].sums) {
					t.Errorf("%v, %d workers, spans of %d: sums of input %s depend on them", typ, c.workers, c.span,
						key)
				}
			}
			if first == nil {
				first = got
			}
			m.Observe(nil)
			before := first["0 0 0"].rows
			newSession(t, m, len(tokens)).feed(tokens)
			if first["0 0 0"].rows != before {
				t.Error("an observer that was taken off is still shown rows")
			}
		}
	}
}

// distance is the relative distance of two vectors.
func distance(a, b []float64) float64 {
	var d, n float64
	for i := range a {
		d += (a[i] - b[i]) * (a[i] - b[i])
		n += b[i] * b[i]
	}
	return math.Sqrt(d / n)
}

// TestObserverMayPanic: it ends the pass, not the process, and the model goes on.
func TestObserverMayPanic(t *testing.T) {
	m := load(t, makeFile(t, shape(quant.Q8_0)), 2)
	tokens := randomTokens(1, 20, m.cfg.Vocab)
	want := newSession(t, m, len(tokens)).feed(tokens)
	m.Observe(func(int, Input, int, [][]float32) { panic("no") })
	s := newSession(t, m, len(tokens))
	if _, err := m.Forward(s.kv, []Span{{Tokens: tokens, Blocks: s.blocks, Logits: 1}}); err == nil {
		t.Error("no error")
	}
	m.Observe(nil)
	if got := newSession(t, m, len(tokens)).feed(tokens); !slices.EqualFunc(got, want, slices.Equal) {
		t.Error("the model computes something else afterwards")
	}
}
