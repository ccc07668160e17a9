package moe

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// state is what one forward pass works on. It is kept from pass to pass and grows to the largest, so that a steady
// load allocates nothing. A token is known by its index in the pass, over all spans.
type state struct {
	broken  atomic.Pointer[breakdown] // a worker panicked: nothing more is computed in this pass
	plan    func(stage int) int       // Model.planStage and doItems, bound once
	do      func(worker, stage, from, to int)
	workers []*worker
	planner *worker // whoever plans: what is too little to share is done while planning

	kv     *kvcache.Storage
	spans  []Span
	tokens []position
	all    []int32 // 0 … len(tokens)−1
	// those whose logits are asked for: all that the last layer has to compute behind its keys and values
	wanted []int32

	now step // the stage being computed

	attend, attendLast attention // for all tokens and for the wanted ones
	parts              []float32 // of the items' attention, where they are divided

	x []float32 // the residual stream, Dim for each token
	// what is to be added to x: outStride of attention for each token, or of experts for each of its routes
	out      []float32
	q        []float32 // rotated queries, Heads·HeadDim for each token
	cos, sin []float32 // of RoPE's angles, HeadDim/2 for each token
	freq     []float64 // RoPE's frequencies
	routes   []route   // ExpertsUsed for each token, by expert
	groups   groups
	ahead    ahead
	logits   []float32
	rows     [][]float32 // what Forward returns, in logits

	outStride    int // Dim, padded to whole panels
	headsPerItem int // of attention's work, see Config.headsPerItem
}

// position is where a token of the pass belongs.
type position struct {
	span int
	pos  int // in its sequence
	id   int32
}

// route sends a token to an expert.
type route struct {
	expert int32
	weight float32
}

// breakdown is a panic caught in a worker.
type breakdown struct{ reason any }

// worker is one thread's private memory.
type worker struct {
	m       *Model
	scratch *kernel.Scratch
	y, y2   []float32 // results of a matrix product, see product
	row     []float32 // one token's: max(Dim, Heads·HeadDim)
	parts   []float32 // of an item's attention, where it is not divided
	scores  []float32 // router logits, one for each expert
	weights []float32 // of the chosen ones

	round int    // of state.ahead that it knows
	fetch []byte // what it still has to fetch of that
}

// groups lists the layer's routes by expert.
type groups struct {
	starts []int // expert e has the entries starts[e] … starts[e+1]−1
	tokens []int32
	slots  []int32 // rows of hidden: ExpertsUsed·token + n
}

// prepare makes what does not depend on the batch. types are the formats of the packed matrices.
func (m *Model) prepare(types map[*kernel.Matrix]quant.Type) {
	c := m.cfg
	align := 1
	share, hidden := map[string]*kernel.Acts{}, map[string]*kernel.Acts{}
	for i := range m.layers {
		y := &m.layers[i]
		// Inputs of one width and format share memory across layers and steps: each is used up before the next is
		// written. Only hidden is written while another one (ffnIn) is read.
		y.attnIn = actsFor(share, types, y.q, y.k, y.v)
		y.attnOut = actsFor(share, types, y.o)
		y.ffnIn = actsFor(share, types, slices.Concat(y.gate, y.up)...)
		y.hidden = actsFor(hidden, types, y.down...)
		align = max(align, y.attnOut.Align())
	}
	m.outIn = actsFor(share, types, m.output)
	m.headsPerItem = c.headsPerItem(align)
	m.outStride = m.layers[0].o.PaddedRows()
	m.groups.starts = make([]int, c.Experts+1)
	m.plan, m.do, m.crew.Idle = m.planStage, m.doItems, m.idle
	m.ahead.first = make([][]byte, m.crew.Workers())
	m.planner = m.newWorker()
	for range m.crew.Workers() {
		m.workers = append(m.workers, m.newWorker())
	}
}

func (m *Model) newWorker() *worker {
	c := m.cfg
	return &worker{
		m: m, scratch: kernel.NewScratch(), row: kernel.AlignedFloats(max(c.Dim, c.Heads*c.HeadDim)),
		scores:  kernel.AlignedFloats(c.Experts),
		weights: kernel.AlignedFloats(c.ExpertsUsed),
	}
}

// actsFor finds or makes the activations for products with ms.
func actsFor(cache map[string]*kernel.Acts, types map[*kernel.Matrix]quant.Type, ms ...*kernel.Matrix) *kernel.Acts {
	var names []string
	for _, m := range ms {
		names = append(names, types[m].String())
	}
	slices.Sort(names)
	key := fmt.Sprint(ms[0].Cols, strings.Join(slices.Compact(names), " "))
	if cache[key] == nil {
		cache[key] = kernel.NewActs(ms...)
	}
	return cache[key]
}

// begin takes over a checked batch and makes room for it.
func (m *Model) begin(kv *kvcache.Storage, spans []Span) {
	m.kv, m.spans = kv, spans
	m.broken.Store(nil)
	m.tokens, m.all, m.wanted = m.tokens[:0], m.all[:0], m.wanted[:0]
	m.attend.items, m.attendLast.items = m.attend.items[:0], m.attendLast.items[:0]
	for i, s := range spans {
		first, wanted := len(m.tokens), len(m.wanted)
		for j, id := range s.Tokens {
			if j >= len(s.Tokens)-s.Logits {
				m.wanted = append(m.wanted, int32(len(m.tokens)))
			}
			m.all = append(m.all, int32(len(m.tokens)))
			m.tokens = append(m.tokens, position{i, s.Start + j, id})
		}
		m.addAttention(&m.attend, i, first, len(m.tokens))
		m.addAttention(&m.attendLast, i, wanted, len(m.wanted))
	}
	m.divide(&m.attend, m.all)
	m.divide(&m.attendLast, m.wanted)
	m.reserve(len(m.tokens), len(m.wanted))
}

// headsPerItem is how many KV heads one worker attends to for a token: as few as make whole blocks of activations.
func (c Config) headsPerItem(align int) int {
	for n := 1; n < c.KVHeads; n++ {
		if c.KVHeads%n == 0 && n*c.group()*c.HeadDim%align == 0 {
			return n
		}
	}
	return c.KVHeads
}

// group is the number of query heads that share a KV head.
func (c Config) group() int { return c.Heads / c.KVHeads }

// reserve grows the buffers for so many tokens and rows of logits.
func (m *Model) reserve(tokens, wanted int) {
	c := m.cfg
	m.x = grow(m.x, tokens*c.Dim)
	m.out = grow(m.out, tokens*c.ExpertsUsed*m.outStride)
	m.q = grow(m.q, tokens*c.Heads*c.HeadDim)
	m.cos, m.sin = grow(m.cos, tokens*c.HeadDim/2), grow(m.sin, tokens*c.HeadDim/2)
	m.logits = grow(m.logits, wanted*m.output.PaddedRows())
	if n := tokens * c.ExpertsUsed; len(m.routes) < n {
		m.routes = make([]route, 2*n)
		m.groups.tokens, m.groups.slots = make([]int32, 2*n), make([]int32, 2*n)
	}
	for i := range m.layers {
		y := &m.layers[i]
		y.attnIn.Reserve(tokens)
		y.attnOut.Reserve(tokens)
		y.ffnIn.Reserve(tokens)
		y.hidden.Reserve(tokens * c.ExpertsUsed)
	}
	m.outIn.Reserve(wanted)
	m.rows = m.rows[:0]
	for i := range wanted {
		m.rows = append(m.rows, m.logits[i*m.output.PaddedRows():][:c.Vocab:c.Vocab])
	}
}

// grow gives a slice of at least n elements; what was there is lost if it has to be made anew.
func grow(s []float32, n int) []float32 {
	if len(s) >= n {
		return s
	}
	return kernel.AlignedFloats(n + n/4)
}
