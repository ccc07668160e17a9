package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// hfConfig is what config.json says of a MixtralForCausalLM.
type hfConfig struct {
	ModelType     string     `json:"model_type"`
	Architectures []string   `json:"architectures"`
	Dim           int        `json:"hidden_size"`
	FFN           int        `json:"intermediate_size"`
	Layers        int        `json:"num_hidden_layers"`
	Heads         int        `json:"num_attention_heads"`
	KVHeads       int        `json:"num_key_value_heads"`
	HeadDim       int        `json:"head_dim"` // 0, null or absent: Dim/Heads
	Experts       int        `json:"num_local_experts"`
	ExpertsUsed   int        `json:"num_experts_per_tok"`
	Context       int        `json:"max_position_embeddings"`
	Window        int        `json:"sliding_window"` // 0, null or absent: none
	Vocab         int        `json:"vocab_size"`
	NormEps       float64    `json:"rms_norm_eps"`
	RopeTheta     float64    `json:"rope_theta"`
	Rope          ropeConfig `json:"rope_parameters"` // where newer files have rope_theta
	RopeScaling   ropeConfig `json:"rope_scaling"`
	Activation    string     `json:"hidden_act"`
	Tied          bool       `json:"tie_word_embeddings"`
	BOS           tokenID    `json:"bos_token_id"`
	EOS           tokenID    `json:"eos_token_id"`
}

// ropeConfig is how positions are scaled; the names are those of transformers' rope_parameters.
type ropeConfig struct {
	Theta     float64  `json:"rope_theta"`
	Type      string   `json:"rope_type"`
	Old       string   `json:"type"`
	Factor    float64  `json:"factor"`
	Original  int      `json:"original_max_position_embeddings"`
	Attn      *float64 `json:"attention_factor"`
	BetaFast  *float64 `json:"beta_fast"`
	BetaSlow  *float64 `json:"beta_slow"`
	Mscale    *float64 `json:"mscale"`
	MscaleAll *float64 `json:"mscale_all_dim"`
	Truncate  *bool    `json:"truncate"`
}

// kind is the sort of scaling; "" for none.
func (r ropeConfig) kind() string {
	for _, k := range []string{r.Type, r.Old} {
		if k != "" && k != "default" {
			return k
		}
	}
	return ""
}

// tokenID is an id, or a list of some that mean the same; none for null.
type tokenID []int32

func (t *tokenID) UnmarshalJSON(b []byte) error {
	var id *int32
	if err := json.Unmarshal(b, &id); err != nil {
		return json.Unmarshal(b, (*[]int32)(t))
	}
	if id != nil {
		*t = []int32{*id}
	}
	return nil
}

// Bounds of the small files of a directory. The largest tokenizer.json that are published have 30 MB;
// Mixtral's has 3.5 MB. What is decoded may take a hundred times as much as its text, so that its values are counted
// first.
const (
	maxTokenizer = 64 << 20  // bytes of tokenizer.json and tokenizer.model
	maxSmall     = 4 << 20   // bytes of any other
	maxValues    = 1_000_000 // of tokenizer.json; Mixtral's has 300,000 at most
	maxSettings  = 200_000   // values of any other
	maxDepth     = 64
)

// readFile reads a file of the directory; nil where it does not exist.
func readFile(dir, name string) ([]byte, error) {
	most := int64(maxSmall)
	if name == tokenizerJSON || name == tokenizerModel {
		most = maxTokenizer
	}
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > most:
		return nil, fmt.Errorf("%w: %s must be a regular file of at most %d MiB", ErrSource, path, most>>20)
	}
	return bounded.File(path, most)
}

// quoted is a text from elsewhere as an error shows it.
func quoted(text string) string { return strconv.Quote(bounded.Short(text, 200)) }

// decode is json.Unmarshal of a text that came from elsewhere, with at most so many values.
func decode(data []byte, values int, into any) error {
	if err := bounded.JSON(data, values, maxDepth); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func readConfig(dir string) (hfConfig, error) {
	path := filepath.Join(dir, "config.json")
	data, err := readFile(dir, "config.json")
	if err != nil {
		return hfConfig{}, err
	}
	if data == nil {
		return hfConfig{}, fmt.Errorf("%w: %s is missing", ErrSource, path)
	}
	c, err := parseConfig(data)
	if err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrSource, path, err)
	}
	return c, nil
}

func parseConfig(data []byte) (c hfConfig, err error) {
	if err := decode(data, maxSettings, &c); err != nil {
		return c, err
	}
	if c.ModelType != "mixtral" {
		return c, fmt.Errorf("model_type must be \"mixtral\", got %q (%s)",
			bounded.Short(c.ModelType, 200), bounded.Short(strings.Join(c.Architectures, ", "), 200))
	}
	if c.RopeTheta == 0 {
		c.RopeTheta = c.Rope.Theta
	}
	if c.RopeTheta == 0 {
		c.RopeTheta = 1e6 // MixtralConfig's default
	}
	if c.NormEps == 0 {
		c.NormEps = 1e-5 // likewise
	}
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Dim / c.Heads
	}
	if c.Window > 0 && c.Window < c.Context { // up to here it makes no difference, and no further is computed
		c.Context = c.Window
	}
	return c, c.check()
}

func (c *hfConfig) check() error {
	for _, n := range []struct {
		key        string
		value, max int
	}{
		{"hidden_size", c.Dim, 1 << 17}, {"intermediate_size", c.FFN, 1 << 18},
		{"num_hidden_layers", c.Layers, 1 << 10},
		{"num_attention_heads", c.Heads, 1 << 10}, {"num_key_value_heads", c.KVHeads, 1 << 10},
		{"head_dim", c.HeadDim, 1 << 10},
		{"num_local_experts", c.Experts, 1 << 10}, {"num_experts_per_tok", c.ExpertsUsed, 1 << 10},
		{"max_position_embeddings", c.Context, 1 << 24}, {"vocab_size", c.Vocab, 1 << 21},
	} {
		if n.value < 1 || n.value > n.max {
			return fmt.Errorf("%s must be 1 to %d, got %d", n.key, n.max, n.value)
		}
	}
	switch {
	case c.HeadDim%2 != 0:
		return fmt.Errorf("head_dim must be even, got %d", c.HeadDim)
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("num_attention_heads must be a multiple of num_key_value_heads %d, got %d", c.KVHeads,
			c.Heads)
	case c.ExpertsUsed > c.Experts:
		return fmt.Errorf("num_experts_per_tok must be at most the %d experts, got %d", c.Experts, c.ExpertsUsed)
	case !(c.RopeTheta > 1 && c.RopeTheta < 1e12):
		return fmt.Errorf("rope_theta must be above 1 and below 1e12, got %v", c.RopeTheta)
	case !(c.NormEps > 0 && c.NormEps < 1):
		return fmt.Errorf("rms_norm_eps must be between 0 and 1, got %v", c.NormEps)
	case c.Activation != "" && c.Activation != "silu":
		return fmt.Errorf("hidden_act must be \"silu\", got %q", c.Activation)
	}
	if err := c.Rope.check(); err != nil {
		return fmt.Errorf("rope_parameters: %w", err)
	}
	if err := c.RopeScaling.check(); err != nil {
		return fmt.Errorf("rope_scaling: %w", err)
	}
	return nil
}

// scaling is that of rope_parameters, or of rope_scaling, its name in older files.
func (c *hfConfig) scaling() ropeConfig {
	if c.Rope.kind() != "" {
		return c.Rope
	}
	return c.RopeScaling
}

// check refuses scalings that are not computed.
func (r ropeConfig) check() error {
	finite := func(v *float64) bool { return v == nil || *v > 0 && *v < 1e6 }
	switch kind := r.kind(); {
	case kind == "":
		return nil
	case kind != "linear" && kind != "yarn":
		return fmt.Errorf("%q is not supported; linear and yarn are", kind)
	case !(r.Factor >= 1 && r.Factor < 1e6):
		return fmt.Errorf("factor must be at least 1 and below 1e6, got %v", r.Factor)
	case kind == "linear":
		return nil
	case r.Mscale != nil || r.MscaleAll != nil:
		return errors.New("mscale and mscale_all_dim are not supported")
	case r.Truncate != nil && !*r.Truncate:
		return errors.New("truncate is false, which is not supported")
	case r.Original < 0 || r.Original > 1<<24:
		return fmt.Errorf("original_max_position_embeddings must be 1 to %d, got %d", 1<<24, r.Original)
	case !finite(r.Attn) || !finite(r.BetaFast) || !finite(r.BetaSlow):
		return errors.New("attention_factor, beta_fast and beta_slow must be above 0")
	}
	return nil
}

// keys gives the keys llama.rope.scaling.* that say the same.
func (r ropeConfig) keys() (keys []metadata) {
	kind := r.kind()
	if kind == "" {
		return nil
	}
	add := func(key string, value any) { keys = append(keys, metadata{"llama.rope.scaling." + key, value}) }
	add("type", kind)
	add("factor", float32(r.Factor))
	if kind == "linear" {
		return keys
	}
	if r.Original > 0 {
		add("original_context_length", uint32(r.Original))
	}
	if r.Attn != nil { // GGUF's factor comes on top of YaRN's own
		add("attn_factor", float32(*r.Attn/(1+0.1*math.Log(r.Factor))))
	}
	if r.BetaFast != nil {
		add("yarn_beta_fast", float32(*r.BetaFast))
	}
	if r.BetaSlow != nil {
		add("yarn_beta_slow", float32(*r.BetaSlow))
	}
	return keys
}

// dims gives the shape a tensor must have, ne0 first; for an expert's part without the expert dimension.
func (c *hfConfig) dims(k Kind) []int {
	switch k {
	case Norm:
		return []int{c.Dim}
	case Router:
		return []int{c.Dim, c.Experts}
	case Query:
		return []int{c.Dim, c.Heads * c.HeadDim}
	case Key, Value:
		return []int{c.Dim, c.KVHeads * c.HeadDim}
	case Attended:
		return []int{c.Heads * c.HeadDim, c.Dim}
	case Gate, Up:
		return []int{c.Dim, c.FFN}
	case Down:
		return []int{c.FFN, c.Dim}
	}
	return []int{c.Dim, c.Vocab}
}
