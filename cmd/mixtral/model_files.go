package main

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// shape returns the preset's shape with the flags' numbers.
func (c *modelSynthCmd) shape() (synth.Shape, error) {
	name := c.Preset
	if name == "full" {
		name = "8x7b"
	}
	s, ok := synth.Preset(name)
	if !ok {
		return s, withHint(fmt.Errorf("--preset: unknown preset %q", c.Preset),
			fmt.Sprintf("known presets: %s", strings.Join(synth.Presets(), ", ")))
	}
	for _, f := range []struct {
		to   *int
		from *int
	}{
		{&s.Dim, c.Dim}, {&s.FFN, c.FFN}, {&s.Layers, c.Layers}, {&s.Heads, c.Heads}, {&s.KVHeads, c.KVHeads},
		{&s.Experts, c.Experts}, {&s.Vocab, c.Vocab}, {&s.Context, c.Context},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if c.Type.given {
		s.Type = c.Type.Type
	}
	if c.Seed != nil {
		s.Seed = *c.Seed
	}
	s.Calm, s.OldExpertLayout = c.Calm, c.Old
	var wrong *synth.FieldError
	if err := s.Validate(); errors.As(err, &wrong) {
		return s, fmt.Errorf("--%s: %s", wrong.Field, wrong.Problem)
	}
	return s, nil
}

// readTokenizer checks that text can become tokens which the model has.
func readTokenizer(f *gguf.File, vocab int) (*token.Tokenizer, error) {
	spec, err := moe.TokenSpec(f)
	if err != nil {
		return nil, err
	}
	tok, err := token.New(spec)
	if err != nil {
		return nil, err
	}
	if tok.Vocab() > vocab {
		return nil, fmt.Errorf("%w: %d tokens, but embeddings for %d", moe.ErrModel, tok.Vocab(), vocab)
	}
	return tok, nil
}

// scan looks for weights that are not finite numbers, which damaged files and failed conversions contain.
func scan(r *moe.Rewriting, t gguf.Tensor) error {
	at := 0
	return r.Weights(t, func(typ quant.Type, data []byte) error {
		const piece = 1 << 16 // elements at a time, whole blocks of any format
		block, bytes := typ.BlockLen(), typ.BlockBytes()
		elems := len(data) / bytes * block
		values := make([]float32, min(piece, elems))
		for ; len(data) > 0; at += len(values) {
			values = values[:min(len(values), len(data)/bytes*block)]
			n := len(values) / block * bytes
			if err := quant.Unpack(typ, values, data[:n]); err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
			for i, v := range values {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					return fmt.Errorf("%w: tensor %s: weight %d is %v", moe.ErrModel, t.Name, at+i, v)
				}
			}
			data = data[n:]
		}
		return nil
	})
}
