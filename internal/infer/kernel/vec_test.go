package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// lengths cover whole vectors, remainders and nothing at all.
var lengths = []int{0, 1, 3, 8, 15, 16, 17, 31, 32, 33, 63, 64, 100, 128, 255, 1024, 4096 + 5}

func TestDot(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, n := range lengths {
			a, b := randomFloats(r, n), randomFloats(r, n+3)
			want, size := dot64(a, b)
			if got := float64(Dot(a, b)); math.Abs(got-want) > 1e-6*size {
				t.Errorf("%d elements: %v, want %v", n, got, want)
			}
		}
	})
}

func TestRMSNorm(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		for _, n := range lengths[1:] {
			x, w := randomFloats(r, n), randomFloats(r, n)
			square, _ := dot64(x, x)
			inverse := 1 / math.Sqrt(square/float64(n)+1e-5)
			got := make([]float32, n)
			RMSNorm(got, x, w, 1e-5)
			for i, v := range x {
				want := float64(v) * inverse * float64(w[i])
				if math.Abs(float64(got[i])-want) > 1e-6*math.Abs(want) {
					t.Fatalf("%d elements, element %d: %v, want %v", n, i, got[i], want)
				}
			}
			RMSNorm(x, x, w, 1e-5) // in place
			if i, ok := sameBits(x, got); !ok {
				t.Fatalf("in place, element %d differs", i)
			}
		}
	})
}

func TestAddScaled(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		for _, n := range lengths {
			y, x := randomFloats(r, n), randomFloats(r, n+1)
			old := append([]float32(nil), y...)
			AddScaled(y, x, 0.3)
			for i := range y {
				want := float64(old[i]) + float64(float32(0.3))*float64(x[i])
				if math.Abs(float64(y[i])-want) > 2e-7*(math.Abs(float64(old[i]))+math.Abs(float64(x[i]))) {
					t.Fatalf("%d elements, element %d: %v, want %v", n, i, y[i], want)
				}
			}
		}
	})
}

func TestSwiGLU(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		for _, n := range lengths {
			gate, up := randomFloats(r, n), randomFloats(r, n)
			for i := range gate {
				gate[i] *= 10
			}
			if n > 10 {
				gate[0], gate[1], gate[2], gate[3] = -200, 200, 0, float32(math.Inf(1))
			}
			got := make([]float32, n)
			SwiGLU(got, gate, up)
			for i := range got {
				g := float64(gate[i])
				want := g / (1 + math.Exp(-g)) * float64(up[i])
				if !(math.Abs(float64(got[i])-want) <= 1e-6*math.Abs(want)+1e-35) && float64(got[i]) != want {
					t.Fatalf("%d elements, element %d: silu(%v)·%v = %v, want %v", n, i, gate[i], up[i], got[i], want)
				}
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 5))
		for _, n := range lengths[1:] {
			x := randomFloats(r, n)
			for i := range x {
				x[i] *= 8
			}
			var sum float64
			for _, v := range x {
				sum += math.Exp(float64(v))
			}
			top := slices.Max(x)
			got := append([]float32(nil), x...)
			Softmax(got)
			for i, v := range x {
				want := math.Exp(float64(v)) / sum
				// x − max is rounded to 2⁻²⁴ of itself, which exp turns into a relative error.
				if bound := 1e-6 +
					0x1p-24*math.Abs(float64(v-top)); math.Abs(float64(got[i])-want) > bound*want+1e-37 {
					t.Fatalf("%d elements, element %d: %v, want %v", n, i, got[i], want)
				}
			}
		}
	})
}

func TestSoftmaxExtremes(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachTier(t, func(t *testing.T) {
		x := make([]float32, 40)
		for i := range x {
			x[i] = -inf
		}
		x[17] = 3e38
		Softmax(x)
		for i, v := range x {
			if want := float32(0); i == 17 {
				want = 1
				if v != want {
					t.Errorf("the only finite score got %v", v)
				}
			} else if v != want {
				t.Errorf("score −Inf got %v", v)
			}
		}
		for _, bad := range []float32{nan, inf} {
			for _, at := range []int{0, 7, 33, 39} {
				clear(x)
				x[at] = bad
				Softmax(x)
				if x[at] == x[at] {
					t.Errorf("softmax hides %v at %d", bad, at)
				}
			}
		}
	})
}

func TestSwiGLUNotFinite(t *testing.T) {
	nan := float32(math.NaN())
	eachTier(t, func(t *testing.T) {
		for at := range 40 {
			gate, up := make([]float32, 40), make([]float32, 40)
			gate[at] = nan
			SwiGLU(gate, gate, up)
			for i, v := range gate {
				if (v != v) != (i == at) {
					t.Fatalf("NaN at %d: element %d is %v", at, i, v)
				}
			}
		}
	})
}

// TestExp holds the exponential to its documented error over its whole range.
func TestExp(t *testing.T) {
	for x := float32(-90); x < 90; x += 0.00137 {
		want := math.Exp(float64(x))
		got := float64(exp32(x))
		switch {
		case x < -87.33654:
			want = 0
			fallthrough
		default:
			if math.Abs(got-want) > 2.4e-7*want && got != float64(float32(want)) {
				t.Fatalf("exp(%v) = %v, want %v", x, got, want)
			}
		}
	}
	if v := exp32(float32(math.NaN())); v == v {
		t.Error("exp(NaN) is a number")
	}
}

func TestRope(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 6))
		for _, n := range []int{2, 8, 16, 30, 32, 64, 100, 128} {
			x := randomFloats(r, n)
			old := append([]float32(nil), x...)
			cos, sin := make([]float32, n/2), make([]float32, n/2)
			for i := range cos {
				s, c := math.Sincos(float64(i) * 1.3)
				cos[i], sin[i] = float32(c), float32(s)
			}
			Rope(x, cos, sin)
			for i := range cos {
				a, b, c, s := float64(old[2*i]), float64(old[2*i+1]), float64(cos[i]), float64(sin[i])
				if math.Abs(float64(x[2*i])-(a*c-b*s)) > 1e-6 || math.Abs(float64(x[2*i+1])-(a*s+b*c)) > 1e-6 {
					t.Fatalf("%d elements, pair %d: %v %v", n, i, x[2*i], x[2*i+1])
				}
			}
		}
	})
}

// TestPutF16 tries every binary16 number, the midpoints between neighbours (ties) and the floats next to them.
func TestPutF16(t *testing.T) {
	var x []float32
	for h := range 1 << 16 {
		f := quant.F16to32(uint16(h))
		x = append(x, f)
		if f-f == 0 {
			middle := math.Float32frombits((math.Float32bits(f) + math.Float32bits(quant.F16to32(uint16(h+1)))) / 2)
			x = append(x, middle, math.Nextafter32(middle, 0), math.Nextafter32(middle, 1e9))
		}
	}
	x = append(x, 65519.996, 65520, -65520, 1e-10, 3e38)
	eachTier(t, func(t *testing.T) {
		run := make([]byte, 2*len(x))
		active.put(quant.KVF16, run, 0, x)
		for i, v := range x {
			got, want := binary.LittleEndian.Uint16(run[2*i:]), quant.F32to16(v)
			if got != want && !(v != v && got&0x7fff > 0x7c00) {
				t.Fatalf("%v (%#x): %#x, want %#x", v, math.Float32bits(v), got, want)
			}
		}
	})
}
