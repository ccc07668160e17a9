package moe

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// Rope is how positions become angles (Su et al. 2021, section 3.2.2), stretched for contexts longer than those that
// the model was first trained for.
type Rope struct {
	Theta  float32
	Factor float32 // positions are divided by it: linear scaling; 1: they are not
	Yarn   bool    // only slow frequencies are: YaRN (Peng et al. 2023, arXiv:2309.00071)

	// YaRN's own.
	OrigContext        int
	BetaFast, BetaSlow float32 // turns in OrigContext above and below which a frequency is fast or slow
	Magnitude          float32 // factor of cosines and sines
}

// readRope reads the keys llama.rope.*. What they may say and is not computed here is an error.
func readRope(f *gguf.File, context int) (Rope, error) {
	r := Rope{Factor: 1, Magnitude: 1, OrigContext: context, BetaFast: 32, BetaSlow: 1}
	bad := func(key, format string, args ...any) (Rope, error) {
		return r, fmt.Errorf("%w: llama.rope.%s must be %s", ErrModel, key, fmt.Sprintf(format, args...))
	}
	kind := f.StringOr("llama.rope.scaling.type", "linear") // files from before the key knew no other
	var err error
	for _, n := range []struct {
		key string
		to  *float32
		def float32
	}{
		{"freq_base", &r.Theta, 10000}, {"scale_linear", &r.Factor, 1}, {"scaling.factor", &r.Factor, r.Factor},
		{"scaling.attn_factor", &r.Magnitude, 1}, {"scaling.yarn_beta_fast", &r.BetaFast, 32},
		{"scaling.yarn_beta_slow", &r.BetaSlow, 1},
	} {
		key := "llama.rope." + n.key
		if !f.Has(key) {
			if n.key != "scaling.factor" { // which stands for the older key
				*n.to = n.def
			}
			continue
		}
		if *n.to, err = f.Float32(key); err != nil {
			return r, fmt.Errorf("%w: %w", ErrModel, err)
		}
		if v := float64(*n.to); math.IsNaN(v) || math.IsInf(v, 0) || v < 0 || v == 0 && n.def != 1 {
			return bad(n.key, "a finite number above 0, got %v", v)
		}
	}
	if r.Factor == 0 { // as llama.cpp reads it: unknown
		r.Factor = 1
	}
	if r.Magnitude == 0 {
		return bad("scaling.attn_factor", "a finite number above 0, got 0")
	}
	switch kind {
	case "none":
		r.Factor = 1
	case "linear":
	case "yarn":
		r.Yarn = true
	default:
		return bad("scaling.type", "none, linear or yarn, got %q", kind)
	}
	if key := "llama.rope.scaling.original_context_length"; f.Has(key) {
		n, err := f.Uint32(key)
		if err != nil || n < 1 || n > maxContext {
			return bad("scaling.original_context_length", "1 to %d, got %d", maxContext, n)
		}
		r.OrigContext = int(n)
	}
	if !(r.Theta > 1) {
		return bad("freq_base", "a finite number above 1, got %v", r.Theta)
	}
	if r.Yarn {
		r.Magnitude *= 1 + 0.1*float32(math.Log(float64(r.Factor)))
		if r.Factor < 1 {
			return bad("scaling.factor", "at least 1 with yarn, got %v", r.Factor)
		}
	}
	return r, nil
}

// frequencies gives the angle that each pair of dim elements turns by from one position to the next. factors, if not
// nil, divide them one by one (the tensor rope_freqs).
func (r Rope) frequencies(dim int, factors []float32) []float64 {
	f := make([]float64, dim/2)
	fast, slow := r.pair(dim, r.BetaFast), r.pair(dim, r.BetaSlow)
	fast, slow = max(math.Floor(fast), 0), min(math.Ceil(slow), float64(dim-1))
	for i := range f {
		plain := math.Pow(float64(r.Theta), -2*float64(i)/float64(dim))
		if factors != nil {
			plain /= float64(factors[i])
		}
		stretched := plain / float64(r.Factor)
		f[i] = stretched
		if r.Yarn {
			mix := 1 - min(1, max(0, (float64(i)-fast)/max(0.001, slow-fast)))
			f[i] = stretched*(1-mix) + plain*mix
		}
	}
	return f
}

// pair gives which pair turns so many times in the original context.
func (r Rope) pair(dim int, turns float32) float64 {
	length := float64(r.OrigContext) / (float64(turns) * 2 * math.Pi)
	return float64(dim) * math.Log(length) / (2 * math.Log(float64(r.Theta)))
}

// ropeFactors reads the tensor rope_freqs, nil where there is none.
func (l *loader) ropeFactors() ([]float32, error) {
	const name = "rope_freqs.weight"
	if _, ok := l.file.Tensor(name); !ok {
		return nil, nil
	}
	factors, err := l.floats(name, l.cfg.HeadDim/2)
	if err != nil {
		return nil, err
	}
	for i, v := range factors {
		if !(v > 0) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("%w: tensor %s must have finite numbers above 0, got %v at %d", ErrModel, name, v,
				i)
		}
	}
	return factors, nil
}
