package moe

import "github.com/hxp-enterprise/mixtral/internal/infer/kernel"

// attention is a layer's attention cut into work.
type attention struct {
	items []attendItem
	// parts is what comes before items where these are too few for all workers and contexts are long: an item's
	// result is then merged from parts that several workers have computed.
	parts []attendPart
}

// attendItem is some neighbouring tokens of a span (indices into all or wanted), for the KV heads from head on
// (headsPerItem of them).
type attendItem struct {
	span, head int
	from, to   int
	first      int // where its parts begin in state.parts, if it is divided
}

// attendPart is one part of an item, for one of its heads.
type attendPart struct{ item, head, part int }

// attendTokens is how many tokens of a prompt are one item of attention's work: few enough to balance among workers.
// The item reads a KV head's keys and values once for all of them; from 16 on, that costs a tenth of computing with
// them.
const attendTokens = 16

// addAttention cuts the work of a span's tokens into items.
func (m *Model) addAttention(a *attention, span, from, to int) {
	for ; from < to; from += attendTokens {
		for h := 0; h < m.cfg.KVHeads; h += m.headsPerItem {
			a.items = append(a.items, attendItem{span: span, head: h, from: from, to: min(from+attendTokens, to)})
		}
	}
}

// divide cuts items into parts where they are too few and too long to be shared well. tokens are what their indices
// mean.
func (m *Model) divide(a *attention, tokens []int32) {
	a.parts = a.parts[:0]
	if len(a.items) >= itemsPerWorker*m.crew.Workers() || m.crew.Workers() == 1 {
		return
	}
	longest := 0
	for i := range a.items {
		q := m.shape(&a.items[i], tokens)
		longest = max(longest, q.Parts())
	}
	if longest == 1 {
		return
	}
	size := 0
	for n := range a.items {
		it := &a.items[n]
		it.first = size
		q := m.shape(it, tokens)
		size += m.headsPerItem * q.PartsLen(m.cfg.HeadDim)
		for h := range m.headsPerItem {
			for part := range q.Parts() {
				a.parts = append(a.parts, attendPart{n, h, part})
			}
		}
	}
	m.parts = grow(m.parts, size)
}

// shape gives an item's queries without their numbers.
func (m *Model) shape(it *attendItem, tokens []int32) kernel.Queries {
	c := &m.cfg
	return kernel.Queries{Stride: c.Heads * c.HeadDim, Heads: c.group(), First: m.tokens[tokens[it.from]].pos,
		Count: it.to - it.from}
}

func (w *worker) rotate(t int, x []float32) {
	half := len(x) / 2
	kernel.Rope(x, w.m.cos[t*half:][:half], w.m.sin[t*half:][:half])
}

func (w *worker) storeQuery(t, head int, x []float32) {
	w.rotate(t, x)
	c := &w.m.cfg
	copy(w.m.q[(t*c.Heads+head)*c.HeadDim:][:c.HeadDim], x)
}

func (w *worker) storeKey(t, head int, x []float32) {
	w.rotate(t, x)
	kv, block, slot := w.slot(t, head)
	kv.PutKey(block, slot, x)
}

func (w *worker) storeValue(t, head int, x []float32) {
	kv, block, slot := w.slot(t, head)
	kv.PutValue(block, slot, x)
}

// slot gives a token's place in the cache.
func (w *worker) slot(t, head int) (kv kernel.KV, block int32, slot int) {
	p := w.m.tokens[t]
	return w.cache(head), w.m.spans[p.span].Blocks[p.pos/kernel.BlockTokens], p.pos % kernel.BlockTokens
}

// cache gives the layer's keys and values of one KV head.
func (w *worker) cache(head int) kernel.KV {
	kv, layer := w.m.kv, w.m.now.index
	return kernel.KV{Type: kv.Layout().Type, Keys: kv.Keys(layer), Values: kv.Values(layer), Stride: kv.Stride(),
		Offset: kv.Offset(head), HeadDim: w.m.cfg.HeadDim}
}

// queries gives what an item asks of its KV head h.
func (w *worker) queries(it *attendItem, h int) kernel.Queries {
	m, c := w.m, &w.m.cfg
	q := m.shape(it, m.now.tokens)
	q.Data = m.q[(int(m.now.tokens[it.from])*c.Heads+(it.head+h)*c.group())*c.HeadDim:]
	return q
}

// partsOf gives the memory for the parts of an item's head h.
func (w *worker) partsOf(it *attendItem, h int, q *kernel.Queries) []float32 {
	size := q.PartsLen(w.m.cfg.HeadDim)
	if len(w.m.now.attend.parts) > 0 {
		return w.m.parts[it.first+h*size:][:size]
	}
	w.parts = grow(w.parts, w.m.headsPerItem*size)
	return w.parts[h*size:][:size]
}

// attentionPart computes a part of an item's attention.
func (w *worker) attentionPart(item int) {
	p := w.m.now.attend.parts[item]
	it := &w.m.now.attend.items[p.item]
	q := w.queries(it, p.head)
	w.attend(it, p.head, &q, p.part)
}

func (w *worker) attend(it *attendItem, h int, q *kernel.Queries, part int) {
	kv := w.cache(it.head + h)
	kernel.AttendPart(w.scratch, &kv, q, w.partsOf(it, h, q), part, w.m.spans[it.span].Blocks)
}

// attention computes softmax(QKᵀ)V (grouped-query) of an item's tokens, or merges its parts if they have been
// computed, and leaves it as the input of the output projection.
func (w *worker) attention(item int) {
	m, c, y := w.m, &w.m.cfg, &w.m.now
	// a prompt's last tokens attend to most: first, so that little is left at the end
	it := &y.attend.items[len(y.attend.items)-1-item]
	if len(y.attend.parts) == 0 {
		for h := range m.headsPerItem {
			q := w.queries(it, h)
			for part := range q.Parts() {
				w.attend(it, h, &q, part)
			}
		}
	}
	width := c.group() * c.HeadDim
	out := w.row[:m.headsPerItem*width]
	for t := range it.to - it.from {
		for h := range m.headsPerItem {
			q := w.queries(it, h)
			q.Merge(out[h*width:][:width], w.partsOf(it, h, &q), c.HeadDim, t)
		}
		y.attnOut.Set(int(y.tokens[it.from])+t, it.head*width, out)
	}
}
