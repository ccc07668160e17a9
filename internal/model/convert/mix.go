package convert

import (
	"fmt"
	"sort"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Mix is a format of a whole file: most tensors get Base, some that matter more get more bits.
//
// The rules are those that llama.cpp has for Mixtral (llama_tensor_get_type in src/llama-quant.cpp, v0.5.0), so that
// a file of a name is the same thing everywhere:
//
//   - norms and the router are F32: a few MB, and a wrong expert costs more than they do;
//   - output is Q6_K, unless Base is Q8_0 or wider: every token's choice goes through it;
//   - with 8 experts attn_k and attn_v are Q8_0, 128 MB for 8x7B, and attn_output is Q5_K below five bits: they are
//     small beside the experts, and every token uses them;
//   - ffn_down, which writes to the residual stream, gets the next wider format in the layers that the name's letter
//     says, and a minimum in the first eighth of q4_0 and q5_0 where there is an importance matrix.
type Mix struct {
	Name string
	Base quant.Type
	Pure bool // every matrix is Base, but for norms and router

	weighted bool // there is an importance matrix

	fileType uint32 // llama.cpp's llama_ftype, which readers show to people
}

// mixes by name. Where a K format has several, the bare name is the medium one.
var mixes = map[string]Mix{
	"f32": {Base: quant.F32, fileType: 0}, "f16": {Base: quant.F16, fileType: 1},
	"bf16": {Base: quant.BF16, fileType: 32},
	"q8_0": {Base: quant.Q8_0, fileType: 7}, "q6_k": {Base: quant.Q6_K, fileType: 18},
	"q5_0": {Base: quant.Q5_0, fileType: 8}, "q4_0": {Base: quant.Q4_0, fileType: 2},
	"q5_1": {Base: quant.Q5_1, fileType: 9}, "q4_1": {Base: quant.Q4_1, fileType: 3},
	"iq4_nl": {Base: quant.IQ4_NL, fileType: 25}, "iq4_xs": {Base: quant.IQ4_XS, fileType: 30},
	"q5_k_m": {Base: quant.Q5_K, fileType: 17}, "q5_k_s": {Base: quant.Q5_K, fileType: 16},
	"q4_k_m": {Base: quant.Q4_K, fileType: 15}, "q4_k_s": {Base: quant.Q4_K, fileType: 14},
	"q3_k_l": {Base: quant.Q3_K, fileType: 13}, "q3_k_m": {Base: quant.Q3_K, fileType: 12},
	"q3_k_s": {Base: quant.Q3_K, fileType: 11},
	"q2_k":   {Base: quant.Q2_K, fileType: 10}, "q2_k_s": {Base: quant.Q2_K, fileType: 21},
}

var short = map[string]string{"q5_k": "q5_k_m", "q4_k": "q4_k_m", "q3_k": "q3_k_m"}

// Mixes lists the names, widest first.
func Mixes() []string {
	names := make([]string, 0, len(mixes))
	for name := range mixes {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := mixes[names[i]], mixes[names[j]]
		if x, y := a.Base.BitsPerWeight(), b.Base.BitsPerWeight(); x != y {
			return x > y
		}
		return names[i] < names[j]
	})
	return names
}

// keep is the mix that changes no format: it stacks experts and joins parts.
const keep = "keep"

// ParseMix finds a mix by its name in any case, such as Q4_K_M; "keep" leaves every tensor in its format.
func ParseMix(name string) (Mix, error) {
	key := strings.ToLower(name)
	if key == keep {
		return Mix{Name: keep}, nil
	}
	if long, ok := short[key]; ok {
		key = long
	}
	m, ok := mixes[key]
	if !ok {
		return m, fmt.Errorf("%w: the format must be one of %s, or %s, got %q", quant.ErrType,
			strings.Join(Mixes(), ", "), keep, name)
	}
	m.Name = key
	return m, nil
}

// foreignMixes are those of llama.cpp whose files are read here and not made.
var foreignMixes = map[uint32]string{19: "iq2_xxs", 20: "iq2_xs", 22: "iq3_xs", 23: "iq3_xxs", 24: "iq1_s",
	26: "iq3_s", 27: "iq3_m", 28: "iq2_s", 29: "iq2_m", 31: "iq1_m"}

// MixOf gives the name for what a file says of itself in general.file_type; empty for a number that no Mixtral has.
func MixOf(fileType uint32) string {
	if name, ok := foreignMixes[fileType]; ok {
		return name
	}
	for name, m := range mixes {
		if m.fileType == fileType {
			return name
		}
	}
	return ""
}

// Type gives the format of one tensor.
func (m Mix) Type(t Tensor, s shape, tied bool) quant.Type {
	if m.Name == keep {
		return t.From
	}
	if t.Kind == Norm || t.Kind == Router {
		return quant.F32
	}
	if m.Base.BlockLen() == 1 { // F32, F16, BF16
		return m.Base
	}
	typ := m.Base
	if !m.Pure {
		typ = m.wanted(t.Kind, t.layer, s, tied)
	}
	return fit(typ, t.Dims[0], t.Kind == Output && !m.Pure)
}

func (m Mix) wanted(kind Kind, layer int, s shape, tied bool) quant.Type {
	eight, grouped := s.experts == 8, s.heads/s.kvHeads >= 4
	switch kind {
	case Embedding:
		if tied { // it is the output, too
			return m.wanted(Output, layer, s, false)
		}
	case Output:
		if m.Base != quant.Q8_0 {
			return quant.Q6_K
		}
	case Key:
		if eight {
			return quant.Q8_0
		}
	case Value:
		if eight {
			return quant.Q8_0
		}
		typ := m.value(layer, s.layers, grouped)
		if s.layers == 80 && s.heads != s.kvHeads && (typ == quant.Q3_K || typ == quant.Q4_K) {
			return quant.Q5_K // Llama 2 70B and its merges: attn_v is an eighth of attn_q
		}
		return typ
	case Attended:
		return m.attended(eight)
	case Down:
		return m.down(layer, s.layers)
	}
	return m.Base
}

func (m Mix) value(layer, layers int, grouped bool) quant.Type {
	switch m.Name {
	case "q2_k":
		if !grouped {
			return quant.Q3_K
		}
		return quant.Q4_K
	case "q2_k_s":
		if grouped {
			return quant.Q4_K
		}
	case "q3_k_m":
		if layer < 2 {
			return quant.Q5_K
		}
		return quant.Q4_K
	case "q3_k_l":
		return quant.Q5_K
	case "iq4_nl", "iq4_xs":
		if grouped {
			return quant.Q5_K
		}
	case "q4_k_s":
		if layer < 4 {
			return quant.Q5_K
		}
	case "q4_k_m", "q5_k_m":
		if moreBits(layer, layers) {
			return quant.Q6_K
		}
	}
	return m.Base
}

func (m Mix) attended(eight bool) quant.Type {
	switch m.Name {
	case "q2_k":
		if !eight {
			return quant.Q3_K
		}
		return quant.Q5_K
	case "q3_k_m":
		if !eight {
			return quant.Q4_K
		}
		return quant.Q5_K
	case "q3_k_l":
		if !eight {
			return quant.Q5_K
		}
	case "q3_k_s", "q4_k_s", "q4_k_m", "iq4_nl", "iq4_xs":
		if eight {
			return quant.Q5_K
		}
	}
	return m.Base
}

func (m Mix) down(layer, layers int) quant.Type {
	switch m.Name {
	case "q2_k":
		return quant.Q3_K
	case "q4_0":
		if m.weighted && layer < layers/8 {
			return quant.Q4_1
		}
	case "q5_0":
		if m.weighted && layer < layers/8 {
			return quant.Q5_1
		}
	case "iq4_nl", "iq4_xs":
		if !m.weighted && layer < layers/8 {
			return quant.Q5_K
		}
	case "q2_k_s":
		if layer < layers/8 {
			return quant.Q4_K
		}
	case "q3_k_m":
		if layer < layers/16 {
			return quant.Q5_K
		}
		return quant.Q4_K
	case "q3_k_l":
		return quant.Q5_K
	case "q4_k_s":
		if layer < layers/8 {
			return quant.Q5_K
		}
	case "q4_k_m", "q5_k_m":
		if moreBits(layer, layers) {
			return quant.Q6_K
		}
	}
	return m.Base
}

// moreBits picks half of the layers: the first and the last eighth, and every third between.
func moreBits(layer, layers int) bool {
	eighth := layers / 8
	return layer < eighth || layer >= 7*layers/8 || (layer-eighth)%3 == 2
}

// fit gives the nearest format, not narrower, whose blocks divide a row. Of a row that is not a multiple of 32 it is
// F16.
func fit(t quant.Type, cols int, output bool) quant.Type {
	wider := map[quant.Type]quant.Type{quant.Q2_K: quant.Q4_0, quant.Q3_K: quant.Q4_0, quant.Q4_K: quant.Q5_0,
		quant.Q5_K: quant.Q5_1, quant.Q6_K: quant.Q8_0, quant.IQ4_XS: quant.IQ4_NL}
	if w, ok := wider[t]; ok && cols%t.BlockLen() != 0 {
		if t = w; output {
			t = quant.Q8_0
		}
	}
	if cols%t.BlockLen() != 0 {
		return quant.F16
	}
	return t
}
