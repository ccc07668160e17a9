package moe

import "github.com/hxp-enterprise/mixtral/internal/infer/kernel"

// The stages of a forward pass. Each needs all of the one before it.
const (
	stageEmbed   = 0
	stagesBefore = 1

	stageAttentionInput  = 0 // of a layer
	stageProject         = 1
	stageAttentionParts  = 2
	stageAttention       = 3
	stageAttentionOutput = 4
	stageRoute           = 5
	stageExpertsIn       = 6
	stageExpertsOut      = 7
	stagesPerLayer       = 8

	stageOutputInput = 0 // behind the layers
	stageOutput      = 1
	stagesAfter      = 2
)

// step is the stage being computed. It is written while the stage is planned, and nothing else runs then.
type step struct {
	*layer
	index  int
	tokens []int32    // those that are computed to the end of the layer
	attend *attention // theirs
	rows   int        // matrix rows, or tokens, of one item
}

// inlineTokens is how many tokens' element-wise work is done by whoever plans: it takes less time than to hand it
// over.
const inlineTokens = 2

// planStage gives the number of items of a stage. A pass that failed has no more items.
func (m *Model) planStage(stage int) (items int) {
	defer m.guard()
	if m.broken.Load() != nil {
		return 0
	}
	if stage < stagesBefore {
		return m.each(len(m.tokens), (*worker).embed)
	}
	index := (stage - stagesBefore) / stagesPerLayer
	if index == len(m.layers) {
		if (stage-stagesBefore)%stagesPerLayer == stageOutputInput {
			return m.each(len(m.wanted), (*worker).outputInput)
		}
		m.expectLayer(0)
		return m.cut(m.output.RowBytes(), m.output.Rows, kernel.RowAlign).items(m.output, len(m.wanted))
	}
	return m.planLayer(index, (stage-stagesBefore)%stagesPerLayer)
}

func (m *Model) planLayer(index, stage int) (items int) {
	c, s := &m.cfg, &m.now
	if stage == stageAttentionInput {
		*s = step{layer: &m.layers[index], index: index, tokens: m.all, attend: &m.attend}
		if index == len(m.layers)-1 { // nobody reads the last layer's output but the logits
			s.tokens, s.attend = m.wanted, &m.attendLast
		}
	}
	switch stage {
	case stageAttentionInput:
		return m.each(len(m.tokens), (*worker).attentionInput)
	case stageProject:
		m.expect(s.o)
		m.cut(s.q.RowBytes(), s.q.Rows+s.k.Rows+s.v.Rows, lcm(c.HeadDim, kernel.RowAlign))
		return s.items(s.q, len(s.tokens)) + s.items(s.k, len(m.tokens)) + s.items(s.v, len(m.tokens))
	case stageAttentionParts:
		return len(s.attend.parts)
	case stageAttention:
		return len(s.attend.items)
	case stageAttentionOutput:
		m.expect() // nobody knows which experts
		return m.cut(s.o.RowBytes(), s.o.Rows, kernel.RowAlign).items(s.o, len(s.tokens))
	case stageRoute:
		return m.each(len(s.tokens), (*worker).route)
	case stageExpertsIn:
		m.groups.group(s.tokens, m.routes, c.ExpertsUsed)
		m.expectDown()
		m.cut(s.gate[0].RowBytes()+s.up[0].RowBytes(), m.groups.busy()*c.FFN, max(kernel.RowAlign, s.hidden.Align()))
		return m.groups.items(s.gate, s.rows)
	default: // stageExpertsOut
		m.expectLayer(index + 1)
		m.cut(s.down[0].RowBytes(), m.groups.busy()*c.Dim, kernel.RowAlign)
		return m.groups.items(s.down, s.rows)
	}
}

// each plans work on n tokens one by one; if they are few it does it at once.
func (m *Model) each(n int, do func(*worker, int)) (items int) {
	if n <= inlineTokens {
		for i := range n {
			do(m.planner, i)
		}
		return 0
	}
	m.now.rows = max(1, min(8, n/(4*m.crew.Workers())))
	return pieces(n, m.now.rows)
}

// cut sets the rows of an item, a multiple of unit, which is a multiple of RowAlign, for products with rows rows in
// all.
func (m *Model) cut(rowBytes, rows, unit int) *step {
	bytes := computeItemBytes
	if m.streams() {
		bytes = streamItemBytes
	}
	each := min(bytes/max(rowBytes, 1), rows/(itemsPerWorker*m.crew.Workers()))
	m.now.rows = max(each/unit, 1) * unit
	return &m.now
}

// items is how many items a product of n tokens is.
func (s *step) items(m *kernel.Matrix, n int) int { return chunks(m, n) * pieces(m.Rows, s.rows) }

// streams tells whether reading weights is what takes a pass's time. Neighbouring items are then taken together: one
// long stream is read faster than many short ones.
func (m *Model) streams() bool { return len(m.tokens) <= streamTokens }

const streamTokens = 16

// doItems does items of a stage. A panic ends the pass, not the process.
func (m *Model) doItems(id, stage, from, to int) {
	defer m.guard()
	if m.broken.Load() != nil {
		return
	}
	w := m.workers[id]
	w.listen(id)
	if stage < stagesBefore {
		w.some(from, to, len(m.tokens), (*worker).embed)
		return
	}
	layer, stage := (stage-stagesBefore)/stagesPerLayer, (stage-stagesBefore)%stagesPerLayer
	if layer == len(m.layers) {
		if stage == stageOutputInput {
			w.some(from, to, len(m.wanted), (*worker).outputInput)
		} else {
			w.stream(from, to, (*worker).output)
		}
		return
	}
	switch stage {
	case stageAttentionInput:
		w.some(from, to, len(m.tokens), (*worker).attentionInput)
	case stageProject:
		w.stream(from, to, (*worker).project)
	case stageAttentionParts:
		for ; from < to; from++ {
			w.attentionPart(from)
		}
	case stageAttention:
		for ; from < to; from++ {
			w.attention(from)
		}
	case stageAttentionOutput:
		w.stream(from, to, (*worker).attentionOutput)
	case stageRoute:
		w.some(from, to, len(m.now.tokens), (*worker).route)
	case stageExpertsIn:
		w.stream(from, to, (*worker).expertsIn)
	default: // stageExpertsOut
		w.stream(from, to, (*worker).expertsOut)
	}
}

// some does items that each planned.
func (w *worker) some(from, to, n int, do func(*worker, int)) {
	rows := w.m.now.rows
	for i := from * rows; i < min(to*rows, n); i++ {
		do(w, i)
	}
}

// stream does items of products, together or one by one.
func (w *worker) stream(from, to int, do func(w *worker, from, to int)) {
	each := 1
	if w.m.streams() {
		each = to - from
	}
	for ; from < to; from += each {
		do(w, from, from+each)
	}
}

// guard turns a panic into the end of the pass.
func (m *Model) guard() {
	if r := recover(); r != nil {
		m.broken.CompareAndSwap(nil, &breakdown{r})
	}
}

// pieces is how many pieces of n rows there are.
func pieces(rows, n int) int { return (rows + n - 1) / n }
