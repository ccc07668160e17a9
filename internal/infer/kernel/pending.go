package kernel

import "sync/atomic"

// A matrix can be multiplied before it is packed, so that a model is ready when its file is mapped, and packed when it
// is in use: memory for the packed copy can take longer to obtain than all products of a first prompt. A panel that
// is not packed yet is packed when it is needed: into the worker's own memory, for this product only, or into the
// arena, for good.

// Later is what the matrices of a model that are packed later have in common.
type Later struct {
	Arena *Arena       // where the packed matrices are, for its memory
	Keep  atomic.Int64 // bytes that products may still pack for good: the others they pack into private memory
	// Whole is called with a matrix's bytes in the file as soon as all of it is packed. Others may still read them.
	Whole func(src []byte)
}

// pending is where the rows of a matrix are that is not packed, or not all of it.
type pending struct {
	*Later
	src    []byte
	panels []atomic.Uint32 // panelRaw …
	left   atomic.Int64    // panels that are not packed
}

// The states of a panel.
const (
	panelRaw = iota
	panelBusy
	panelPacked
)

// PackLater makes m a matrix whose rows are src, the bytes of its format, until they are packed: by products, or by
// PackNow. src must stay as it is until Packed is true and PackedAll has been called.
func (m *Matrix) PackLater(src []byte, l *Later) error {
	if err := m.rowsIn(0, m.Rows, src); err != nil {
		return err
	}
	m.from = &pending{Later: l, src: src, panels: make([]atomic.Uint32, m.PaddedRows()/panelRows)}
	m.from.left.Store(int64(len(m.from.panels)))
	return nil
}

// Packed tells whether all of m is packed.
func (m *Matrix) Packed() bool { return m.from == nil || m.from.left.Load() == 0 }

// PackedAll forgets where m was packed from. m must be Packed, and no product may be under way.
func (m *Matrix) PackedAll() { m.from = nil }

// PackNow packs the rows r0 … r1−1, as far as they are not packed. r0 is a multiple of RowAlign, and so is r1 unless
// it is m.Rows. It may be called at the same time for different rows.
func (m *Matrix) PackNow(r0, r1 int) {
	if m.from == nil {
		return
	}
	end := (r1 + panelRows - 1) / panelRows
	for i := r0 / panelRows; i < end; i++ {
		m.packOne(i, end)
	}
}

// packOne packs a panel unless somebody else does, or has done so.
func (m *Matrix) packOne(i, end int) {
	p := m.from
	if !p.panels[i].CompareAndSwap(panelRaw, panelBusy) {
		return
	}
	defer p.panels[i].CompareAndSwap(panelBusy, panelRaw) // where the rows' file was cut: that is a panic
	dst := m.panelAt(i * panelRows)[:m.panel]
	p.Arena.Back(dst)
	m.packFrom(dst, i, end)
	p.panels[i].Store(panelPacked)
	if p.left.Add(-1) == 0 && p.Whole != nil {
		p.Whole(p.src)
	}
}

// packFrom packs panel i into dst, and fetches the next one's rows if that is before end.
func (m *Matrix) packFrom(dst []byte, i, end int) {
	row, rows := m.RowBytes(), min(panelRows, m.Rows-i*panelRows)
	src := m.from.src[i*m.panel:]
	if i+1 < end {
		fetch(src[rows*row : min(2*rows*row, len(src))])
	}
	m.packPanel(dst, src[:rows*row], rows)
}

// mulPending is mul for a matrix that is not packed, or not all of it.
func (m *Matrix) mulPending(s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	for i, end := r0/panelRows, r1/panelRows; i < end; {
		r, part := i*panelRows, to
		part.y = to.y[r-r0:]
		if n := m.packedFrom(i, end); n > 0 {
			m.product(s, r, r+n*panelRows, a, cols, part)
			i += n
			continue
		}
		one := s.panelOf(m)
		m.packFrom(one.data, i, end)
		one.product(s, 0, panelRows, a, cols, part)
		i++
	}
}

// packedFrom gives the number of neighbouring panels from i on that are packed, or that it may pack.
func (m *Matrix) packedFrom(i, end int) (n int) {
	for ; i+n < end; n++ {
		state := &m.from.panels[i+n]
		if state.Load() == panelRaw && m.from.Keep.Load() > 0 {
			m.from.Keep.Add(int64(-m.panel))
			m.packOne(i+n, end)
		}
		if state.Load() != panelPacked {
			break
		}
	}
	return n
}

// panelOf gives a matrix of one panel of m's kind, in the worker's own memory.
func (s *Scratch) panelOf(m *Matrix) *Matrix {
	if len(s.panel) < m.panel {
		s.panel = alignedBytes(m.panel)
	}
	s.one = *m
	s.one.from, s.one.Rows, s.one.data = nil, panelRows, s.panel[:m.panel]
	return &s.one
}
