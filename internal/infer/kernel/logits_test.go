package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHighest(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(8, 8))
		for _, n := range lengths[1:] {
			x := randomFloats(r, n)
			for range 20 {
				i := r.IntN(n)
				x[i] = 100
				if got, finite := Highest(x); got != i || !finite {
					t.Fatalf("%d elements: %d, %v; want %d", n, got, finite, i)
				}
				j := r.IntN(n)
				x[j] = 100
				if got, _ := Highest(x); got != min(i, j) {
					t.Fatalf("%d elements, the same at %d and %d: %d", n, i, j, got)
				}
				for _, bad := range []float32{inf, -inf, nan, -nan} {
					x[j] = bad
					if _, finite := Highest(x); finite {
						t.Fatalf("%d elements: %v at %d is said to be finite", n, bad, j)
					}
				}
				x[i], x[j] = -1, -1
			}
			for i := range x {
				x[i] = -math.MaxFloat32
			}
			if got, finite := Highest(x); got != 0 || !finite {
				t.Fatalf("%d of the lowest number: %d, %v", n, got, finite)
			}
		}
	})
}

func TestExpScaled(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 9))
		for _, n := range lengths {
			x, got := make([]float32, n), make([]float32, n+1)
			for _, factor := range []float32{0, 0.1, 1, 10, math.MaxFloat32} {
				const top = 3
				for i := range x {
					x[i] = top - float32(r.ExpFloat64())*20
				}
				if n > 0 {
					x[r.IntN(n)] = top
				}
				got[n] = 7
				ExpScaled(got[:n], x, top, factor)
				for i, v := range x {
					exponent := float64(v-top) * float64(factor)
					want := math.Exp(exponent)
					if bound := (3e-7 +
						0x1p-23*math.Abs(exponent)) * want; !(math.Abs(float64(got[i])-want) <= bound+2e-38) {
						t.Fatalf("%d elements, factor %v: e^%v is %v, want %v", n, factor, exponent, got[i], want)
					}
				}
				if got[n] != 7 {
					t.Fatalf("%d elements: written beyond", n)
				}
				if ExpScaled(x, x, top, factor); !slices.Equal(x, got[:n]) {
					t.Fatalf("%d elements, factor %v: differs in place", n, factor)
				}
			}
		}
	})
}

// Bits beyond x, whole and empty words, and what lies behind dst.
func TestGather(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(10, 10))
		for _, n := range lengths {
			for words := range (n+63)/64 + 2 {
				x, set := randomFloats(r, n), make([]uint64, words)
				for i := range set {
					few := r.Uint64() & r.Uint64() & r.Uint64()
					set[i] = []uint64{0, 1, math.MaxUint64, r.Uint64(), few}[r.IntN(5)]
				}
				var want []float32
				for i, v := range x {
					if i/64 < len(set) && set[i/64]>>(i%64)&1 == 1 {
						want = append(want, v)
					}
				}
				got := make([]float32, n+1)
				got[n] = 7
				k := Gather(got[:n], x, set)
				if !slices.Equal(got[:k], want) {
					t.Fatalf("%d elements, set %x: %v, want %v", n, set, got[:k], want)
				}
				if got[n] != 7 {
					t.Fatalf("%d elements: written beyond", n)
				}
			}
		}
	})
}

// Sums are the same bits in each tier, and close to exact ones.
func TestBlockSums(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 11))
		for _, n := range lengths {
			x := make([]float32, n)
			for i := range x {
				x[i] = float32(r.ExpFloat64())
			}
			blocks := (n + SumBlock - 1) / SumBlock
			got, want := make([]float32, blocks+1), make([]float32, blocks)
			got[blocks] = 7
			BlockSums(got[:blocks], x)
			blockSumsGeneric(want, x)
			for i, v := range want {
				exact := 0.
				for _, e := range x[SumBlock*i : min(SumBlock*i+SumBlock, n)] {
					exact += float64(e)
				}
				if got[i] != v || math.Abs(float64(v)-exact) > 1e-6*exact {
					t.Fatalf("%d elements, block %d: %v, portable code gives %v, exact is %v", n, i, got[i], v, exact)
				}
			}
			if got[blocks] != 7 {
				t.Fatalf("%d elements: written beyond", n)
			}
		}
	})
}
