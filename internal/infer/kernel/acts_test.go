package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestQuantiseTiersAgree: every tier writes the same bytes, for random values and awkward ones.
func TestQuantiseTiersAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	x := randomFloats(r, 16*superLen)
	for i := range superLen { // ties: multiples of half a step
		x[i] = float32(r.IntN(255)-127) / 2
	}
	x[0] = 127
	clear(x[superLen : 2*superLen])
	for i := 2 * superLen; i < 3*superLen; i++ {
		x[i] *= 1e-33 // below the smallest step
	}
	for i := 3 * superLen; i < 4*superLen; i++ {
		x[i] *= 1e38
	}
	x[4*superLen+3], x[5*superLen+77], x[6*superLen+255] = nan, inf, -inf
	for _, c := range []struct {
		name  string
		block int
		bytes int
		f     func([]byte, []float32)
		want  func([]byte, []float32)
	}{{"32", 32, act32Block, func(b []byte, x []float32) { active.quantise32(b, x) }, quantise32Generic},
		{"16", 32, act16Block, func(b []byte, x []float32) { active.quantise16(b, x) }, quantise16Generic},
		{"256", superLen, act256Block, func(b []byte, x []float32) { active.quantise256(b, x) }, quantise256Generic}} {
		want := make([]byte, len(x)/c.block*c.bytes)
		c.want(want, x)
		eachTier(t, func(t *testing.T) {
			for n := 0; n <= len(x); n += 5 * superLen {
				got := make([]byte, len(want))
				c.f(got, x[:n])
				for i := range n / c.block * c.bytes {
					if got[i] != want[i] {
						t.Fatalf("blocks of %s: byte %d of block %d is %#x, want %#x", c.name, i%c.bytes, i/c.bytes,
							got[i], want[i])
					}
				}
			}
		})
	}
}

func TestSetPanicsOnCutBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	p := newProduct(t, r, quant.Q4_K, 32, 512, 1, randomFloats)
	if p.acts.Align() != superLen {
		t.Fatalf("Align is %d", p.acts.Align())
	}
	defer func() {
		if recover() == nil {
			t.Error("Set took 32 elements of a super-block")
		}
	}()
	p.acts.Set(0, 32, make([]float32, 32))
}
