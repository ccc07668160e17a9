package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/hxp-enterprise/mixtral"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

type modelCmd struct {
	Pull     modelPullCmd     `cmd:"" help:"Download a model from a hub or a URL. An interrupted download continues."`
	List     modelListCmd     `cmd:"" help:"List the models that can be pulled by name, and those on this machine."`
	Quantize modelQuantizeCmd `cmd:"" help:"Convert a Hugging Face or GGUF model to another format."`
	Imatrix  modelImatrixCmd  `cmd:"" help:"Collect an importance matrix from a text, with which model quantize loses less precision."`
	Pack     modelPackCmd     `cmd:"" help:"Rewrite a model file in the order that the engine computes in, so that it starts at once and needs memory only once."`
	Inspect  modelInspectCmd  `cmd:"" help:"Show a model's shape, formats and memory, and whether it fits this machine."`
	Verify   modelVerifyCmd   `cmd:"" help:"Check a model: its tensors, its weights, its checksum, and that it generates text."`
	Synth    modelSynthCmd    `cmd:"" help:"Write a model of Mixtral's architecture with seeded random weights."`
}

// openModel opens a model by reference, as a service with the environment's configuration would; its errors are bad
// usage. If a directory has to be converted first, it shows the progress.
func openModel(a *app, ref string) (*catalog.Opened, error) {
	return openModelWith(a, ref, func(*catalog.Options) {})
}

// openModelWith is openModel with some options changed.
func openModelWith(a *app, ref string, change func(*catalog.Options)) (*catalog.Opened, error) {
	config, err := mixtral.LoadConfig("")
	if err != nil {
		config = mixtral.DefaultConfig() // commands that serve report errors in the environment
	}
	return openConfigured(a, ref, config, change)
}

// openConfigured opens a model as a service with this configuration would.
func openConfigured(a *app, ref string, config mixtral.Config, change func(*catalog.Options)) (*catalog.Opened,
	error) {
	kv, _ := quant.ParseKVType(config.KVType)
	p := &preparation{w: a.stderr}
	defer p.stop()
	options := catalog.Options{
		QuantizeTo: config.QuantizeTo, CacheDir: config.CacheDir, Memory: int64(config.MemoryLimitGB * (1 << 30)),
		Context: config.ContextLength, KVType: kv, Progress: p.show,
		Say: func(text string) { p.stop(); fmt.Fprintf(a.stderr, "mixtral: %s\n", text) },
	}
	change(&options)
	o, err := catalog.OpenWith(a.ctx, ref, options)
	switch {
	case errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		return nil, usageError(withCatalogHint(err))
	}
	return o, nil
}

// preparation shows the stages of a conversion, each with a bar of its own.
type preparation struct {
	w     io.Writer
	stage string
	bar   *progress
}

func (p *preparation) show(n catalog.Progress) {
	if p.bar == nil || p.stage != n.Stage {
		p.stop()
		p.stage, p.bar = n.Stage, newProgress(p.w, n.Stage, n.Total)
	}
	p.bar.resume(n.Resumed)
	p.bar.set(n.Done)
}

func (p *preparation) stop() {
	if p.bar != nil {
		p.bar.stop()
		p.bar = nil
	}
}

// withCatalogHint adds the hint that an error of the catalogue contains.
func withCatalogHint(err error) error {
	var known *catalog.Error
	if errors.As(err, &known) && known.Hint != "" {
		return withHint(err, known.Hint)
	}
	return err
}

// size writes bytes for people, in powers of 10.
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

// modelSynthCmd makes a synthetic model. The flags of the shape replace the preset's numbers.
type modelSynthCmd struct {
	Out     string      `required:"" type:"path" placeholder:"FILE" help:"File to write."`
	Preset  string      `default:"tiny" placeholder:"NAME" help:"Shape to start from: tiny, nano, mid, 8x7b (also: full), or needle, a model that can find in its context what it was told; default: ${default}."`
	Dim     *int        `placeholder:"N" help:"Width of the residual stream; default: the preset's."`
	FFN     *int        `name:"ffn" placeholder:"N" help:"Hidden width of one expert; default: the preset's."`
	Layers  *int        `placeholder:"N" help:"Number of layers; default: the preset's."`
	Heads   *int        `placeholder:"N" help:"Number of query heads; default: the preset's."`
	KVHeads *int        `name:"kv-heads" placeholder:"N" help:"Number of key and value heads; default: the preset's."`
	Experts *int        `placeholder:"N" help:"Number of experts in each layer; default: the preset's."`
	Vocab   *int        `placeholder:"N" help:"Number of tokens in the vocabulary; default: the preset's."`
	Context *int        `placeholder:"N" help:"Context length in tokens; default: the preset's."`
	Type    formatValue `placeholder:"TYPE" help:"Format of the weights: f32, f16, bf16, q8_0, q4_0, q5_0, q2_k … q6_k; default: the preset's."`
	Seed    *uint64     `placeholder:"N" help:"Seed of the weights and the vocabulary; default: the preset's."`
	Calm    bool        `help:"Damp the residual branches, so that rounding is not amplified when engines are compared."`
	Old     bool        `name:"old-experts" help:"Write one tensor for each expert, as files did before April 2024."`
	JSON    bool        `help:"Print JSON."`
}

// synthesized is what synth --json prints.
type synthesized struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	Type  string `json:"type"`
	Seed  uint64 `json:"seed"`
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
	if c.JSON {
		return printJSON(a.stdout, synthesized{Path: c.Out, Bytes: total, Type: s.Type.String(), Seed: s.Seed})
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %s, %v\n", c.Out, size(total), s.Type)
	return err
}
