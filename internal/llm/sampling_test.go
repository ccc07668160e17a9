package llm

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// TestSamplingCheck: each field's ends are in its range or not, as documented, and what is beyond is refused by name.
func TestSamplingCheck(t *testing.T) {
	above1, below1 := math.Nextafter(1, 2), math.Nextafter(1, 0)
	for field, test := range map[string]struct {
		set       func(*Sampling, float64)
		good, bad []float64
	}{
		"temperature": {func(s *Sampling, f float64) { s.Temperature = f }, []float64{0, 0.7, 2},
			[]float64{-0.1, 2.1, math.NaN(), math.Inf(1)}},
		"top_p": {func(s *Sampling, f float64) { s.TopP = f }, []float64{0, 1e-9, 1}, []float64{-1e-9, above1}},
		"top_k": {func(s *Sampling, f float64) { s.TopK = int(f) }, []float64{0, 1, math.MaxInt32},
			[]float64{-1, math.MaxInt32 + 1}},
		"min_p": {func(s *Sampling, f float64) { s.MinP = f }, []float64{0, below1}, []float64{-0.1, 1}},
		"repetition_penalty": {func(s *Sampling, f float64) { s.RepetitionPenalty = f }, []float64{0, 1e-9, 10},
			[]float64{-1, 10.5}},
		"presence_penalty": {func(s *Sampling, f float64) { s.PresencePenalty = f }, []float64{-2, 2},
			[]float64{-2.1, 3}},
		"frequency_penalty": {func(s *Sampling, f float64) { s.FrequencyPenalty = f }, []float64{-2, 2},
			[]float64{-2.1, 3}},
		"logit_bias": {func(s *Sampling, f float64) { s.LogitBias = map[int32]float64{7: f} }, []float64{-100, 0, 100},
			[]float64{-101, 100.5, math.NaN()}},
	} {
		for _, f := range test.good {
			var s Sampling
			if test.set(&s, f); s.Check() != nil {
				t.Errorf("%s %v: %v", field, f, s.Check())
			}
		}
		for _, f := range test.bad {
			var s Sampling
			test.set(&s, f)
			var bad *FieldError
			if err := s.Check(); !errors.As(err, &bad) || bad.Field != field || !errors.Is(err, ErrBadRequest) {
				t.Errorf("%s %v: %v", field, f, err)
			}
		}
	}
}

// TestFirstBiasIsNamed: of several that are wrong, the error names the same one each time.
func TestFirstBiasIsNamed(t *testing.T) {
	s := Sampling{LogitBias: map[int32]float64{9: 200, 3: 200, 7: 200, 5: 200, 1: 0}}
	for range 8 {
		if err := s.Check(); err == nil || !strings.HasSuffix(err.Error(), "for token 3") {
			t.Fatal(err)
		}
	}
}

func TestRangeText(t *testing.T) {
	for want, r := range map[string]Range{
		"between 0 and 2": TemperatureRange, "above 0 and at most 1": TopPRange, "at least 0 and below 1": MinPRange,
	} {
		if r.String() != want {
			t.Errorf("%v, want %s", r, want)
		}
	}
}
