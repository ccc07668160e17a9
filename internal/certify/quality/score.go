package quality

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// Weights of the components in the score; they sum to 1. Equal thirds, since each component near zero must fail a
// threshold of 0.8 by itself, and only weights above 0.2 do that.
const (
	WeightRelevance    = 1.0 / 3
	WeightCoherence    = 1.0 / 3
	WeightCompleteness = 1.0 / 3
)

// Names of the components, as in Part.Of.
const (
	Relevance    = "relevance"
	Coherence    = "coherence"
	Completeness = "completeness"
)

// Input is what a score is made of.
type Input struct {
	Prompt   string
	Response string
	Finish   string          // finish_reason as the server gave it; empty means unknown
	Rubric   *prompts.Rubric // nil: concepts and facets are read from the prompt itself
}

// Result is a score and its explanation. All values lie in [0, 1].
type Result struct {
	Score        float64 `json:"score"`
	Relevance    float64 `json:"relevance"`
	Coherence    float64 `json:"coherence"`
	Completeness float64 `json:"completeness"`
	Parts        []Part  `json:"parts"`
}

// Part is one measurement.
type Part struct {
	Name  string  `json:"name"`
	Of    string  `json:"of"` // the component it belongs to
	Value float64 `json:"value"`
	Why   string  `json:"why"`
}

// maxScored bounds the bytes that are read: an answer of 4,096 tokens has about 16 KiB; what lies beyond 256 KiB
// cannot make an answer better.
const maxScored = 256 << 10

// Score measures one answer.
func Score(in Input) Result {
	if len(in.Response) > maxScored {
		in.Response = in.Response[:maxScored]
	}
	d := read(in)
	if len(d.words) == 0 && !d.symbolic() {
		why := "the response has no words"
		return finish([]Part{{"words", Relevance, 0, why}, {"words", Coherence, 0, why},
			{"words", Completeness, 0, why}})
	}
	var parts []Part
	parts = append(parts, relevance(d)...)
	parts = append(parts, coherence(d)...)
	parts = append(parts, completeness(d)...)
	return finish(parts)
}

// symbolic reports whether the response is exactly a checkable answer made of signs alone, such as "+".
func (d *doc) symbolic() bool {
	return slices.ContainsFunc(d.expected,
		func(a string) bool { return strings.TrimSpace(d.in.Response) == strings.TrimSpace(a) })
}

// finish takes the weakest part of each component and their weighted mean.
func finish(parts []Part) Result {
	weakest := map[string]float64{Relevance: 1, Coherence: 1, Completeness: 1}
	for i := range parts {
		parts[i].Value = round(clamp(parts[i].Value))
		weakest[parts[i].Of] = math.Min(weakest[parts[i].Of], parts[i].Value)
	}
	r := Result{Relevance: weakest[Relevance], Coherence: weakest[Coherence], Completeness: weakest[Completeness],
		Parts: parts}
	r.Score = round(WeightRelevance*r.Relevance + WeightCoherence*r.Coherence + WeightCompleteness*r.Completeness)
	return r
}

// round keeps four digits, so that scores read the same on every platform.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

func clamp(x float64) float64 { return math.Max(0, math.Min(1, x)) }

// ramp maps lo and below to 0, hi and above to 1, straight between; lo > hi turns it round.
func ramp(x, lo, hi float64) float64 { return clamp((x - lo) / (hi - lo)) }

func part(of, name string, value float64, why string, args ...any) Part {
	return Part{Name: name, Of: of, Value: value, Why: fmt.Sprintf(why, args...)}
}
