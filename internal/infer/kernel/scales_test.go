package kernel

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestTrialLayout: scales_amd64.s has these offsets.
func TestTrialLayout(t *testing.T) {
	var v quant.Trial
	got := [...]uintptr{unsafe.Offsetof(v.Inv), unsafe.Offsetof(v.Off), unsafe.Offsetof(v.Lo), unsafe.Offsetof(v.Hi),
		unsafe.Offsetof(v.Q), unsafe.Offsetof(v.QQ), unsafe.Offsetof(v.QX)}
	if want := [...]uintptr{0, 32, 64, 68, 72, 104, 136}; got != want {
		t.Errorf("offsets are %v, want %v", got, want)
	}
}

// TestTryScalesIsTry: the same bits, with NaN, infinities, ties and zeros among the inputs.
func TestTryScalesIsTry(t *testing.T) {
	search := bestTier().search
	if search == nil {
		t.Skip("this machine has the portable functions only")
	}
	r := rand.New(rand.NewPCG(1, 2))
	special := []float32{0, float32(math.Copysign(0, -1)), 0.5, -0.5, 1.5, 1e-40, 3e38, float32(math.Inf(1)),
		float32(math.Inf(-1)), float32(math.NaN())}
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
		if round%3 == 0 {
			w = nil
		}
		b := a
		quant.Portable{}.Try(&a, x, w)
		search.Try(&b, x, w)
		if i, j := (quant.Portable{}).Best(&a), search.Best(&b); i != j {
			t.Fatalf("round %d: lane %d is best, want %d: %v over %v", round, j, i, a.QX, a.QQ)
		}
		for k := range a.Q {
			for _, v := range [][2]float32{{a.Q[k], b.Q[k]}, {a.QQ[k], b.QQ[k]}, {a.QX[k], b.QX[k]}} {
				if math.Float32bits(v[0]) != math.Float32bits(v[1]) && (v[0] == v[0] || v[1] == v[1]) {
					t.Fatalf("round %d, lane %d: %v, want %v", round, k, v[1], v[0])
				}
			}
		}
	}
}

// TestScalesArePortable: the other loops of packing, on every length of whole vectors, with ties among magnitudes and
// halves among codes.
func TestScalesArePortable(t *testing.T) {
	search := bestTier().search
	if search == nil {
		t.Skip("this machine has the portable functions only")
	}
	r := rand.New(rand.NewPCG(7, 8))
	for n := 8; n <= 264; n += 8 {
		x := randomFloats(r, n)
		x[r.IntN(n)], x[r.IntN(n)] = 4, -4
		if n%16 == 0 {
			clear(x)
		}
		if a, b := (quant.Portable{}).Extreme(x),
			search.Extreme(x); math.Float32bits(a) != math.Float32bits(b) {
			t.Errorf("%d: extreme %v, want %v", n, b, a)
		}
		a, b := make([]float32, n), make([]float32, n)
		quant.Portable{}.Scale(a, x, 0.37)
		search.Scale(b, x, 0.37)
		if i, ok := sameBits(a, b); !ok {
			t.Errorf("%d: scaled element %d is %v, want %v", n, i, b[i], a[i])
		}
		for i := range x {
			x[i] = float32(r.IntN(200)-100) / 16
		}
		c, d := make([]byte, n), make([]byte, n)
		most := int32(1<<r.IntN(9) - 1)
		quant.Portable{}.Code(c, x, 8, float32(most+1)/2, most)
		search.Code(d, x, 8, float32(most+1)/2, most)
		if !bytes.Equal(c, d) {
			t.Errorf("%d: codes %v, want %v", n, d, c)
		}
	}
}

// TestDifference: on every tier, for lengths that are not whole vectors, too.
func TestDifference(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for n := range 40 {
			a, b := randomFloats(r, n), randomFloats(r, n)
			var squares, norm, most float64
			for i := range a {
				d := float64(a[i] - b[i])
				squares, norm, most = squares+d*d, norm+float64(a[i])*float64(a[i]), max(most, math.Abs(d))
			}
			s, m, x := Difference(a, b)
			if math.Abs(s-squares) > 1e-12*squares || math.Abs(m-norm) > 1e-12*norm || float64(x) != most {
				t.Errorf("%d: %v %v %v, want %v %v %v", n, s, m, x, squares, norm, most)
			}
		}
	})
}

// TestUnpackIsQuants: the same bits as the specification, for lengths that are not whole vectors, too.
func TestUnpackIsQuants(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, n := range []int{0, 1, 7, 8, 9, 31, 64, 100} {
			src := make([]byte, 2*n)
			for i := range src {
				src[i] = byte(r.Uint32())
			}
			a, b := make([]float32, n), make([]float32, n)
			if err := quant.Unpack(quant.F16, a, src); err != nil {
				t.Fatal(err)
			}
			if err := Unpack(quant.F16, b, src); err != nil {
				t.Fatal(err)
			}
			for i := range a {
				if math.Float32bits(a[i]) != math.Float32bits(b[i]) && a[i] == a[i] {
					t.Errorf("%d: element %d is %v, want %v", n, i, b[i], a[i])
				}
			}
			if n > 0 && Unpack(quant.F16, b, src[1:]) == nil {
				t.Errorf("%d: a byte less is not an error", n)
			}
		}
	})
}

// TestPackersAgree: a file does not depend on the machine that made it.
func TestPackersAgree(t *testing.T) {
	if !onBest() {
		return
	}
	r := rand.New(rand.NewPCG(3, 4))
	x, importance := randomFloats(r, 4096), make([]float32, 1024)
	for i := range importance {
		importance[i] = float32(r.ExpFloat64())
	}
	for _, typ := range quant.Writable() {
		for _, w := range [][]float32{nil, importance} {
			n, err := typ.RowBytes(len(x))
			if err != nil {
				t.Fatal(err)
			}
			a, b := make([]byte, n), make([]byte, n)
			if err := quant.NewPacker(nil).Pack(typ, a, x, w); err != nil {
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
	for _, typ := range quant.Writable() {
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
