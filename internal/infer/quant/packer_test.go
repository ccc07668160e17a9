package quant

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// weightedError is Σ w·(x − y)², with w repeated for each row.
func weightedError(x, y, w []float32) float64 {
	sum := 0.0
	for i := range x {
		d := float64(x[i]) - float64(y[i])
		sum += float64(w[i%len(w)]) * d * d
	}
	return sum
}

// TestImportance: columns that matter more come out better, at the others' cost, and equal importance changes nothing.
func TestImportance(t *testing.T) {
	const cols = 512
	x, w, even := gauss(8*cols, 5), make([]float32, cols), make([]float32, cols)
	for i := range w {
		w[i], even[i] = 0.01, 3
		if i%7 == 0 {
			w[i] = 5
		}
	}
	p := NewPacker(nil)
	for _, typ := range Writable()[3:] {
		size, _ := typ.RowBytes(len(x))
		pack := func(w []float32) []float32 {
			b, y := make([]byte, size), make([]float32, len(x))
			if err := p.Pack(typ, b, x, w); err != nil {
				t.Fatal(err)
			}
			if err := Unpack(typ, y, b); err != nil {
				t.Fatal(err)
			}
			return y
		}
		plain, weighted := pack(nil), pack(w)
		if a, b := weightedError(x, weighted, w), weightedError(x, plain, w); a > 0.97*b {
			t.Errorf("%v: weighted error %.4g, without weights %.4g", typ, a, b)
		}
		one := []float32{1}
		if a, b := weightedError(x, weighted, one), weightedError(x, plain, one); a < b {
			t.Errorf("%v: the plain error is better with weights: %.4g, without %.4g", typ, a, b)
		}
		if a, b := weightedError(x, pack(even), one), weightedError(x, plain, one); math.Abs(a/b-1) > 1e-3 {
			t.Errorf("%v: error %.4g with equal weights, %.4g without", typ, a, b)
		}
	}
}

func TestImportanceIsChecked(t *testing.T) {
	x, b := gauss(256, 1), make([]byte, 144)
	bad := make([]float32, 256)
	bad[3] = float32(math.NaN())
	negative := make([]float32, 256)
	negative[7] = -1
	for name, c := range map[string]struct {
		w    []float32
		want error
	}{
		"NaN": {bad, ErrNotFinite}, "negative": {negative, ErrNotFinite},
		"wrong length": {[]float32{1, 2, 3}, ErrLength},
		"all zero":     {make([]float32, 256), nil},
	} {
		if err := NewPacker(nil).Pack(Q4_K, b, x, c.w); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSearchIsNearTheBest: for groups of 16 in 3 bits, a scan of 4,000 scales finds hardly better ones.
func TestSearchIsNearTheBest(t *testing.T) {
	p := NewPacker(nil)
	var found, best float64
	for seed := range uint64(200) {
		x := gauss(16, seed)
		d := p.symmetric(x, nil, extreme(x), 4)
		errorAt := func(d float64) (e float64) {
			for _, v := range x {
				q := math.Max(-4, math.Min(3, math.RoundToEven(float64(v)/d)))
				e += (float64(v) - d*q) * (float64(v) - d*q)
			}
			return e
		}
		least := math.Inf(1)
		for i := range 4000 {
			s := float64(p.magnitude(x)) * (0.1 + float64(i)/4000*0.4)
			least = min(least, errorAt(s), errorAt(-s))
		}
		found, best = found+errorAt(float64(d)), best+least
	}
	if found > 1.03*best {
		t.Errorf("squared error %.5g, the best possible is %.5g", found, best)
	}
}

// TestScaleFree: a row times a power of two packs to the same codes, as long as binary16 holds the scales.
func TestScaleFree(t *testing.T) {
	property.Check(t, func(r *rapid.T) {
		typ := rapid.SampledFrom(Writable()[3:]).Draw(r, "type")
		x := gauss(superLen, rapid.Uint64().Draw(r, "seed"))
		up := float32(math.Ldexp(1, rapid.IntRange(-3, 6).Draw(r, "exponent")))
		y := make([]float32, len(x))
		for i := range x {
			y[i] = x[i] * up
		}
		a, b := roundTrip(r, typ, x), roundTrip(r, typ, y)
		for i := range a {
			if a[i]*up != b[i] {
				r.Fatalf("%v: element %d is %v, scaled by %v it is %v", typ, i, a[i], up, b[i])
			}
		}
	})
}

// TestReadOnly: formats that can only be read say so.
func TestReadOnly(t *testing.T) {
	for _, typ := range Types() {
		size, _ := typ.RowBytes(superLen)
		err := Pack(typ, make([]byte, size), gauss(superLen, 1))
		if typ.Writable() == errors.Is(err, ErrType) {
			t.Errorf("%v, writable %v: %v", typ, typ.Writable(), err)
		}
	}
	if n := len(Types()) - len(Writable()); n != 7 {
		t.Errorf("%d formats are read only, want the 7 with grids", n)
	}
}
