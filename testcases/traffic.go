package testcases

import "math"

// Traffic replaces the case's prompts in a phase. Prompts come from a file, or they are made up with the lengths of a
// trace or of Input.
type Traffic struct {
	// File of prompts or a trace, relative to the case file.
	File string `yaml:"file" json:"file,omitempty"`
	// Format of the file.
	Format Format `yaml:"format" json:"format,omitempty"`
	// For format csv: name of the column with the prompts; default: "prompt".
	Column string `yaml:"column" json:"column,omitempty"`
	// Number of records to use, from the start of the file; 0: all.
	Most int `yaml:"most" json:"most,omitempty"`
	// For traces: how many times as fast as recorded to replay them; 0: 1.
	Scale float64 `yaml:"scale" json:"scale,omitempty"`

	// Number of tokens of each made-up prompt.
	Input *Distribution `yaml:"input" json:"input,omitempty"`
	// Maximum number of tokens of each answer; default: max_tokens of the phase.
	Output *Distribution `yaml:"output" json:"output,omitempty"`
	// Answers have exactly as many tokens as output or the trace says: requests have ignore_eos. If the server
	// refuses that field, it is left out, and the report says so. Default: true if output is fixed or a trace has
	// the lengths.
	Exact *bool `yaml:"exact" json:"exact,omitempty"`
	// Share of the tokens at the start of a made-up prompt that are the same for all prompts of its group, 0 to 1.
	Shared float64 `yaml:"shared" json:"shared,omitempty"`
	// Number of groups of prompts with the same start; 0: 1.
	Prefixes int `yaml:"prefixes" json:"prefixes,omitempty"`

	// Number of turns of a conversation with made-up prompts; for conversations from a file, the maximum number of
	// turns. Each turn sends the conversation so far, with the server's answers.
	Turns *Distribution `yaml:"turns" json:"turns,omitempty"`
	// Seconds between an answer and the next turn.
	ThinkS *Distribution `yaml:"think_s" json:"think_s,omitempty"`
}

// IgnoresEnd says whether answers must have exactly their maximum number of tokens, even if the model would stop
// earlier.
func (t *Traffic) IgnoresEnd() bool {
	switch {
	case t == nil:
		return false
	case t.Exact != nil:
		return *t.Exact
	case t.Output != nil:
		return t.Output.Shape == ShapeFixed
	}
	return t.File != "" && t.Format.Trace()
}

// Talks says whether each arrival is a conversation, which may have several requests.
func (t *Traffic) Talks() bool { return t != nil && t.Turns != nil }

// Format is the format of a file of prompts or of a trace.
type Format string

// Formats of files.
const (
	FormatJSONL    Format = "jsonl"    // a line: {"prompt": …} or {"messages": […]}, and max_tokens
	FormatShareGPT Format = "sharegpt" // conversations: [{"from": "human", "value": …}, …]
	FormatOpenOrca Format = "openorca" // system_prompt, question, response
	FormatGSM8K    Format = "gsm8k"    // question, answer
	FormatCSV      Format = "csv"      // a column of prompts, and max_tokens
	FormatMooncake Format = "mooncake" // trace: timestamp in ms, input_length, output_length, hash_ids
	FormatBurstGPT Format = "burstgpt" // trace: Timestamp in s, Request tokens, Response tokens
	FormatAzure    Format = "azure"    // trace: TIMESTAMP, ContextTokens, GeneratedTokens
)

var formats = []Format{FormatJSONL, FormatShareGPT, FormatOpenOrca, FormatGSM8K, FormatCSV, FormatMooncake,
	FormatBurstGPT, FormatAzure}

// Trace says whether a file of the format is a trace, with arrival times and lengths.
func (f Format) Trace() bool { return f == FormatMooncake || f == FormatBurstGPT || f == FormatAzure }

// Shape is a family of distributions.
type Shape string

// Shapes of distributions.
const (
	ShapeFixed   Shape = "fixed"   // always mean
	ShapeUniform Shape = "uniform" // min to max
	ShapeNormal  Shape = "normal"  // mean and sd, truncated at min and max
	// mean and sd are those of the values, not of their logarithms; truncated at min and max
	ShapeLogNormal   Shape = "lognormal"
	ShapeExponential Shape = "exponential" // mean, truncated at min and max
	// k from min to max with a probability in proportion to (k − min + 1)^−exponent
	ShapeZipf      Shape = "zipf"
	ShapeEmpirical Shape = "empirical" // one of values
)

var shapes = []Shape{ShapeFixed, ShapeUniform, ShapeNormal, ShapeLogNormal, ShapeExponential, ShapeZipf,
	ShapeEmpirical}

// Distribution is the distribution of lengths or times.
type Distribution struct {
	// Family of the distribution.
	Shape Shape `yaml:"shape" json:"shape"`
	// Mean of the values.
	Mean float64 `yaml:"mean" json:"mean,omitempty"`
	// Standard deviation of the values.
	SD float64 `yaml:"sd" json:"sd,omitempty"`
	// Smallest value.
	Min float64 `yaml:"min" json:"min,omitempty"`
	// Largest value; 0: no limit but that of the key.
	Max float64 `yaml:"max" json:"max,omitempty"`
	// For shape zipf: the exponent.
	Exponent float64 `yaml:"exponent" json:"exponent,omitempty"`
	// For shape empirical: the values.
	Values []float64 `yaml:"values" json:"values,omitempty"`
}

// Stage is a part of an open phase. Its rate changes linearly from RPS to ToRPS.
type Stage struct {
	// Length of the stage, in seconds.
	DurationS float64 `yaml:"duration_s" json:"duration_s"`
	// Requests per second at the start.
	RPS float64 `yaml:"rps" json:"rps"`
	// Requests per second at the end; default: the same as at the start.
	ToRPS *float64 `yaml:"to_rps" json:"to_rps,omitempty"`
}

// End returns the rate at the stage's end, in requests/s.
func (s Stage) End() float64 {
	if s.ToRPS == nil {
		return s.RPS
	}
	return *s.ToRPS
}

// Arrivals returns the expected number of requests of the stage.
func (s Stage) Arrivals() float64 { return (s.RPS + s.End()) / 2 * s.DurationS }

const (
	maxTokensDrawn = 1 << 20
	maxTurns       = 1000
	maxThinkS      = 86400
	maxArrivals    = 1e7 // in a phase; each takes about a hundred bytes of memory
)

func (t *Traffic) validate(p *problems, at string, ph Phase) {
	if ph.Kind == KindQuality || ph.Kind == KindAudit || ph.Kind == KindIdle {
		p.add(at, "must be left out in a phase of kind %s", ph.Kind)
	}
	if t.File != "" {
		oneOf(p, at+".format", t.Format, formats)
		if t.Input != nil {
			p.add(at+".input", "must be left out where a file has the prompts or their lengths")
		}
	} else if t.Input == nil {
		p.add(at+".file", "needs a file of prompts, or input to make them up")
	}
	if len(ph.Prompts) > 0 {
		p.add(at, "must be left out where the phase names prompts")
	}
	p.count(at+".most", t.Most, 0, 1e8)
	p.within(at+".scale", t.Scale, 0, 1e6)
	p.within(at+".shared", t.Shared, 0, 1)
	p.count(at+".prefixes", t.Prefixes, 0, 1e6)
	for _, d := range []struct {
		name  string
		d     *Distribution
		lo, m float64
	}{{"input", t.Input, 1, maxTokensDrawn}, {"output", t.Output, 1, maxTokensDrawn}, {"turns", t.Turns, 1, maxTurns},
		{"think_s", t.ThinkS, 0, maxThinkS}} {
		if d.d != nil {
			d.d.validate(p, at+"."+d.name, d.lo, d.m)
		}
	}
}

func (d *Distribution) validate(p *problems, at string, lo, hi float64) {
	oneOf(p, at+".shape", d.Shape, shapes)
	p.within(at+".min", d.Min, 0, hi)
	p.within(at+".max", d.Max, 0, hi)
	p.within(at+".sd", d.SD, 0, hi)
	p.within(at+".exponent", d.Exponent, 0, 100)
	switch d.Shape {
	case ShapeFixed, ShapeNormal, ShapeLogNormal, ShapeExponential:
		p.within(at+".mean", d.Mean, max(lo, math.SmallestNonzeroFloat64), hi)
	case ShapeUniform, ShapeZipf:
		p.within(at+".max", d.Max, max(lo, math.SmallestNonzeroFloat64), hi)
	case ShapeEmpirical:
		if len(d.Values) == 0 || len(d.Values) > 1e5 {
			p.add(at+".values", "must have 1 to 100000 values, has %d", len(d.Values))
		}
	}
	for _, v := range d.Values {
		if !(v >= lo && v <= hi) {
			p.value(at+".values", "must be between %g and %g, one is %g", lo, hi, v)
			break
		}
	}
	if d.Max > 0 && d.Max < d.Min {
		p.add(at+".max", "must be at least min (%g), got %g", d.Min, d.Max)
	}
}

// validateArrivals checks the fields that only an open phase may have.
func (c *Case) validateArrivals(p *problems, at string, ph Phase) {
	open := ph.Kind == KindOpen || ph.Kind == KindSweep
	if !open && (ph.Burstiness != 0 || len(ph.Stages) > 0) {
		p.add(at, "burstiness and stages are for open phases")
		return
	}
	p.within(at+".burstiness", ph.Burstiness, 0, 1e6)
	if (ph.Arrivals == ArrivalsGamma) != (ph.Burstiness > 0) {
		p.add(at+".burstiness", "arrivals %q need it, a number above 0, and others have none", ArrivalsGamma)
	}
	traced := ph.Traffic != nil && ph.Traffic.File != "" && ph.Traffic.Format.Trace()
	if ph.Arrivals == ArrivalsTrace && !traced {
		p.add(at+".arrivals", "%q needs traffic from a trace", ArrivalsTrace)
	}
	if ph.Arrivals == ArrivalsTrace && len(ph.Stages) > 0 {
		p.add(at+".stages", "must be left out where a trace has the arrivals")
	}
	total := 0.0
	for i, s := range ph.Stages {
		key := at + ".stages"
		if !(s.DurationS > 0 && s.DurationS <= maxPhaseS) || !(s.RPS >= 0 && s.RPS <= 1e6) ||
			!(s.End() >= 0 && s.End() <= 1e6) {
			p.add(key, "stage %d needs a duration_s above 0, and rates from 0 to 1e6", i)
			return
		}
		total += s.Arrivals()
	}
	if len(ph.Stages) > 0 && !(total >= 1 && total <= maxArrivals) {
		p.add(at+".stages", "must have from 1 to %g arrivals together, have %g", maxArrivals, total)
	}
}

// stagesRate returns the mean rate of a phase's stages, in requests/s.
func stagesRate(stages []Stage) float64 {
	n, d := 0.0, 0.0
	for _, s := range stages {
		n, d = n+s.Arrivals(), d+s.DurationS
	}
	return n / d
}
