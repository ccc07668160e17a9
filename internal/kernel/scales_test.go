package kernel

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

// TestTrialLayout: scales_amd64.s has these offsets.
func TestTrialLayout(t *testing.T) {
	var v quant.Trial
	got := [...]uintptr{unsafe.Offsetof(v.Inv), unsafe.Offsetof(v.Off), unsafe.Offsetof(v.Lo), unsafe.Offsetof(v.Hi), unsafe.Offsetof(v.Q), unsafe.Offsetof(v.QQ), unsafe.Offsetof(v.QX)}
	if want := [...]uintptr{0, 64, 128, 132, 136, 200, 264}; got != want {
		t.Errorf("offsets are %v, want %v", got, want)
	}
}

// TestTryScalesIsTry: the same bits, with NaN, infinities, ties and zeros among the inputs.
func TestTryScalesIsTry(t *testing.T) {
	if NewPacker().Try == nil {
		t.Skip("this machine has the portable function only")
	}
	r := rand.New(rand.NewPCG(1, 2))
	special := []float32{0, float32(math.Copysign(0, -1)), 0.5, -0.5, 1.5, 1e-40, 3e38, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	draw := func(some int) float32 {
		if r.IntN(some) == 0 {
			return special[r.IntN(len(special))]
		}
		return float32(r.NormFloat64())
	}
	for round := range 2000 {
		var a quant.Trial
		for k := range a.Inv {
			a.Inv[k], a.Off[k] = 8*draw(20), 4*draw(20)
		}
		a.Lo, a.Hi = float32(-r.IntN(2)*8), float32(1+r.IntN(31))
		x, w := make([]float32, 1+r.IntN(64)), make([]float32, 64)
		for i := range x {
			x[i], w[i] = draw(50), float32(r.ExpFloat64())
		}
		if round%2 == 0 {
			x[0] = draw(2)
		}
		b := a
		quant.Try(&a, x, w)
		tryScales(&b, x, w)
		for k := range a.Q {
			for _, v := range [][2]float32{{a.Q[k], b.Q[k]}, {a.QQ[k], b.QQ[k]}, {a.QX[k], b.QX[k]}} {
				if math.Float32bits(v[0]) != math.Float32bits(v[1]) && (v[0] == v[0] || v[1] == v[1]) {
					t.Fatalf("round %d, lane %d: %v, want %v", round, k, v[1], v[0])
				}
			}
		}
	}
}

// TestPackersAgree: a file does not depend on the machine that made it.
func TestPackersAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x, importance := randomFloats(r, 4096), make([]float32, 1024)
	for i := range importance {
		importance[i] = float32(r.ExpFloat64())
	}
	for _, typ := range quant.Types() {
		for _, w := range [][]float32{nil, importance} {
			n, err := typ.RowBytes(len(x))
			if err != nil {
				t.Fatal(err)
			}
			a, b := make([]byte, n), make([]byte, n)
			if err := new(quant.Packer).Pack(typ, a, x, w); err != nil {
				t.Fatal(err)
			}
			if err := NewPacker().Pack(typ, b, x, w); err != nil || !bytes.Equal(a, b) {
				t.Errorf("%v: bytes differ, %v", typ, err)
			}
		}
	}
}

func BenchmarkPacker(b *testing.B) {
	x := randomFloats(rand.New(rand.NewPCG(5, 6)), 1<<16)
	for _, typ := range quant.Types() {
		b.Run(typ.String(), func(b *testing.B) {
			p := NewPacker()
			n, _ := typ.RowBytes(len(x))
			dst := make([]byte, n)
			for b.Loop() {
				if err := p.Pack(typ, dst, x, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(x)), "ns/elem")
		})
	}
}
