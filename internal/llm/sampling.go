package llm

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Range is what a number may be. An open end does not belong to it.
type Range struct {
	Lo, Hi         float64
	OpenLo, OpenHi bool
}

// Has tells whether a number is in the range. NaN is in none.
func (r Range) Has(f float64) bool {
	return (f > r.Lo || f == r.Lo && !r.OpenLo) && (f < r.Hi || f == r.Hi && !r.OpenHi)
}

// String says it to people: "between 0 and 2", "above 0 and at most 1".
func (r Range) String() string {
	if !r.OpenLo && !r.OpenHi {
		return fmt.Sprintf("between %v and %v", r.Lo, r.Hi)
	}
	low, high := "at least", "at most"
	if r.OpenLo {
		low = "above"
	}
	if r.OpenHi {
		high = "below"
	}
	return fmt.Sprintf("%s %v and %s %v", low, r.Lo, high, r.Hi)
}

// What the fields of Sampling may be where a client gives them. In a Sampling itself zero also means not given.
var (
	TemperatureRange       = Range{Hi: 2}
	TopPRange              = Range{Hi: 1, OpenLo: true}
	TopKRange              = Range{Hi: math.MaxInt32}
	MinPRange              = Range{Hi: 1, OpenHi: true}
	RepetitionPenaltyRange = Range{Hi: 10, OpenLo: true}
	PresencePenaltyRange   = Range{Lo: -2, Hi: 2}
	FrequencyPenaltyRange  = Range{Lo: -2, Hi: 2}
	LogitBiasRange         = Range{Lo: -100, Hi: 100}
)

// Check holds every field to its range. Errors are a *FieldError.
func (s Sampling) Check() error {
	for _, f := range []struct {
		name    string
		value   float64
		allowed Range
	}{
		{"temperature", s.Temperature, TemperatureRange},
		{"top_p", s.TopP, TopPRange},
		{"top_k", float64(s.TopK), TopKRange},
		{"min_p", s.MinP, MinPRange},
		{"repetition_penalty", s.RepetitionPenalty, RepetitionPenaltyRange},
		{"presence_penalty", s.PresencePenalty, PresencePenaltyRange},
		{"frequency_penalty", s.FrequencyPenalty, FrequencyPenaltyRange},
	} {
		if f.value != 0 && !f.allowed.Has(f.value) {
			return BadField(f.name, "must be %v, got %v", f.allowed, f.value)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.LogitBias)) { // the same error each time
		if v := s.LogitBias[id]; !LogitBiasRange.Has(v) {
			return BadField("logit_bias", "must be %v, got %v for token %d", LogitBiasRange, v, id)
		}
	}
	return nil
}
