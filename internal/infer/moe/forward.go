package moe

import (
	"fmt"
	"math"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Span is a run of neighbouring positions of one sequence.
type Span struct {
	Tokens []int32 // ids at positions Start, Start+1, …
	Start  int     // the keys and values of all positions before it are in Blocks
	Blocks []int32 // the sequence's KV blocks in order, as far as its last token at least
	Logits int     // how many of the last tokens want a row of logits
}

// Forward computes all tokens of all spans in one pass, writes their keys and values to kv and gives a row of Vocab
// logits for every token that wants one, in the order of spans and tokens. The rows are valid until the next Forward.
//
// A token's results do not depend on what else is computed in the pass, nor on how its sequence is cut into spans:
// they are equal bit for bit. Spans of one pass must not write the same block. Errors match ErrSpan if the batch is
// at fault; a pass that breaks down leaves the model usable, and the blocks of its spans undefined.
// Errors match gguf.ErrChanged where weights can no longer be read from their file, or where it was changed before all
// of it was packed.
//
// Forward is not safe for concurrent use. It allocates nothing once it has seen a batch of this size.
func (m *Model) Forward(kv *kvcache.Storage, spans []Span) ([][]float32, error) {
	if err := m.check(kv, spans); err != nil {
		return nil, err
	}
	m.run.Lock()
	defer m.run.Unlock()
	if err := m.later.begin(); err != nil {
		return nil, err
	}
	m.begin(kv, spans)
	m.crew.Run(stagesBefore+stagesPerLayer*len(m.layers)+stagesAfter, m.plan, m.do)
	m.later.end()
	m.kv, m.spans = nil, nil
	if b := m.broken.Load(); b != nil {
		if fault := gguf.Fault(b.reason); fault != nil {
			return nil, fault
		}
		return nil, fmt.Errorf("forward pass of %d tokens failed: %v", len(m.tokens), b.reason)
	}
	return m.rows, nil
}

// Parallel calls do for items 0 … n−1 with the model's workers, so many at a time, and returns when all are done. do
// gets the number of the worker, below Workers. It must not panic. It is for work between passes, and like them not
// safe for concurrent use.
func (m *Model) Parallel(n int, do func(worker, item int)) {
	m.run.Lock()
	defer m.run.Unlock()
	m.crew.Run(1, func(int) int { return n }, func(worker, _, from, to int) {
		for item := from; item < to; item++ {
			do(worker, item)
		}
	})
}

// check makes sure that no index of the pass can be out of range.
func (m *Model) check(kv *kvcache.Storage, spans []Span) error {
	layout := kv.Layout()
	if want := m.cfg.KVLayout(layout.Type, layout.Blocks); layout != want {
		return fmt.Errorf("%w: the KV cache has shape %+v, the model needs %+v", ErrSpan, layout, want)
	}
	if len(spans) == 0 {
		return fmt.Errorf("%w: none given", ErrSpan)
	}
	for i, s := range spans {
		end := s.Start + len(s.Tokens)
		switch {
		case len(s.Tokens) == 0 || s.Start < 0:
			return fmt.Errorf("%w %d: %d tokens from position %d", ErrSpan, i, len(s.Tokens), s.Start)
		case end > m.cfg.Context:
			return fmt.Errorf("%w %d: position %d is outside the model's context of %d", ErrSpan, i, end-1,
				m.cfg.Context)
		case len(s.Blocks)*kernel.BlockTokens < end:
			return fmt.Errorf("%w %d: %d blocks for %d positions", ErrSpan, i, len(s.Blocks), end)
		case s.Logits < 0 || s.Logits > len(s.Tokens):
			return fmt.Errorf("%w %d: logits of %d of %d tokens", ErrSpan, i, s.Logits, len(s.Tokens))
		}
		for _, id := range s.Tokens {
			if id < 0 || int(id) >= m.cfg.Vocab {
				return fmt.Errorf("%w %d: token %d of a vocabulary of %d", ErrSpan, i, id, m.cfg.Vocab)
			}
		}
		for _, b := range s.Blocks {
			if b < 0 || int(b) >= layout.Blocks {
				return fmt.Errorf("%w %d: block %d of %d", ErrSpan, i, b, layout.Blocks)
			}
		}
	}
	return nil
}

// token gives a token's residual stream.
func (m *Model) token(t int) []float32 { return m.x[t*m.cfg.Dim:][:m.cfg.Dim] }

// embed looks up a token's embedding and the angles of its position.
func (w *worker) embed(t int) {
	m, half := w.m, w.m.cfg.HeadDim/2
	id := int(m.tokens[t].id)
	if err := quant.Unpack(m.embedType, m.token(t), m.embed[id*m.embedRow:(id+1)*m.embedRow]); err != nil {
		panic(err)
	}
	for i, f := range m.freq {
		sin, cos := math.Sincos(float64(m.tokens[t].pos) * f)
		m.cos[t*half+i], m.sin[t*half+i] = m.cfg.Rope.Magnitude*float32(cos), m.cfg.Rope.Magnitude*float32(sin)
	}
}

// outputInput adds what the last experts gave to a wanted token, and normalises it.
func (w *worker) outputInput(i int) {
	m, t := w.m, int(w.m.wanted[i])
	m.addExperts(t)
	x := w.row[:m.cfg.Dim]
	kernel.RMSNorm(x, m.token(t), m.outNorm, m.cfg.NormEps)
	m.outIn.Set(i, 0, x)
}

// output computes items of the logits of all wanted tokens, which are rows 0, 1, … of outIn.
func (w *worker) output(from, to int) {
	m := w.m
	w.products(m.output, len(m.wanted), from, to, func(r0, r1, first, end int) {
		m.output.MulAt(w.scratch, r0, r1, m.outIn, m.all[first:end], m.logits, m.output.PaddedRows())
	})
}
