package synth

import (
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// tensor is one tensor to write, made of equal parts: a stacked expert tensor has one for each expert, so that both
// expert layouts draw the same values.
type tensor struct {
	name  string
	typ   quant.Type
	dims  []int
	parts []string // names that seed the values of each part
	mean  float32
	std   float32
	exact func(row, col int) float32 // if not nil, each weight
}

// calmFactor scales the matrices that write to the residual stream (attn_output, ffn_down) in calm models: a layer
// then adds a perturbation, and logits depend on rounding about as in a trained model.
const calmFactor = 0.1

// tensors lists the model's tensors in file order.
func (s Shape) tensors() []tensor {
	var out []tensor
	add := func(name string, typ quant.Type, mean, std float32, dims ...int) {
		out = append(out, tensor{name: name, typ: typ, dims: dims, parts: []string{name}, mean: mean, std: std})
	}
	damp := float32(1)
	if s.Calm {
		damp = calmFactor
	}
	kvDim := s.Dim / s.Heads * s.KVHeads
	dimStd, ffnStd := invSqrt(s.Dim), invSqrt(s.FFN)
	const normStd = 0.1 // near one, but a forgotten norm weight shows
	add("token_embd.weight", s.Type, 0, 1, s.Dim, s.Vocab)
	for l := range s.Layers {
		blk := func(name string) string { return fmt.Sprintf("blk.%d.%s.weight", l, name) }
		add(blk("attn_norm"), quant.F32, 1, normStd, s.Dim)
		add(blk("attn_q"), s.Type, 0, dimStd, s.Dim, s.Dim)
		add(blk("attn_k"), s.Type, 0, dimStd, s.Dim, kvDim)
		add(blk("attn_v"), s.Type, 0, dimStd, s.Dim, kvDim)
		add(blk("attn_output"), s.Type, 0, dimStd*damp, s.Dim, s.Dim)
		add(blk("ffn_norm"), quant.F32, 1, normStd, s.Dim)
		add(blk("ffn_gate_inp"), quant.F32, 0, dimStd, s.Dim, s.Experts)
		out = append(out, s.experts(l, "ffn_gate", dimStd, s.Dim, s.FFN)...)
		out = append(out, s.experts(l, "ffn_up", dimStd, s.Dim, s.FFN)...)
		out = append(out, s.experts(l, "ffn_down", ffnStd*damp, s.FFN, s.Dim)...)
	}
	add("output_norm.weight", quant.F32, 1, normStd, s.Dim)
	add("output.weight", s.Type, 0, dimStd, s.Dim, s.Vocab)
	for i := range out {
		if s.Needle {
			out[i].exact = s.needle(out[i].name)
		}
	}
	return out
}

// experts gives layer l's matrices of one kind: one stacked tensor, or in the old layout one for each expert.
func (s Shape) experts(l int, kind string, std float32, in, rows int) []tensor {
	stacked := tensor{name: fmt.Sprintf("blk.%d.%s_exps.weight", l, kind), typ: s.Type,
		dims: []int{in, rows, s.Experts}, std: std}
	var single []tensor
	for e := range s.Experts {
		name := fmt.Sprintf("blk.%d.%s.%d.weight", l, kind, e)
		stacked.parts = append(stacked.parts, name)
		single = append(single, tensor{name: name, typ: s.Type, dims: []int{in, rows}, parts: []string{name},
			std: std})
	}
	if s.OldExpertLayout {
		return single
	}
	return []tensor{stacked}
}
