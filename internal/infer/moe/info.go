package moe

import (
	"math"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Info is what is known of a model before it is loaded.
type Info struct {
	Config
	Params  int64 // weights in all
	Active  int64 // weights that one token goes through: ExpertsUsed of the experts
	Packed  int64 // bytes of the loaded weights
	Mapped  bool  // they are the file's own bytes: it is packed
	Formats []Format

	lookup  int64 // packed bytes of one row of the embedding
	dense   int64 // packed bytes that every step reads: all but experts and embedding
	experts int64 // packed bytes of all experts
	mulOne  int64 // weights that a token is multiplied with, but for the output matrix
	mulOut  int64 // weights of the output matrix
}

// Format says how much of the file is in one format.
type Format struct {
	Type    quant.Type
	Tensors int
	Params  int64
	Bytes   int64 // in the file
}

// Describe reads a model's shape and checks that every tensor is there. Its errors are those of Load.
func Describe(f *gguf.File) (Info, error) {
	l, err := newLoader(f, &Model{})
	if err != nil {
		return Info{}, err
	}
	return l.info(), nil
}

// info adds up what plan found.
func (l *loader) info() Info {
	i := Info{Config: l.cfg, Packed: l.size, Mapped: l.packed}
	formats := map[quant.Type]*Format{}
	panels := l.panels()
	for _, t := range l.file.Tensors() {
		elems := int64(t.Elems())
		if jobs := panels[t.Name]; len(jobs) > 0 { // without what fills panels
			elems = int64(len(jobs)) * int64(jobs[0].rows) * int64(jobs[0].cols)
		}
		if l.packed && t.Name == tiedPanels { // token_embd.weight again
			continue
		}
		f := formats[t.Type]
		if f == nil {
			f = &Format{Type: t.Type}
			formats[t.Type] = f
		}
		f.Tensors++
		f.Params += elems
		f.Bytes += int64(len(t.Data))
		i.Params += elems
	}
	for _, t := range quant.Types() {
		if f := formats[t]; f != nil {
			i.Formats = append(i.Formats, *f)
		}
	}
	for _, j := range l.todo {
		n, _ := kernel.PackedSize(j.typ, j.rows, j.cols)
		weights := int64(j.rows) * int64(j.cols)
		switch {
		case j.to == nil:
			i.lookup = int64(len(j.data)) / int64(l.cfg.Vocab)
		case j.expert:
			i.experts += n
			i.mulOne += weights * int64(l.cfg.ExpertsUsed) / int64(l.cfg.Experts)
			i.Active -= weights * int64(l.cfg.Experts-l.cfg.ExpertsUsed) / int64(l.cfg.Experts)
		case j.output:
			i.dense += n
			i.mulOut += weights
		default:
			i.dense += n
			i.mulOne += weights
		}
	}
	router := int64(l.cfg.Layers) * int64(l.cfg.Experts) * int64(l.cfg.Dim)
	i.dense += 4 * router
	i.mulOne += router
	i.Active += i.Params
	return i
}

// StepBytes is how many bytes of weights a step reads that computes one token for each of n sequences, if every
// expert is chosen equally often: of E experts with k for each token, n tokens touch E·(1 − (1 − k/E)ⁿ) on average.
func (i Info) StepBytes(n int) int64 {
	touched := 1 - math.Pow(1-float64(i.ExpertsUsed)/float64(i.Experts), float64(n))
	return i.dense + int64(touched*float64(i.experts)) + int64(n)*i.lookup
}

// Ops is how many multiplications and additions with weights it takes to compute so many tokens and rows of logits.
func (i Info) Ops(tokens, logits int) int64 {
	return 2 * (int64(tokens)*i.mulOne + int64(logits)*i.mulOut)
}

// KVBytes is the memory that keys and values of so many tokens take.
func (i Info) KVBytes(t quant.KVType, tokens int) int64 {
	return i.KVLayout(t, 0).BytesPerBlock() * int64(tokens) / kernel.BlockTokens
}
