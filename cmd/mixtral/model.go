package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/hxp-enterprise/mixtral/internal/catalog"
	"github.com/hxp-enterprise/mixtral/internal/moe"
	"github.com/hxp-enterprise/mixtral/internal/quant"
	"github.com/hxp-enterprise/mixtral/internal/synth"
)

type modelCmd struct {
	Pull     modelPullCmd     `cmd:"" help:"Download a model from a hub or a URL; continues what was cut off."`
	List     modelListCmd     `cmd:"" help:"Models that can be pulled by name, and which are here."`
	Quantize modelQuantizeCmd `cmd:"" help:"Convert a model from a hub's files or GGUF to another format."`
	Inspect  modelInspectCmd  `cmd:"" help:"A model's shape, formats and memory."`
	Verify   modelVerifyCmd   `cmd:"" help:"Check that a model is whole: every tensor there, every weight a number."`
	Synth    modelSynthCmd    `cmd:"" help:"Write a Mixtral-shaped model of seeded random weights."`
}

// openModel opens a model by reference; its errors are the user's.
func openModel(ref string) (*catalog.Opened, error) {
	o, err := catalog.Open(ref)
	if err != nil {
		return nil, usageError(withCatalogHint(err))
	}
	return o, nil
}

// withCatalogHint shows the hint that an error of the catalogue carries.
func withCatalogHint(err error) error {
	var known *catalog.Error
	if errors.As(err, &known) && known.Hint != "" {
		return withHint(err, known.Hint)
	}
	return err
}

// modelInspectCmd reads the directory of a file only.
type modelInspectCmd struct {
	Model    string       `arg:"" optional:"" help:"Path of a .gguf file, synth:tiny, synth:nano, synth:mid, or demo."`
	Parallel int          `default:"10" help:"Requests computed together, for the memory estimate."`
	Context  int          `help:"Tokens of each, for the memory estimate; default: what the model was trained for."`
	KVType   quant.KVType `name:"kv-type" placeholder:"TYPE" help:"How keys and values are kept, for the memory estimate: f16 (default) or q8_0."`
	JSON     bool         `help:"Print JSON."`
}

// inspection is what inspect --json prints.
type inspection struct {
	Model        string        `json:"model"`
	Path         string        `json:"path,omitempty"`
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
	Formats      []formatShare `json:"formats"`
	Memory       memoryOfModel `json:"memory"`
}

type formatShare struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
	Params  int64  `json:"params"`
	Bytes   int64  `json:"bytes"`
}

// memoryOfModel is what serving takes.
type memoryOfModel struct {
	WeightBytes    int64  `json:"weight_bytes"`     // as loaded
	TokenReadBytes int64  `json:"token_read_bytes"` // of weights, for one token of one sequence
	KVType         string `json:"kv_type"`
	KVTokenBytes   int64  `json:"kv_token_bytes"`
	Parallel       int    `json:"parallel"`
	Context        int    `json:"context"`
	KVBytes        int64  `json:"kv_bytes"`
	TotalBytes     int64  `json:"total_bytes"`
}

func (c *modelInspectCmd) Run(a *app) error {
	if c.Parallel < 1 || c.Context < 0 {
		return usageError(fmt.Errorf("--parallel must be at least 1 and --context at least 0, got %d and %d", c.Parallel, c.Context))
	}
	o, err := openModel(c.Model)
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
		Model: o.ID, Path: o.Path, Name: o.File.StringOr("general.name", ""), FileBytes: o.File.Size(), Params: info.Params, ActiveParams: info.Active,
		Layers: info.Layers, Dim: info.Dim, FFN: info.FFN, Heads: info.Heads, KVHeads: info.KVHeads, HeadDim: info.HeadDim,
		Experts: info.Experts, ExpertsUsed: info.ExpertsUsed, Vocab: info.Vocab, Context: info.Context, RopeTheta: info.RopeTheta,
	}
	for _, f := range info.Formats {
		in.Formats = append(in.Formats, formatShare{f.Type.String(), f.Tensors, f.Params, f.Bytes})
	}
	kv := info.KVBytes(c.KVType, (context+15)/16*16*c.Parallel)
	in.Memory = memoryOfModel{WeightBytes: info.Packed, TokenReadBytes: info.StepBytes(1), KVType: c.KVType.String(), KVTokenBytes: info.KVBytes(c.KVType, 16) / 16,
		Parallel: c.Parallel, Context: context, KVBytes: kv, TotalBytes: info.Packed + kv}
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
	row("file size", "%s", size(in.FileBytes))
	row("parameters", "%s, %s active for a token", count(in.Params), count(in.ActiveParams))
	row("shape", "%d layers of width %d; %d heads of %d on %d KV heads", in.Layers, in.Dim, in.Heads, in.HeadDim, in.KVHeads)
	row("experts", "%d of width %d, %d for a token", in.Experts, in.FFN, in.ExpertsUsed)
	row("vocabulary", "%d", in.Vocab)
	row("context", "%d tokens, RoPE theta %g", in.Context, in.RopeTheta)
	for _, f := range in.Formats {
		row("format "+f.Type, "%d tensors, %s parameters, %s", f.Tensors, count(f.Params), size(f.Bytes))
	}
	m := in.Memory
	row("weights", "%s in memory; a token reads %s", size(m.WeightBytes), size(m.TokenReadBytes))
	row("KV cache", "%s: %d sequences × %d tokens × %s in %s", size(m.KVBytes), m.Parallel, m.Context, size(m.KVTokenBytes), m.KVType)
	row("memory", "%s and about 100 MB for the rest", size(m.TotalBytes))
	return t.Flush()
}

// size gives bytes as people read them, in powers of 10.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d bytes", n)
}

func count(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f billion", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f million", float64(n)/1e6)
	}
	return fmt.Sprint(n)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// modelVerifyCmd reads every byte.
type modelVerifyCmd struct {
	Model string `arg:"" optional:"" help:"Path of a .gguf file, or demo."`
}

func (c *modelVerifyCmd) Run(a *app) error {
	o, err := openModel(c.Model)
	if err != nil {
		return err
	}
	defer o.Close()
	info, err := moe.Describe(o.File)
	if err != nil {
		return err
	}
	if err := checkTokenizer(o.File, info.Vocab); err != nil {
		return err
	}
	bar := newProgress(a.stderr, "verify", o.File.Size())
	defer bar.stop()
	var done int64
	for _, t := range o.File.Tensors() {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err := scan(t); err != nil {
			return err
		}
		o.File.Release(t.Data)
		done += int64(len(t.Data))
		bar.set(done)
	}
	bar.stop()
	sum, err := o.SHA256()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s: whole: %d tensors, %s parameters, all finite\nsha256 %s\n", o.ID, len(o.File.Tensors()), count(info.Params), sum)
	return err
}

// modelSynthCmd makes a model. The shape's flags change the preset's numbers.
type modelSynthCmd struct {
	Out     string      `required:"" type:"path" help:"File to write."`
	Preset  string      `default:"tiny" help:"Shape to start from: tiny, nano, mid, 8x7b (also: full) or needle, which finds again what it was told."`
	Dim     *int        `help:"Width of the residual stream."`
	FFN     *int        `name:"ffn" help:"Hidden width of one expert."`
	Layers  *int        `help:"Layers."`
	Heads   *int        `help:"Query heads."`
	KVHeads *int        `name:"kv-heads" help:"Key and value heads."`
	Experts *int        `help:"Experts a layer."`
	Vocab   *int        `help:"Tokens in the vocabulary."`
	Context *int        `help:"Context length, tokens."`
	Type    formatValue `help:"Format of the weights: f32, f16, bf16, q8_0, q4_0, q5_0, q2_k … q6_k."`
	Seed    *uint64     `help:"Seed of the weights and the vocabulary."`
	Calm    bool        `help:"Damp the residual branches, so that rounding is not amplified: for comparing engines."`
	Old     bool        `name:"old-experts" help:"One tensor for each expert, as files before April 2024."`
}

// formatValue is a tensor format on the command line.
type formatValue struct {
	quant.Type
	given bool
}

// UnmarshalText reads a format's name.
func (f *formatValue) UnmarshalText(b []byte) (err error) {
	f.given = true
	f.Type, err = quant.ParseType(string(b))
	return err
}

func (c *modelSynthCmd) Run(a *app) error {
	s, err := c.shape()
	if err != nil {
		return usageError(err)
	}
	total, err := synth.Size(s)
	if err != nil {
		return err
	}
	bar := newProgress(a.stderr, "write "+filepath.Base(c.Out), total)
	defer bar.stop()
	if err := catalog.WriteSynth(a.ctx, c.Out, s, bar.set); err != nil {
		return err
	}
	bar.stop()
	_, err = fmt.Fprintf(a.stdout, "%s: %s, %v\n", c.Out, size(total), s.Type)
	return err
}
