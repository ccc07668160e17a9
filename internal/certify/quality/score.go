package quality

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// Weights of the components in the score. They are equal because each component near zero must bring the score below
// the threshold of 0.8, which only a weight above 0.2 does.
const (
	WeightRelevance    = 1.0 / 3
	WeightCoherence    = 1.0 / 3
	WeightCompleteness = 1.0 / 3
)

// Names of the components, for Part.Of.
const (
	Relevance    = "relevance"
	Coherence    = "coherence"
	Completeness = "completeness"
)

// Input is an answer to be scored, with its prompt.
type Input struct {
	Prompt   string
	Response string
	Finish   string          // finish_reason from the server; empty if it is not known
	Rubric   *prompts.Rubric // nil: concepts and facets are taken from the prompt
}

// Result is a score with its explanation. All values are from 0 to 1.
type Result struct {
	Score        float64 `json:"score"`
	Relevance    float64 `json:"relevance"`
	Coherence    float64 `json:"coherence"`
	Completeness float64 `json:"completeness"`
	Parts        []Part  `json:"parts"`
}

// Part is one measurement of an answer.
type Part struct {
	Name  string  `json:"name"`
	Of    string  `json:"of"` // the component to which it belongs
	Value float64 `json:"value"`
	Why   string  `json:"why"`
}

// maxScored bounds the bytes of an answer that are read. An answer of 4,096 tokens has about 16 KiB.
const maxScored = 256 << 10

// Score scores one answer. It only reads the first 256 KiB.
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

// symbolic reports whether the response is exactly a checkable answer that consists of signs, such as "+".
func (d *doc) symbolic() bool {
	return slices.ContainsFunc(d.expected,
		func(a string) bool { return strings.TrimSpace(d.in.Response) == strings.TrimSpace(a) })
}

// finish computes the components as their weakest parts, and the score as their weighted mean.
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

// round keeps four decimal places, so that scores are equal on all platforms.
func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }

func clamp(x float64) float64 { return math.Max(0, math.Min(1, x)) }

// ramp rises linearly from 0 at lo to 1 at hi, and is constant outside. If lo > hi it falls.
func ramp(x, lo, hi float64) float64 { return clamp((x - lo) / (hi - lo)) }

func part(of, name string, value float64, why string, args ...any) Part {
	return Part{Name: name, Of: of, Value: value, Why: fmt.Sprintf(why, args...)}
}
