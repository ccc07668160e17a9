package quant

import (
	"math"
	"testing"
)

// widen16 is binary16 by its definition, in float64 where every value is exact.
func widen16(h uint16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exponent, fraction := int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1+fraction/1024, exponent-15)
}

func TestF16AllValues(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		want, got := widen16(h), F16to32(h)
		if math.IsNaN(want) {
			if got == got {
				t.Fatalf("F16to32(%04x) = %v, want NaN", h, got)
			}
			if back := F32to16(got); back&0x7c00 != 0x7c00 || back&0x3ff == 0 {
				t.Fatalf("F32to16(NaN from %04x) = %04x, no NaN", h, back)
			}
			continue
		}
		if float64(got) != want || math.Signbit(want) != math.Signbit(float64(got)) {
			t.Fatalf("F16to32(%04x) = %v, want %v", h, got, want)
		}
		if back := F32to16(got); back != h {
			t.Fatalf("F32to16(F16to32(%04x)) = %04x", h, back)
		}
	}
}

// TestF16Rounding checks the midpoint and both its neighbours between every two adjacent finite numbers.
func TestF16Rounding(t *testing.T) {
	for h := uint16(0); h < 0x7bff; h++ {
		lo, hi := widen16(h), widen16(h+1)
		mid := float32((lo + hi) / 2) // exact: a binary16 midpoint has 12 significant bits
		even := h + h&1
		for _, c := range []struct {
			x    float32
			want uint16
		}{{math.Nextafter32(mid, 0), h}, {mid, even}, {math.Nextafter32(mid, math.MaxFloat32), h + 1}} {
			if got := F32to16(c.x); got != c.want {
				t.Fatalf("F32to16(%v) = %04x, want %04x", c.x, got, c.want)
			}
			if got := F32to16(-c.x); got != c.want|0x8000 {
				t.Fatalf("F32to16(%v) = %04x, want %04x", -c.x, got, c.want|0x8000)
			}
		}
	}
	for x, want := range map[float32]uint16{
		65519.996: 0x7bff, 65520: 0x7c00, math.MaxFloat32: 0x7c00, float32(math.Inf(1)): 0x7c00,
		0x1p-25: 0, 0x1.000002p-25: 1, math.SmallestNonzeroFloat32: 0,
	} {
		if got := F32to16(x); got != want {
			t.Errorf("F32to16(%v) = %04x, want %04x", x, got, want)
		}
	}
}

func TestBF16(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		f := BF16to32(h)
		if f != f {
			if back := F32toBF16(f); BF16to32(back) == BF16to32(back) {
				t.Fatalf("F32toBF16(NaN from %04x) = %04x, no NaN", h, back)
			}
			continue
		}
		if back := F32toBF16(f); back != h {
			t.Fatalf("F32toBF16(BF16to32(%04x)) = %04x", h, back)
		}
		if h&0x7fff >= 0x7f7f {
			continue // the next number is infinite
		}
		mid := math.Float32frombits(uint32(h)<<16 | 0x8000)
		even := h + h&1
		below, above := math.Float32frombits(uint32(h)<<16|0x7fff), math.Float32frombits(uint32(h)<<16|0x8001)
		if F32toBF16(mid) != even || F32toBF16(below) != h || F32toBF16(above) != h+1 {
			t.Fatalf("around %v: %04x %04x %04x, want %04x %04x %04x", mid, F32toBF16(below), F32toBF16(mid),
				F32toBF16(above), h, even, h+1)
		}
	}
	if got := F32toBF16(math.MaxFloat32); got != 0x7f80 {
		t.Errorf("the largest float32 rounds to %04x, want infinity", got)
	}
	if got := BF16to32(F32toBF16(math.Float32frombits(0x7f800001))); got == got {
		t.Error("a NaN with low payload bits only must stay NaN")
	}
}
