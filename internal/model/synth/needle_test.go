package synth

import (
	"errors"
	"math"
	"testing"
)

// TestNeedleNames: any two tokens' names differ in at least 8 signs.
func TestNeedleNames(t *testing.T) {
	var names [1 << 12]uint32
	for token := range names {
		for i := range needleSigns {
			if needleSign(token, i) > 0 {
				names[token] |= 1 << i
			}
		}
	}
	least := needleSigns
	for a := range names {
		for b := range a {
			n := 0
			for x := names[a] ^ names[b]; x != 0; x &= x - 1 {
				n++
			}
			least = min(least, n)
		}
	}
	if least != 8 {
		t.Errorf("two names differ in %d signs", least)
	}
}

// TestNeedleGaps holds the two constants of the construction to RoPE's own angles: how far below the right place's
// score the next one is, over all distances in a context.
func TestNeedleGaps(t *testing.T) {
	near, same, other := math.Inf(1), math.Inf(1), 0.
	for distance := range 1 << 15 {
		var sum float64
		for i := range needlePairs {
			sum += 1 - math.Cos(float64(distance-1)*ropeAngle(i))
		}
		if distance != 1 {
			near = min(near, sum)
		}
		var cos, sin float64
		for i := (needleHeadDim - needleSigns) / 2; i < needleHeadDim/2; i++ {
			cos += 2 * math.Cos(float64(distance)*ropeAngle(i))
			sin += 2 * math.Sin(float64(distance)*ropeAngle(i))
		}
		same, other = min(same, cos), max(other, 8+sin) // two names agree in 16 signs at most and differ in 8
	}
	if near < needleNear || same-other < needleApart {
		t.Errorf("places are %.4f apart, contents %.2f", near, same-other)
	}
}

func TestNeedleShapes(t *testing.T) {
	if err := Needle().Validate(); err != nil {
		t.Fatal(err)
	}
	for field, change := range map[string]func(*Shape){
		"heads": func(s *Shape) { s.Heads = 8 }, "kv-heads": func(s *Shape) { s.KVHeads = 4 },
		"layers": func(s *Shape) { s.Layers = 3 },
		"vocab":  func(s *Shape) { s.Vocab = 5000 }, "context": func(s *Shape) { s.Context = 1 << 16 },
	} {
		s := Needle()
		change(&s)
		var wrong *FieldError
		if err := s.Validate(); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
