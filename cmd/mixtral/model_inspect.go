package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/chat"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// modelInspectCmd describes a model. It reads only the metadata of a file.
type modelInspectCmd struct {
	Model    string       `arg:"" optional:"" help:"Path of a .gguf file or of a model's directory, a name that model list shows, synth:tiny, synth:nano, synth:mid, or demo."`
	Parallel int          `range:"1..1024" default:"10" placeholder:"N" help:"Number of requests computed at the same time, for the memory estimate; default: ${default}."`
	Context  int          `range:"0..16777216" placeholder:"N" help:"Number of tokens in each request, for the memory estimate; default: the model's context."`
	KVType   quant.KVType `name:"kv-type" placeholder:"TYPE" help:"Format of the KV cache, for the memory estimate: f16 (default) or q8_0."`
	Memory   float64      `range:"0..1048576" placeholder:"GIB" help:"Memory in GiB that the model must fit into; default: what the machine or the control group allows."`
	JSON     bool         `help:"Print JSON."`
}

// inspection is what inspect --json prints.
type inspection struct {
	Model        string        `json:"model"`
	Path         string        `json:"path,omitempty"`
	From         string        `json:"from,omitempty"` // directory of safetensors; serving converts it
	Name         string        `json:"name,omitempty"`
	FileBytes    int64         `json:"file_bytes"`
	Params       int64         `json:"params"`
	ActiveParams int64         `json:"active_params"`
	Layers       int           `json:"layers"`
	Dim          int           `json:"dim"`
	FFN          int           `json:"ffn"`
	Heads        int           `json:"heads"`
	KVHeads      int           `json:"kv_heads"`
	HeadDim      int           `json:"head_dim"`
	Experts      int           `json:"experts"`
	ExpertsUsed  int           `json:"experts_used"`
	Vocab        int           `json:"vocab"`
	Context      int           `json:"context"`
	RopeTheta    float32       `json:"rope_theta"`
	RopeScaling  string        `json:"rope_scaling,omitempty"` // such as "linear, 4"
	Mix          string        `json:"mix,omitempty"`          // the mix that the file names, such as q4_k_m
	Packed       bool          `json:"packed"`                 // by model pack: the kernels read the mapped file itself
	Tokenizer    string        `json:"tokenizer"`
	Template     string        `json:"template"` // "own", "missing" or "unsupported"
	Formats      []formatShare `json:"formats"`
	Memory       memoryOfModel `json:"memory"`
}

type formatShare struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
	Params  int64  `json:"params"`
	Bytes   int64  `json:"bytes"`
}

// memoryOfModel is the memory that serving needs.
type memoryOfModel struct {
	WeightBytes    int64  `json:"weight_bytes"`     // as loaded
	TokenReadBytes int64  `json:"token_read_bytes"` // of weights, for one token of one sequence
	KVType         string `json:"kv_type"`
	KVTokenBytes   int64  `json:"kv_token_bytes"`
	Parallel       int    `json:"parallel"`
	Context        int    `json:"context"`
	KVBytes        int64  `json:"kv_bytes"`
	ReserveBytes   int64  `json:"reserve_bytes"` // for everything else
	TotalBytes     int64  `json:"total_bytes"`
	BoundBytes     int64  `json:"bound_bytes"` // what may be used; 0 if unknown
	Bound          string `json:"bound"`       // what sets the limit
	Fits           string `json:"fits"`        // "yes", "partly" (fewer contexts at once), "no" or "unknown"
	Why            string `json:"why"`
}

func (c *modelInspectCmd) Run(a *app) error {
	o, err := openModelWith(a, c.Model, func(o *catalog.Options) {
		o.Describe, o.KVType = true, c.KVType
		if c.Context > 0 {
			o.Context = c.Context
		}
		if c.Memory > 0 {
			o.Memory = int64(c.Memory * (1 << 30))
		}
	})
	if err != nil {
		return err
	}
	defer o.Close()
	info, err := moe.Describe(o.File)
	if err != nil {
		return usageError(err)
	}
	context := c.Context
	if context == 0 {
		context = info.Context
	}
	in := inspection{
		Model: o.ID, Path: o.Path, From: o.From, Name: o.File.StringOr("general.name", ""), FileBytes: o.File.Size(),
		Params: info.Params, ActiveParams: info.Active,
		Layers: info.Layers, Dim: info.Dim, FFN: info.FFN, Heads: info.Heads, KVHeads: info.KVHeads,
		HeadDim: info.HeadDim,
		Experts: info.Experts, ExpertsUsed: info.ExpertsUsed, Vocab: info.Vocab, Context: info.Context,
		RopeTheta: info.Rope.Theta, RopeScaling: ropeScaling(info.Rope),
	}
	for _, f := range info.Formats {
		in.Formats = append(in.Formats, formatShare{f.Type.String(), f.Tensors, f.Params, f.Bytes})
	}
	if n, err := o.File.Uint32("general.file_type"); err == nil {
		in.Mix = convert.MixOf(n)
	}
	in.Packed = info.Mapped
	in.Tokenizer, in.Template = describeTokenizer(o.File)
	in.Memory = c.plan(o, info, context)
	if c.JSON {
		return printJSON(a.stdout, in)
	}
	return in.print(a.stdout)
}

func (in *inspection) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("model", "%s", strings.TrimSpace(in.Model+"  "+in.Name))
	if in.Path != "" {
		row("file", "%s", in.Path)
	}
	if in.From != "" {
		row("directory", "%s: safetensors; what follows is what they are converted to", in.From)
	}
	row("file size", "%s", size(in.FileBytes))
	row("parameters", "%s, %s active for a token", count(in.Params), count(in.ActiveParams))
	row("shape", "%s of width %d; %s of %d on %s", noun.Of(in.Layers, "layer", "layers"), in.Dim,
		noun.Of(in.Heads, "head", "heads"), in.HeadDim, noun.Of(in.KVHeads, "KV head", "KV heads"))
	row("experts", "%d of width %d, %d for a token", in.Experts, in.FFN, in.ExpertsUsed)
	row("vocabulary", "%d", in.Vocab)
	scaling := ""
	if in.RopeScaling != "" {
		scaling = ", scaling " + in.RopeScaling
	}
	row("context", "%d tokens, RoPE theta %g%s", in.Context, in.RopeTheta, scaling)
	row("tokenizer", "%s", in.Tokenizer)
	row("chat template", "%s", templateText[in.Template])
	if in.Mix != "" {
		row("format", "%s", in.Mix)
	}
	for _, f := range in.Formats {
		row("format "+f.Type, "%s, %s parameters, %s", noun.Of(f.Tensors, "tensor", "tensors"),
			count(f.Params), size(f.Bytes))
	}
	m := in.Memory
	where := "in memory"
	if in.Packed {
		where = "in the page cache (the file is packed)"
	}
	row("weights", "%s %s; a token reads %s", size(m.WeightBytes), where, size(m.TokenReadBytes))
	row("KV cache", "%s: %d sequences × %d tokens × %s in %s", size(m.KVBytes), m.Parallel, m.Context,
		size(m.KVTokenBytes), m.KVType)
	row("memory", "%s with %s for everything else", size(m.TotalBytes), size(m.ReserveBytes))
	row("fits", "%s: %s", m.Fits, m.Why)
	return t.Flush()
}

// ropeScaling describes how positions are scaled; empty if they are not.
func ropeScaling(r moe.Rope) string {
	switch {
	case r.Yarn:
		return fmt.Sprintf("yarn, %g from %d tokens", r.Factor, r.OrigContext)
	case r.Factor != 1:
		return fmt.Sprintf("linear, %g", r.Factor)
	}
	return ""
}

// describeTokenizer describes the vocabulary, and says how its chat template will be used.
func describeTokenizer(f *gguf.File) (text, template string) {
	spec, err := moe.TokenSpec(f)
	if err != nil {
		return err.Error(), "unsupported"
	}
	tok, err := token.New(spec)
	if err != nil {
		return err.Error(), "unsupported"
	}
	template = "own"
	if spec.Template == "" {
		template = "missing"
	}
	if _, err := chat.Choose("", spec.Template, tok); err != nil {
		template = "unsupported"
	}
	return fmt.Sprintf("SentencePiece BPE, %d pieces, BOS %d, EOS %d", tok.Vocab(), tok.BOS(), tok.EOS()), template
}

// templateText explains the JSON's values of template.
var templateText = map[string]string{
	"own": "in the file", "missing": "none in the file: ChatML for a vocabulary with <|im_start|>, else Mixtral's",
	"unsupported": "cannot be used: the model answers /v1/completions only, or --chat-template names another",
}

// plan adds up the memory that serving needs and compares it with what is available, as the service does when it
// starts.
func (c *modelInspectCmd) plan(o *catalog.Opened, info moe.Info, context int) memoryOfModel {
	f := engine.FootprintOf(info, c.KVType, context)
	m := memoryOfModel{
		WeightBytes: f.Weights, TokenReadBytes: info.StepBytes(1), KVType: c.KVType.String(),
		KVTokenBytes: f.TokenBytes(), Parallel: c.Parallel, Context: context,
		KVBytes: int64(c.Parallel) * f.Context, ReserveBytes: f.Reserve, TotalBytes: f.Need(c.Parallel),
	}
	m.BoundBytes, m.Bound = host.Read().MemoryBound()
	if c.Memory > 0 {
		m.BoundBytes, m.Bound = int64(c.Memory*(1<<30)), "--memory"
	}
	room := f.Room(m.BoundBytes)
	switch {
	case m.BoundBytes == 0:
		m.Fits, m.Why = "unknown", "the system does not say how much memory there is"
	case m.TotalBytes <= m.BoundBytes:
		m.Fits, m.Why = "yes", fmt.Sprintf("%s of the %s that %s allows", size(m.TotalBytes), size(m.BoundBytes),
			m.Bound)
	case room >= f.Context:
		m.Fits = "partly"
		m.Why = fmt.Sprintf("%s allows %s, which holds %d whole contexts of %d tokens; shorter requests run %d at "+
			"a time", m.Bound, size(m.BoundBytes), room/f.Context, context, c.Parallel)
		if q8 := engine.FootprintOf(info, quant.KVQ8, context); c.KVType != quant.KVQ8 &&
			q8.Need(c.Parallel) <= m.BoundBytes {
			m.Why += "; with --kv-type q8_0 all fit"
		}
	default:
		m.Fits = "no"
		m.Why = fmt.Sprintf("%s with one context, and %s allows %s%s", size(f.Need(1)),
			m.Bound, size(m.BoundBytes), wouldFit(o, f, m.BoundBytes))
	}
	return m
}

// wouldFit says what to change: a shorter context, or else the widest format whose weights leave room for one.
func wouldFit(o *catalog.Opened, f engine.Footprint, bound int64) string {
	const least = 2048 // tokens of a useful conversation
	if n := f.Longest(bound); n >= least {
		return fmt.Sprintf("; a context of %d tokens fits", n)
	}
	if o.Path == "" {
		return ""
	}
	source, err := convert.Open(o.Path)
	if err != nil {
		return ""
	}
	defer source.Close()
	for _, name := range convert.Mixes() {
		mix, err := convert.ParseMix(name)
		if err != nil {
			continue
		}
		// A packed model is about as large as its file.
		if n, err := convert.Size(source, convert.Options{Mix: mix, Requantize: true}); err == nil &&
			n+n/50+f.Context+f.Reserve <= bound {
			return fmt.Sprintf("; in %s it would fit (%s of weights: mixtral model quantize)", name, size(n))
		}
	}
	return "; no format makes it fit"
}
