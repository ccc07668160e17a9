package moe

import (
	"github.com/hxp-enterprise/mixtral/internal/kernel"
)

const (
	// columnBytes of activations (one byte for an element, and scales) are multiplied at once, but at least leastColumns
	// tokens and at most mostColumns: half of a 1 MiB L2 cache, beside which a piece of the weights and the results find
	// room. The weights are read again for each such chunk, which more than 128 columns make no cheaper.
	columnBytes  = 512 << 10
	leastColumns = 32
	mostColumns  = 128
	// itemBytes of weights are one item of a worker's work, if the matrix is large enough: about 8 µs of one thread's
	// memory bandwidth, 20 times what taking an item costs, and little enough for both to stay in L2.
	itemBytes = 32 << 10
	// itemsPerWorker bounds an item's size where matrices are small: the last item is then at most an eighth of a
	// worker's part of the phase.
	itemsPerWorker = 16
)

// columns cuts n tokens of a product into chunks of nearly equal size, so that no small rest pays for all the weights.
func columns(m *kernel.Matrix, n int) int {
	most := min(max(columnBytes/(m.Cols+m.Cols/8), leastColumns), mostColumns)
	return pieces(n, max(pieces(n, most), 1))
}

// product gives rows r0 … r1−1 of a matrix times columns of a, r1−r0 (rounded up to RowAlign) floats a column, in y.
func (w *worker) product(y *[]float32, m *kernel.Matrix, r0, r1 int, a *kernel.Acts, cols []int32) (out []float32, stride int) {
	stride = (r1 - r0 + kernel.RowAlign - 1) / kernel.RowAlign * kernel.RowAlign
	*y = grow(*y, stride*len(cols))
	m.Mul(w.scratch, r0, r1, a, cols, *y, stride)
	return *y, stride
}

// attentionInput normalises a token for the layer's queries, keys and values.
func (w *worker) attentionInput(t int) {
	m := w.m
	x := w.row[:m.cfg.Dim]
	kernel.RMSNorm(x, m.token(t), m.now.attnNorm, m.cfg.NormEps)
	m.now.attnIn.Set(t, 0, x)
}

// project computes items of queries, keys and values, which follow one another.
func (w *worker) project(from, to int) {
	m, y := w.m, &w.m.now
	for _, part := range [...]struct {
		mat    *kernel.Matrix
		tokens []int32
		store  func(w *worker, t, head int, x []float32)
	}{
		{y.q, y.tokens, (*worker).storeQuery},
		{y.k, m.all, (*worker).storeKey},
		{y.v, m.all, (*worker).storeValue},
	} {
		w.heads(part.mat, max(from, 0)*y.rows, min(to*y.rows, part.mat.Rows), part.tokens, part.store)
		items := pieces(part.mat.Rows, y.rows)
		from, to = from-items, to-items
	}
}

// heads computes some heads of queries, keys or values, rotates the first two by their position (RoPE) and stores the
// last two in the KV cache.
func (w *worker) heads(mat *kernel.Matrix, r0, r1 int, tokens []int32, store func(w *worker, t, head int, x []float32)) {
	if r0 >= r1 {
		return
	}
	c, y := &w.m.cfg, &w.m.now
	n := columns(mat, len(tokens))
	for from := 0; from < len(tokens); from += n {
		cols := tokens[from:min(from+n, len(tokens))]
		out, stride := w.product(&w.y, mat, r0, r1, y.attnIn, cols)
		for j, t := range cols {
			for r := r0; r < r1; r += c.HeadDim {
				store(w, int(t), r/c.HeadDim, out[j*stride+r-r0:][:c.HeadDim])
			}
		}
	}
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
	kernel.ToF16(w.slot(w.m.kv.Keys(w.m.now.index), t, head), x)
}

func (w *worker) storeValue(t, head int, x []float32) {
	kernel.ToF16(w.slot(w.m.kv.Values(w.m.now.index), t, head), x)
}

// slot gives a token's place among a layer's keys or values.
func (w *worker) slot(cache []uint16, t, head int) []uint16 {
	m := w.m
	p := m.tokens[t]
	block := int(m.spans[p.span].Blocks[p.pos/kernel.BlockTokens])
	return cache[block*m.kv.Stride()+m.kv.Offset(head, p.pos%kernel.BlockTokens):][:m.cfg.HeadDim]
}

// attention computes softmax(QKᵀ)V (grouped-query) and leaves it as the input of the output projection.
func (w *worker) attention(item int) {
	m, c, y := w.m, &w.m.cfg, &w.m.now
	width := c.group() * c.HeadDim
	it := &y.attend.items[len(y.attend.items)-1-item] // a prompt's last tokens attend to most: first, so that little is left at the end
	for _, t := range y.tokens[it.from:it.to] {
		out := w.row[:m.headsPerItem*width]
		for h := range m.headsPerItem {
			kv, q := w.query(int(t), it.head+h)
			if n := m.tokens[t].pos + 1; len(y.attend.parts) > 0 {
				size := m.partLen()
				kernel.MergeParts(&kv, out, m.parts[it.first*size:][:kernel.Parts(n)*size], c.group())
			} else {
				kernel.Attend(w.scratch, &kv, q, out[h*width:][:width], c.group(), n, m.spans[it.span].Blocks)
			}
		}
		y.attnOut.Set(int(t), it.head*width, out)
	}
}

// attentionPart computes a part of one token's attention.
func (w *worker) attentionPart(item int) {
	m, y := w.m, &w.m.now
	p := y.attend.parts[item]
	it := &y.attend.items[p.item]
	t := int(y.tokens[it.from])
	kv, q := w.query(t, it.head)
	size := m.partLen()
	kernel.AttendPart(w.scratch, &kv, q, m.parts[(it.first+p.part)*size:][:size], m.cfg.group(), m.tokens[t].pos+1, p.part, m.spans[it.span].Blocks)
}

// query gives a token's queries that share a KV head, and what they attend to.
func (w *worker) query(t, head int) (kernel.KV, []float32) {
	m, c := w.m, &w.m.cfg
	layer, width := m.now.index, c.group()*c.HeadDim
	kv := kernel.KV{Keys: m.kv.Keys(layer), Values: m.kv.Values(layer), Stride: m.kv.Stride(), Offset: m.kv.Offset(head, 0), HeadDim: c.HeadDim}
	return kv, m.q[t*c.Heads*c.HeadDim+head*width:][:width]
}

// attentionOutput adds some rows of the output projection to the residual stream.
func (w *worker) attentionOutput(from, to int) {
	m, y := w.m, &w.m.now
	r0, r1 := from*y.rows, min(to*y.rows, y.o.Rows)
	n := columns(y.o, len(y.tokens))
	for at := 0; at < len(y.tokens); at += n {
		cols := y.tokens[at:min(at+n, len(y.tokens))]
		out, stride := w.product(&w.y, y.o, r0, r1, y.attnOut, cols)
		for j, t := range cols {
			kernel.AddScaled(m.token(int(t))[r0:r1], out[j*stride:][:r1-r0], 1)
		}
	}
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}
