package moe

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// changed gives little with keys set or, where the value is nil, left out, and tensors of float32 added.
func changed(t testing.TB, keys map[string]any, tensors map[string][]float32) []byte {
	t.Helper()
	f := parse(t, little(t))
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for _, k := range f.Keys() {
		if _, ok := keys[k]; ok {
			continue
		}
		if err := w.Copy(f, k); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if keys[k] == nil {
			continue
		}
		if err := w.Set(k, keys[k]); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range f.Tensors() {
		if err := w.Add(x.Name, x.Type, x.Dims...); err != nil {
			t.Fatal(err)
		}
	}
	names := slices.Sorted(maps.Keys(tensors)) // the data are written in the order of the header
	for _, name := range names {
		if err := w.Add(name, quant.F32, len(tensors[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(); err != nil {
		t.Fatal(err)
	}
	for _, x := range f.Tensors() {
		if err := w.WriteTensor(x.Name, x.Data); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		v := tensors[name]
		b := make([]byte, 4*len(v))
		if err := errors.Join(quant.Pack(quant.F32, b, v), w.WriteTensor(name, b)); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// TestNothingIsIgnored: keys and tensors that may change the result and are not computed are errors that name them.
func TestNothingIsIgnored(t *testing.T) {
	bias := make([]float32, 32)
	for name, c := range map[string]struct {
		keys    map[string]any
		tensors map[string][]float32
		want    string // "" for a file that loads
	}{
		"bias":             {nil, map[string][]float32{"blk.0.attn_q.bias": bias}, "blk.0.attn_q.bias"},
		"norm of queries":  {nil, map[string][]float32{"blk.1.attn_q_norm.weight": bias}, "blk.1.attn_q_norm.weight"},
		"scaled logits":    {map[string]any{"llama.logit_scale": float32(0.5)}, nil, "llama.logit_scale"},
		"neutral scale":    {map[string]any{"llama.logit_scale": float32(1)}, nil, ""},
		"clamped":          {map[string]any{"llama.attention.clamp_kqv": float32(8)}, nil, "clamp_kqv"},
		"unknown":          {map[string]any{"llama.new_idea": uint32(1)}, nil, "llama.new_idea"},
		"sigmoid router":   {map[string]any{"llama.expert_gating_func": uint32(2)}, nil, "expert_gating_func"},
		"longrope":         {map[string]any{"llama.rope.scaling.type": "longrope"}, nil, "longrope"},
		"scaling without":  {map[string]any{"llama.rope.scaling.factor": float32(-2)}, nil, "scaling.factor"},
		"narrowing yarn":   {yarn(0.5), nil, "scaling.factor"},
		"log multiplier":   {map[string]any{"llama.rope.scaling.yarn_log_multiplier": float32(0.1)}, nil, "yarn_log"},
		"factors of zero":  {nil, map[string][]float32{"rope_freqs.weight": {1, 1, 0, 1}}, "rope_freqs.weight"},
		"layers differ":    {map[string]any{"llama.attention.head_count": []int32{4, 2}}, nil, "layer 1"},
		"layers alike":     {map[string]any{"llama.attention.head_count": []int32{4, 4}}, nil, ""},
		"no theta":         {map[string]any{"llama.rope.freq_base": nil}, nil, ""},
		"no scores":        {map[string]any{"tokenizer.ggml.scores": nil}, nil, ""},
		"no types":         {map[string]any{"tokenizer.ggml.token_type": nil}, nil, ""},
		"other vocabulary": {map[string]any{"llama.vocab_size": uint32(299)}, nil, ""},
		"padding":          {map[string]any{"tokenizer.ggml.padding_token_id": uint32(9999)}, nil, ""},
		"charsmap":         {map[string]any{"tokenizer.ggml.precompiled_charsmap": []int32{1}}, nil, "charsmap"},
		"spaces go":        {map[string]any{"tokenizer.ggml.remove_extra_whitespaces": true}, nil, "extra_white"},
		"spaces stay":      {map[string]any{"tokenizer.ggml.remove_extra_whitespaces": false}, nil, ""},
		"spaces behind":    {map[string]any{"tokenizer.ggml.treat_whitespace_as_suffix": true}, nil, "as_suffix"},
		"no factor":        {map[string]any{"llama.rope.scaling.type": "linear"}, nil, ""},
		"linear":           {map[string]any{"llama.rope.scaling.factor": float32(4)}, nil, ""},
		"yarn":             {yarn(4), nil, ""},
		"factors of one":   {nil, map[string][]float32{"rope_freqs.weight": {1, 1, 1, 1}}, ""},
	} {
		err := open(changed(t, c.keys, c.tensors))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, ErrModel) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want an error that names %q", name, err, c.want)
		}
	}
}

func yarn(factor float32) map[string]any {
	return map[string]any{"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": factor,
		"llama.rope.scaling.original_context_length": uint32(16)}
}

// TestRopeScaling holds the angles to the papers: linear scaling divides positions; YaRN leaves fast pairs alone,
// stretches slow ones and mixes between, and makes all a little larger.
func TestRopeScaling(t *testing.T) {
	plain := Rope{Theta: 10000, Factor: 1, Magnitude: 1, OrigContext: 4096, BetaFast: 32, BetaSlow: 1}
	base := plain.frequencies(128, nil)
	if base[0] != 1 || math.Abs(base[64/2]-math.Pow(10000, -0.5)) > 1e-15 {
		t.Errorf("plain: %v, %v", base[0], base[32])
	}
	linear, y := plain, plain
	linear.Factor, y.Factor, y.Yarn = 4, 4, true
	for i, f := range linear.frequencies(128, nil) {
		if math.Abs(f*4/base[i]-1) > 1e-12 {
			t.Fatalf("linear: pair %d is %v, plain %v", i, f, base[i])
		}
	}
	all := y.frequencies(128, nil)
	for i, f := range all {
		turns := 4096 * base[i] / (2 * math.Pi)
		ratio := f / base[i]
		switch {
		case turns > 36 && ratio != 1, turns < 0.8 && math.Abs(ratio-0.25) > 1e-12, ratio > 1, ratio < 0.25-1e-12,
			i > 0 && ratio > all[i-1]/base[i-1]+1e-12:
			t.Errorf("yarn: pair %d, %.1f turns, is %v of plain", i, turns, ratio)
		}
	}
	r, err := readRope(parse(t, changed(t, yarn(4), nil)), 32)
	if want := 1 + 0.1*math.Log(4); err != nil || math.Abs(float64(r.Magnitude)-want) > 1e-6 || r.OrigContext != 16 {
		t.Errorf("%+v, %v: want a magnitude of %v", r, err, want)
	}
	halved := plain.frequencies(4, []float32{1, 2})
	if whole := plain.frequencies(4, nil); halved[0] != whole[0] || halved[1] != whole[1]/2 {
		t.Errorf("factors: %v of %v", halved, whole)
	}
}

// TestEndsOfTurn: an answer ends at EOS, at the end of turn that the file names, and at <|im_end|>.
func TestEndsOfTurn(t *testing.T) {
	f := parse(t, changed(t, map[string]any{"tokenizer.ggml.eot_token_id": uint32(7)}, nil))
	s, err := TokenSpec(f)
	if err != nil || len(s.Ends) != 1 || s.Ends[0] != 7 {
		t.Errorf("%v, %v", s.Ends, err)
	}
}

// TestAddsAround: what a raw prompt begins and ends with is the file's choice.
func TestAddsAround(t *testing.T) {
	for _, c := range []struct {
		keys     map[string]any
		bos, eos bool
	}{{nil, true, false},
		{map[string]any{"tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.add_eos_token": true}, false, true},
		{map[string]any{"tokenizer.ggml.add_bos_token": true, "tokenizer.ggml.add_eos_token": false}, true, false},
	} {
		s, err := TokenSpec(parse(t, changed(t, c.keys, nil)))
		if err != nil || s.AddBOS != c.bos || s.AddEOS != c.eos {
			t.Errorf("%v: BOS %v, EOS %v, %v", c.keys, s.AddBOS, s.AddEOS, err)
		}
	}
}

// TestMarksAreControl: files of 2023 call the marks of ChatML user-defined; what people write must not become one.
// Where spaces go comes from our own key.
func TestMarksAreControl(t *testing.T) {
	spec := token.Synthetic(512, 1)
	for i, piece := range []string{"<|im_start|>", "<think>"} {
		id := 510 + i
		spec.Pieces[id], spec.Types[id], spec.Scores[id] = piece, token.TypeUserDefined, token.AddedScore
	}
	s, err := TokenSpec(parse(t, changed(t, map[string]any{"tokenizer.ggml.tokens": spec.Pieces,
		"tokenizer.ggml.token_type": spec.Types, token.MetaspaceKey: token.MetaspaceFirst}, nil)))
	if err != nil || s.Types[510] != token.TypeControl || s.Types[511] != token.TypeUserDefined ||
		s.Metaspace != token.MetaspaceFirst {
		t.Errorf("types %v, metaspace %q, %v", s.Types[510:], s.Metaspace, err)
	}
}

// TestFlagsOfAddedTokens: they come from our own keys, or in Phi-3's vocabulary from the model's name as in llama.cpp.
func TestFlagsOfAddedTokens(t *testing.T) {
	spec := token.Synthetic(512, 1)
	for i, piece := range []string{"<|endoftext|>", "<tool>"} {
		id := 510 + i
		spec.Pieces[id], spec.Types[id], spec.Scores[id] = piece, token.TypeUserDefined, token.AddedScore
	}
	keys := map[string]any{"tokenizer.ggml.tokens": spec.Pieces, "tokenizer.ggml.scores": spec.Scores,
		"tokenizer.ggml.token_type": spec.Types}
	for _, c := range []struct {
		key   string
		value any
		want  map[int32]token.Flags
		err   string
	}{
		{"general.name", "Mixtral", nil, ""},
		{"general.name", "Phi-3-mini MoE", map[int32]token.Flags{2: {RStrip: true}, 511: {RStrip: true}}, ""},
		{"mixtral.tokenizer.lstrip", []int32{511}, map[int32]token.Flags{511: {LStrip: true}}, ""},
		{"mixtral.tokenizer.normalized", []int32{511}, map[int32]token.Flags{511: {Normalized: true}}, ""},
		{"mixtral.tokenizer.rstrip", []int32{512}, nil, "id 512 of 512"},
		{"mixtral.tokenizer.single_word", "all", nil, "mixtral.tokenizer.single_word"},
	} {
		keys := maps.Clone(keys)
		keys[c.key] = c.value
		s, err := TokenSpec(parse(t, changed(t, keys, nil)))
		if err == nil {
			_, err = token.New(s)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) ||
			c.err == "" && (err != nil || !maps.Equal(s.Flags, c.want)) {
			t.Errorf("%s %v: %v, %v; want %v %s", c.key, c.value, s.Flags, err, c.want, c.err)
		}
	}
}

// TestOtherKindsOfFile: a GGUF file that holds no model says what it holds.
func TestOtherKindsOfFile(t *testing.T) {
	for kind, want := range map[string]string{"imatrix": "importance matrix", "adapter": "merge it", "model": ""} {
		_, err := readConfig(parse(t, changed(t, map[string]any{"general.type": kind}, nil)))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", kind, err, want)
		}
	}
}
