package convert

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/convert/hftest"
	"github.com/hxp-enterprise/mixtral/internal/model/safetensors"
)

// TestQuantisedArrays: the arrays of each published layout of quantised weights tell what they are, also where no
// configuration does: the error names the method, and what to take instead.
func TestQuantisedArrays(t *testing.T) {
	dir := t.TempDir()
	if err := hftest.Write(dir, build(t, small(quant.F16)), hftest.Options{DType: "F16", Shards: 1}); err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{"F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1, "F16": 2, "I32": 4, "U32": 4, "F32": 4}
	type array struct {
		name, dtype string
		shape       []int
	}
	const inputs, outputs, group = 256, 64, 128
	packed := func(name, dtype string) array { return array{name, dtype, []int{outputs, inputs / 8}} }
	scales := array{"scales", "F16", []int{inputs / group, outputs}}
	zeros := array{"qzeros", "I32", []int{inputs / group, outputs / 8}}
	order := array{"g_idx", "I32", []int{inputs}}
	whole := func(dtype string) array { return array{"weight", dtype, []int{outputs, inputs}} }
	for name, c := range map[string]struct {
		want   string
		arrays []array
	}{
		"GPTQ": {"GPTQ", []array{{"qweight", "I32", []int{inputs / 8, outputs}}, zeros, scales, order}},
		"GPTQ of 8 bits without order": {"GPTQ", []array{{"qweight", "I32", []int{inputs / 4, outputs}},
			{"qzeros", "I32", []int{inputs / group, outputs / 4}}, scales}},
		"GPTQ of 4 bits without order": {"GPTQ", []array{{"qweight", "I32", []int{inputs / 8, outputs}}, zeros,
			scales}},
		"AWQ gemm": {"AWQ", []array{{"qweight", "I32", []int{inputs, outputs / 8}}, zeros, scales}},
		"AWQ gemv": {"AWQ", []array{packed("qweight", "I32"), {"qzeros", "I32", []int{outputs, 1}},
			{"scales", "F16", []int{outputs, 8}}}},
		"FP8 of a tensor": {"FP8", []array{whole("F8_E4M3"), {"weight_scale", "F32", nil},
			{"input_scale", "F32", nil}}},
		"FP8 of a channel": {"FP8", []array{whole("F8_E4M3"), {"weight_scale", "F16", []int{outputs, 1}}}},
		"FP8 of a block":   {"FP8", []array{whole("F8_E4M3"), {"weight_scale_inv", "F32", []int{1, 2}}}},
		"FP8 bare":         {"FP8", []array{whole("F8_E5M2")}},
		"compressed-tensors": {"compressed-tensors", []array{packed("weight_packed", "I32"),
			{"weight_scale", "F16", []int{outputs, 2}}, {"weight_shape", "I32", []int{2}}}},
		"INT8": {"INT8", []array{whole("I8"), {"weight_scale", "F32", []int{outputs, 1}}}},
		"NVFP4": {"NVFP4", []array{{"weight", "U8", []int{outputs, inputs / 2}},
			{"weight_scale", "F8_E4M3", []int{outputs, inputs / 16}}, {"weight_scale_2", "F32", nil}}},
		"bitsandbytes nf4": {"bitsandbytes", []array{{"weight", "U8", []int{outputs * inputs / 2, 1}},
			{"weight.absmax", "U8", []int{inputs}}, {"weight.quant_map", "F32", []int{16}},
			{"weight.quant_state.bitsandbytes__nf4", "U8", []int{90}}}},
		"bitsandbytes int8": {"bitsandbytes", []array{whole("I8"), {"SCB", "F32", []int{outputs}}}},
		"MLX": {"MLX", []array{packed("weight", "U32"), {"scales", "F16", []int{outputs, 4}},
			{"biases", "F16", []int{outputs, 4}}}},
		"EXL2": {"EXL2", []array{{"q_weight", "I32", []int{32, outputs}}, {"q_invperm", "I32", []int{inputs}}}},
		"EXL3": {"EXL3", []array{{"trellis", "U8", []int{16, 4, 64}}}},
		"HQQ":  {"HQQ", []array{{"W_q", "U8", []int{outputs, inputs / 2}}}},
		"AQLM": {"AQLM", []array{{"codebooks", "F16", []int{1, 256, 1, 8}}, {"codes", "I8", []int{outputs, 32, 1}}}},
		"bare": {"a method that no file names", []array{whole("I8")}},
	} {
		var arrays []safetensors.Array
		for _, a := range c.arrays {
			n := sizes[a.dtype]
			for _, d := range a.shape {
				n *= d
			}
			arrays = append(arrays, safetensors.Array{Name: "model.layers.0.self_attn.q_proj." + a.name,
				DType: a.dtype, Shape: append([]int{}, a.shape...), Data: make([]byte, n)})
		}
		f, err := os.Create(filepath.Join(dir, "model.safetensors"))
		if err == nil {
			err = errors.Join(safetensors.Write(f, arrays), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(dir)
		var refused *UnsupportedError
		if !errors.As(err, &refused) || !strings.HasSuffix(refused.What,
			"its weights are quantised with "+c.want+", which is not supported") || refused.Hint != hintOriginal {
			t.Errorf("%s: %v, want the name %s", name, err, c.want)
		}
	}
}
