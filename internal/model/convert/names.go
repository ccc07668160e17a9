package convert

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// hfLayer are the parts of a layer under the names of Hugging Face's MixtralForCausalLM.
var hfLayer = map[string]string{
	"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "block_sparse_moe.gate": "ffn_gate_inp",
	"mlp.gate":         "ffn_gate_inp",
	"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
	"self_attn.o_proj": "attn_output",
}

// hfExpert are an expert's matrices: w2(silu(w1·x) ∘ w3·x). Some merges have them under the names of dense models.
var hfExpert = map[string]string{"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps",
	"gate_proj": "ffn_gate_exps", "down_proj": "ffn_down_exps", "up_proj": "ffn_up_exps"}

// hfPacked are arrays of all experts, as Transformers 5 holds them: the matrices that lie in each expert's part, one
// below the other.
var hfPacked = map[string][]string{"gate_up_proj": {"ffn_gate_exps", "ffn_up_exps"}, "down_proj": {"ffn_down_exps"}}

// place is where a tensor belongs: its name in the new file, and which expert's part it is.
type place struct {
	name   string
	expert int // −1: the whole tensor
}

var (
	hfLayerName  = regexp.MustCompile(`^model\.layers\.(\d{1,4})\.(.+)\.weight$`)
	hfExpertName = regexp.MustCompile(`^(?:block_sparse_moe|mlp)\.experts\.(\d{1,4})\.(w[123]|(?:gate|up|down)_proj)$`)
	hfPackedName = regexp.MustCompile(`^model\.layers\.(\d{1,4})\.mlp\.experts\.(gate_up_proj|down_proj)$`)
	oldExperts   = regexp.MustCompile(`^(blk\.\d{1,4}\.ffn_(?:gate|up|down))\.(\d{1,4})\.weight$`)
	blockName    = regexp.MustCompile(`^blk\.(\d{1,4})\.(.+)\.weight$`)
)

// hfPlace maps a name. ok is false for a tensor that no Mixtral has; skip is true for one that holds no weights.
func hfPlace(name string) (p place, skip, ok bool) {
	p.expert = -1
	switch name {
	case "model.embed_tokens.weight":
		p.name = "token_embd.weight"
		return p, false, true
	case "model.norm.weight":
		p.name = "output_norm.weight"
		return p, false, true
	case "lm_head.weight":
		p.name = "output.weight"
		return p, false, true
	}
	if strings.HasSuffix(name, ".rotary_emb.inv_freq") { // older checkpoints carry the table along
		return p, true, true
	}
	m := hfLayerName.FindStringSubmatch(name)
	if m == nil {
		return p, false, false
	}
	layer, _ := strconv.Atoi(m[1])
	if e := hfExpertName.FindStringSubmatch(m[2]); e != nil {
		p.expert, _ = strconv.Atoi(e[1])
		p.name = blockTensor(layer, hfExpert[e[2]])
		return p, false, true
	}
	stem, ok := hfLayer[m[2]]
	p.name = blockTensor(layer, stem)
	return p, false, ok
}

func blockTensor(layer int, stem string) string { return fmt.Sprintf("blk.%d.%s.weight", layer, stem) }

// ggufPlace maps the names of GGUF files, whose experts may be one tensor each.
func ggufPlace(name string) place {
	if m := oldExperts.FindStringSubmatch(name); m != nil {
		e, _ := strconv.Atoi(m[2])
		return place{m[1] + "_exps.weight", e}
	}
	return place{name, -1}
}

// kindOf finds a tensor's place in the model by its GGUF name.
func kindOf(name string) (kind Kind, layer int, ok bool) {
	stem := strings.TrimSuffix(name, ".weight")
	if m := blockName.FindStringSubmatch(name); m != nil {
		layer, _ = strconv.Atoi(m[1])
		stem = m[2]
	}
	kind, ok = stems[stem]
	return kind, layer, ok
}

// order sorts tensors as llama.cpp's converter writes them: embedding, layers, output.
func order(name string) int {
	m := blockName.FindStringSubmatch(name)
	if m == nil {
		if name == "token_embd.weight" {
			return -1
		}
		return 1 << 20 // after any layer
	}
	layer, _ := strconv.Atoi(m[1])
	return layer
}
