package moe

import "github.com/hxp-enterprise/mixtral/internal/infer/kernel"

// ahead is what workers that wait for the end of a stage bring into their caches: what they will read first in the
// next stage that reads weights. Memory has nothing to do while they wait, and where a model is small that is often.
type ahead struct {
	round int      // of expectations
	first [][]byte // for each worker
	mats  []*kernel.Matrix
}

// fetchBytes is how much a worker fetches at most: half of a small L2 cache.
const fetchBytes = 256 << 10

// expect says which matrices the next stage that reads weights will go through, in this order.
func (m *Model) expect(mats ...*kernel.Matrix) {
	a := &m.ahead
	a.round++
	clear(a.first)
	if !m.streams() {
		return
	}
	panels := 0
	for _, mat := range mats {
		panels += mat.PaddedRows() / kernel.RowAlign
	}
	for w := range a.first {
		p := m.crew.Share(panels, w)
		for _, mat := range mats {
			if n := mat.PaddedRows() / kernel.RowAlign; p >= n {
				p -= n
				continue
			}
			a.first[w] = mat.From(p*kernel.RowAlign, fetchBytes)
			break
		}
	}
}

// expectDown expects the down projections of the busy experts.
func (m *Model) expectDown() {
	m.ahead.mats = m.ahead.mats[:0]
	for e, mat := range m.now.down {
		if tokens, _ := m.groups.expert(e); len(tokens) > 0 {
			m.ahead.mats = append(m.ahead.mats, mat)
		}
	}
	m.expect(m.ahead.mats...)
}

// expectLayer expects a layer's first matrices, or the output behind the layers.
func (m *Model) expectLayer(index int) {
	if index == len(m.layers) {
		m.expect(m.output)
		return
	}
	y := &m.layers[index]
	m.expect(y.q, y.k, y.v)
}

// listen takes over what is expected.
func (w *worker) listen(id int) {
	if a := &w.m.ahead; w.round != a.round {
		w.round, w.fetch = a.round, a.first[id]
	}
}

// idle fetches some of it.
func (m *Model) idle(id int) (more bool) {
	w := m.workers[id]
	w.fetch = kernel.Fetch(w.fetch)
	return len(w.fetch) > 0
}
