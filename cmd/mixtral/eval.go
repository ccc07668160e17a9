package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/infer/sample"
	"github.com/hxp-enterprise/mixtral/internal/model/catalog"
)

// evalCmd runs the model on given ids, without tokenizer, sampling or scheduler in between.
type evalCmd struct {
	Model    string       `placeholder:"REF" help:"Model: path of a .gguf file or of a model's directory, synth:tiny, synth:nano, synth:mid, or demo."`
	Tokens   string       `required:"" placeholder:"1,2,3" help:"Token ids of the prompt, separated by commas."`
	Generate int          `range:"1..1048576" default:"1" placeholder:"N" help:"Number of tokens to generate, each the likeliest; default: ${default}."`
	Top      int          `range:"0..1048576" default:"5" placeholder:"N" help:"Number of highest logits to print for each generated token; default: ${default}."`
	KVType   quant.KVType `name:"kv-type" placeholder:"TYPE" help:"Format of the KV cache: f16 (default) or q8_0."`
	Threads  int          `range:"0..4096" placeholder:"N" help:"Number of computing threads; default: one for each CPU."`
	JSON     bool         `help:"Print JSON."`
}

// evaluation is what eval --json prints.
type evaluation struct {
	Model  string     `json:"model"`
	Tokens []int32    `json:"tokens"`
	Greedy []int32    `json:"greedy"`
	Steps  []evalStep `json:"steps"`
}

// evalStep is one generated token.
type evalStep struct {
	ID      int32     `json:"id"`
	Logit   float32   `json:"logit"`
	Logprob float64   `json:"logprob"`
	Top     []evalTop `json:"top"`
}

type evalTop struct {
	ID      int32   `json:"id"`
	Logit   float32 `json:"logit"`
	Logprob float64 `json:"logprob"`
}

func (c *evalCmd) Run(a *app) error {
	tokens, err := parseTokens(c.Tokens)
	if err != nil {
		return usageError(err)
	}
	o, err := openModel(a, c.Model)
	if err != nil {
		return err
	}
	defer o.Close()
	m, err := loadModel(o, c.Threads)
	if err != nil {
		return err
	}
	defer m.Close()
	if n := len(tokens) + c.Generate; n > m.Config().Context {
		return usageError(fmt.Errorf("%d tokens and %d to generate exceed the model's context of %d",
			len(tokens), c.Generate, m.Config().Context))
	}
	for i, id := range tokens {
		if int(id) >= m.Config().Vocab {
			return usageError(fmt.Errorf("--tokens: id %d at index %d: must be below %d, the size of the "+
				"vocabulary", id, i, m.Config().Vocab))
		}
	}
	result := evaluation{Model: o.ID, Tokens: tokens}
	if err := c.generate(a, m, &result); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, result)
	}
	return result.print(a.stdout)
}

// loadModel loads the opened model; a file that is not a Mixtral is bad input.
func loadModel(o *catalog.Opened, threads int) (*moe.Model, error) {
	m, err := moe.Load(o.File, moe.Options{Workers: threads})
	if err != nil {
		return nil, usageError(fmt.Errorf("model %q: %w", o.ID, err))
	}
	return m, nil
}

// parseTokens reads "1,2,3".
func parseTokens(list string) ([]int32, error) {
	var ids []int32
	for field := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(field), 10, 32)
		if err != nil || id < 0 {
			return nil, fmt.Errorf("--tokens: must be whole numbers of at least 0, separated by commas; "+
				"got %q", field)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// generate appends the likeliest token repeatedly.
func (c *evalCmd) generate(a *app, m *moe.Model, result *evaluation) error {
	blocks := kernel.Blocks(len(result.Tokens) + c.Generate)
	kv := kvcache.NewStorage(m.Config().KVLayout(c.KVType, blocks), nil)
	table := make([]int32, blocks)
	for i := range table {
		table[i] = int32(i)
	}
	greedy, scratch := sample.New(sample.Params{}, m.Config().Vocab, nil), &sample.Scratch{}
	span := moe.Span{Tokens: result.Tokens, Blocks: table, Logits: 1}
	for len(result.Steps) < c.Generate {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		rows, err := m.Forward(kv, []moe.Span{span})
		if err != nil {
			return err
		}
		id, err := greedy.Next(scratch, rows[0])
		if err != nil {
			return err
		}
		logprob, top := sample.Logprobs(nil, scratch, rows[0], id, c.Top)
		step := evalStep{ID: id, Logit: rows[0][id], Logprob: logprob, Top: []evalTop{}}
		for _, p := range top {
			step.Top = append(step.Top, evalTop{p.ID, rows[0][p.ID], p.Logprob})
		}
		result.Steps, result.Greedy = append(result.Steps, step), append(result.Greedy, id)
		span.Start += len(span.Tokens)
		span.Tokens = []int32{id}
	}
	return nil
}

func (r *evaluation) print(w io.Writer) error {
	for i, s := range r.Steps {
		line := fmt.Sprintf("%d: %d", len(r.Tokens)+i, s.ID)
		for _, t := range s.Top {
			line += fmt.Sprintf("  %d %.4f", t.ID, t.Logit)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	ids := make([]string, len(r.Greedy))
	for i, id := range r.Greedy {
		ids[i] = fmt.Sprint(id)
	}
	_, err := fmt.Fprintln(w, "greedy:", strings.Join(ids, ","))
	return err
}
