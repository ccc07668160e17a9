package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/noun"
	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// modelVerifyCmd reads every byte of a model, and lets it compute.
type modelVerifyCmd struct {
	Model   string `arg:"" optional:"" help:"Path of a .gguf file or of a model's directory, a name that model list shows, or demo."`
	SHA256  string `name:"sha256" placeholder:"HEX" help:"SHA-256 that the file must have; default: the published one, if there is one."`
	NoRun   bool   `name:"no-run" help:"Do not let the model generate text. Then it need not fit into memory."`
	Threads int    `range:"0..4096" placeholder:"N" help:"Number of computing threads; default: one for each CPU."`
	JSON    bool   `help:"Print JSON."`
}

// verified is what verify --json prints.
type verified struct {
	Model    string `json:"model"`
	Tensors  int    `json:"tensors"`
	Params   int64  `json:"params"`
	SHA256   string `json:"sha256"`
	Checksum string `json:"checksum"`  // "as published", "as given" or "unknown"
	SelfTest string `json:"self_test"` // the text that the model generated, or why it did not

	Converted *converted `json:"converted,omitempty"` // for a directory of safetensors
}

// converted describes the origin of a model that was verified.
type converted struct {
	From    string           `json:"from"` // the directory
	File    string           `json:"file"` // the file that sha256 belongs to
	Sources []catalog.Digest `json:"sources"`
	SHA256  string           `json:"sources_sha256"` // see catalog.DigestOf
}

func (c *modelVerifyCmd) Run(a *app) error {
	o, err := openModel(a, c.Model)
	if err != nil {
		return err
	}
	defer o.Close()
	info, err := moe.Describe(o.File)
	if err != nil {
		return err
	}
	tok, err := readTokenizer(o.File, info.Vocab)
	if err != nil {
		return err
	}
	if err := c.read(a, o, info); err != nil {
		return err
	}
	v := verified{Model: o.ID, Tensors: len(o.File.Tensors()), Params: info.Params}
	if v.SHA256, err = o.SHA256(); err != nil {
		return err
	}
	if o.Sources != nil {
		v.Converted = &converted{o.From, o.Path, o.Sources, catalog.DigestOf(o.Sources)}
	}
	if v.Checksum, err = c.checksum(v.SHA256); err != nil {
		return err
	}
	if v.SelfTest, err = c.selfTest(a, o, info, tok); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, v)
	}
	return v.print(a.stdout)
}

func (v *verified) print(w io.Writer) error {
	if from := v.Converted; from != nil {
		fmt.Fprintf(w, "converted from %s to %s\n", from.From, from.File)
		for _, s := range from.Sources {
			fmt.Fprintf(w, "  %s  %s\n", s.SHA256, s.Name)
		}
		fmt.Fprintf(w, "sources sha256 %s\n", from.SHA256)
	}
	_, err := fmt.Fprintf(w, "%s: whole: %s, %s parameters, all finite\nrouters: no "+
		"expert's row is zero or a copy of another\nself-test: %s\nsha256 %s\n",
		v.Model, noun.Of(v.Tensors, "tensor", "tensors"), count(v.Params), v.SelfTest, v.SHA256)
	if v.Checksum != "unknown" && err == nil {
		_, err = fmt.Fprintf(w, "checksum %s\n", v.Checksum)
	}
	return err
}

// read reads every weight.
func (c *modelVerifyCmd) read(a *app, o *catalog.Opened, info moe.Info) error {
	weights, err := moe.NewRewriting(o.File)
	if err != nil {
		return err
	}
	bar := newProgress(a.stderr, "verify", o.File.Size())
	defer bar.stop()
	var done int64
	for _, t := range o.File.Tensors() {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		if err := scan(weights, t); err != nil {
			return err
		}
		if strings.HasSuffix(t.Name, ".ffn_gate_inp.weight") {
			if err := checkRouter(t, info.Experts); err != nil {
				return err
			}
		}
		o.File.Release(t.Data)
		done += int64(len(t.Data))
		bar.set(done)
	}
	return nil
}

// checksum compares the file's hash with the known one.
func (c *modelVerifyCmd) checksum(sum string) (string, error) {
	want, kind := strings.ToLower(c.SHA256), "as given"
	if want == "" {
		if k, ok, err := catalog.Lookup(c.Model); ok && err == nil {
			want, kind = k.SHA256[k.Type], "as published"
		}
	}
	if want == "" {
		return "unknown", nil
	}
	if sum != want {
		return "", withHint(fmt.Errorf("sha256 must be %s, got %s", want, sum),
			"the file is damaged or is a different one: pull it again")
	}
	return kind, nil
}

// maxRatio is how much longer one expert's row of a router may be than another's: in a trained model the ratio is
// below two.
const maxRatio = 1000

// checkRouter looks for experts that cannot be chosen independently: rows of zeros, equal rows, and rows that are tiny
// beside others.
func checkRouter(t gguf.Tensor, experts int) error {
	x := make([]float32, t.Elems())
	if err := quant.Unpack(t.Type, x, t.Data); err != nil {
		return fmt.Errorf("tensor %s: %w", t.Name, err)
	}
	dim := len(x) / experts
	norms := make([]float64, experts)
	least, most := math.Inf(1), 0.0
	for e := range norms {
		for _, v := range x[e*dim : (e+1)*dim] {
			norms[e] += float64(v) * float64(v)
		}
		norms[e] = math.Sqrt(norms[e])
		least, most = min(least, norms[e]), max(most, norms[e])
	}
	if least == 0 || most > maxRatio*least {
		return fmt.Errorf("%w: tensor %s: the experts' rows have norms of %.3g to %.3g", moe.ErrModel, t.Name, least,
			most)
	}
	for e := range experts {
		for f := range e {
			if norms[e] == norms[f] && equalRows(x[e*dim:(e+1)*dim], x[f*dim:(f+1)*dim]) {
				return fmt.Errorf("%w: tensor %s: experts %d and %d have the same row", moe.ErrModel, t.Name, f, e)
			}
		}
	}
	return nil
}

func equalRows(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// selfTest generates a few tokens, if the model fits into memory.
func (c *modelVerifyCmd) selfTest(a *app, o *catalog.Opened, info moe.Info, tok *token.Tokenizer) (string, error) {
	if c.NoRun {
		return "not run (--no-run)", nil
	}
	const generate = 8
	e := evaluation{Tokens: tok.Encode("The capital of France is the city of", true)}
	if n := info.Context - generate; len(e.Tokens) > n {
		e.Tokens = e.Tokens[:max(n, 1)]
	}
	eval := evalCmd{Generate: generate, Top: 2}
	need := engine.FootprintOf(info, eval.KVType, len(e.Tokens)+generate).Need(1)
	if bound, why := host.Read().MemoryBound(); bound > 0 && need > bound {
		return fmt.Sprintf("not run: it takes %s, %s allows %s", size(need), why, size(bound)), nil
	}
	m, err := loadModel(o, c.Threads)
	if err != nil {
		return "", err
	}
	if err := errors.Join(eval.generate(a, m, &e), m.Close()); err != nil {
		return "", fmt.Errorf("self-test: %w", err)
	}
	for i, s := range e.Steps {
		// Logits that are all equal mean that nothing of the prompt was computed.
		if math.IsNaN(float64(s.Logit)) || math.IsInf(float64(s.Logit), 0) || len(s.Top) > 1 &&
			s.Top[0].Logprob < -math.Log(float64(info.Vocab))+1e-6 {
			return "", fmt.Errorf("%w: self-test: token %d has logit %v, log-probability %.3g of %d tokens",
				moe.ErrModel, i, s.Logit, s.Logprob, info.Vocab)
		}
	}
	d := tok.NewContinuation()
	var text strings.Builder
	for _, id := range e.Greedy {
		text.WriteString(d.Write(id))
	}
	return fmt.Sprintf("%q", text.String()+d.Flush()), nil
}
