package quant

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestParseKVType(t *testing.T) {
	for s, want := range map[string]KVType{"f16": KVF16, "F16": KVF16, "q8_0": KVQ8, "Q8_0": KVQ8} {
		got, err := ParseKVType(s)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	var unset KVType
	for _, s := range []string{"", "q4_0", "f32", "q8"} {
		if err := unset.UnmarshalText([]byte(s)); !errors.Is(err, ErrType) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if err := unset.UnmarshalText([]byte(KVQ8.String())); err != nil || unset != KVQ8 {
		t.Errorf("%v, %v", unset, err)
	}
}

// TestKVRoundTrip: vectors of any size and scale, at any place of a run, come back within half a step of what their
// format can say, and leave their neighbours alone.
func TestKVRoundTrip(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]KVType{KVF16, KVQ8}).Draw(t, "type")
		dim := rapid.IntRange(1, 100).Draw(t, "dim")
		n := rapid.IntRange(1, 5).Draw(t, "vectors")
		run := make([]byte, n*typ.VectorBytes(dim))
		all := make([][]float32, n)
		for i := range all {
			scale := math.Ldexp(1, rapid.IntRange(-40, 15).Draw(t, "exponent"))
			all[i] = make([]float32, dim)
			for d := range all[i] {
				all[i][d] = float32(scale * rapid.Float64Range(-1, 1).Draw(t, "x"))
			}
		}
		for i := range n {
			typ.Put(run, n-1-i, all[n-1-i])
		}
		got := make([]float32, dim)
		for i, x := range all {
			typ.Get(got, run, i)
			for d, v := range x {
				largest := math.Abs(float64(v))
				// binary16: half a unit in the last place of 11 bits, and of subnormals.
				bound := max(largest*0x1p-11, 0x1p-25)
				if typ == KVQ8 {
					for _, o := range x[d/kvGroup*kvGroup : min((d/kvGroup+1)*kvGroup, dim)] {
						largest = max(largest, math.Abs(float64(o)))
					}
					// Half a step: the largest over 127, rounded by 2⁻¹¹ at most, or to the next subnormal, 2⁻²⁴ away.
					bound = (largest/127*(1+0x1p-11)+0x1p-24)/2 + largest*0x1p-22
				}
				if diff := math.Abs(float64(got[d]) - float64(v)); !(diff <= bound) {
					t.Fatalf("vector %d, element %d: %v came back as %v, off by %v, at most %v", i, d, v, got[d],
						diff, bound)
				}
			}
		}
	})
}

// TestKVNotFinite: a broken number is seen in what comes back, and what is too large does not become small.
func TestKVNotFinite(t *testing.T) {
	for _, typ := range []KVType{KVF16, KVQ8} {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 3e38} {
			x := make([]float32, 70)
			for d := range x {
				x[d] = 1
			}
			x[40] = bad
			run := make([]byte, typ.VectorBytes(len(x)))
			typ.Put(run, 0, x)
			typ.Get(x, run, 0)
			for d, v := range x {
				shared := d == 40 || typ == KVQ8 && d/kvGroup == 40/kvGroup
				if finite := v-v == 0; finite == shared {
					t.Errorf("%v: %v at 40: element %d is %v", typ, bad, d, v)
				}
			}
		}
	}
}

// TestKVExtremes: what a scale rounds to may not push the largest number out of a byte.
func TestKVExtremes(t *testing.T) {
	for _, largest := range []float32{0, 1e-45, 1e-9, 5.9e-8, 3.8e-6, 7.56e-6, 1e-4, 0.0077, 1, 127, 127.06, 65504,
		8e6} {
		run := make([]byte, KVQ8.VectorBytes(2))
		KVQ8.Put(run, 0, []float32{largest, -largest})
		got := make([]float32, 2)
		KVQ8.Get(got, run, 0)
		if bound := max(largest/256, 0x1p-24); math.Abs(float64(got[0]-largest)) > float64(bound) ||
			got[1] != -got[0] {
			t.Errorf("±%v came back as %v", largest, got)
		}
	}
}
