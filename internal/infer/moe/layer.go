package moe

import (
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

const (
	// columnBytes of activations (one byte for an element, and scales) are multiplied at once, but at least
	// leastColumns tokens and at most mostColumns: half of a 1 MiB L2 cache, beside which a piece of the weights and
	// the results find room. The weights are read again for each such chunk, which more than 128 columns make no
	// cheaper.
	columnBytes  = 512 << 10
	leastColumns = 32
	mostColumns  = 128
	// Items of work are small where reading weights takes the time, since neighbouring ones are taken together: 32
	// KiB are 1 to 2 µs of one thread's memory bandwidth. Where computing does, results should come in longer runs
	// than a panel.
	streamItemBytes  = 32 << 10
	computeItemBytes = 256 << 10
	// itemsPerWorker bounds an item's size where matrices are small: the last item is then at most a sixteenth of a
	// worker's part of the stage.
	itemsPerWorker = 16
)

// columns cuts n tokens of a product into chunks of nearly equal size, so that no small rest pays for all the weights.
func columns(m *kernel.Matrix, n int) int {
	return pieces(n, max(chunks(m, n), 1))
}

// chunks is how many chunks there are. Items go through all rows with one chunk before the next: its activations then
// stay in the L2 cache, while weights come from memory in a stream that is fetched ahead.
func chunks(m *kernel.Matrix, n int) int {
	return pieces(n, min(max(columnBytes/(m.Cols+m.Cols/8), leastColumns), mostColumns))
}

// products does the items from … to−1 that belong to a matrix: pieces of rows, for one chunk of n tokens after the
// other. It gives what is left of the items for the next matrix.
func (w *worker) products(m *kernel.Matrix, n, from, to int, do func(r0, r1, first, end int)) (int, int) {
	rows := w.m.now.rows
	each, items := columns(m, n), pieces(m.Rows, rows)
	for at := 0; at < n && to > 0; at += each {
		if r0, r1 := max(from, 0)*rows, min(to*rows, m.Rows); r0 < r1 {
			do(r0, r1, at, min(at+each, n))
		}
		from, to = from-items, to-items
	}
	return from, to
}

// product gives rows r0 … r1−1 of a matrix times columns of a, r1−r0 (rounded up to RowAlign) floats a column, in y.
func (w *worker) product(y *[]float32, m *kernel.Matrix, r0, r1 int, a *kernel.Acts, cols []int32) (out []float32,
	stride int) {
	stride = (r1 - r0 + kernel.RowAlign - 1) / kernel.RowAlign * kernel.RowAlign
	*y = grow(*y, stride*len(cols))
	m.Mul(w.scratch, r0, r1, a, cols, *y, stride)
	return *y, stride
}

// attentionInput adds what the experts of the layer before gave to a token, and normalises it for the queries, keys
// and values.
func (w *worker) attentionInput(t int) {
	m := w.m
	if m.now.index > 0 {
		m.addExperts(t)
	}
	x := w.row[:m.cfg.Dim]
	kernel.RMSNorm(x, m.token(t), m.now.attnNorm, m.cfg.NormEps)
	m.now.attnIn.Set(t, 0, x)
}

// project computes items of queries, keys and values, rotates the first two by their position (RoPE) and stores the
// last two in the KV cache.
func (w *worker) project(from, to int) {
	y := &w.m.now
	for _, p := range [...]struct {
		mat    *kernel.Matrix
		tokens []int32
		store  func(w *worker, t, head int, x []float32)
	}{
		{y.q, y.tokens, (*worker).storeQuery},
		{y.k, w.m.all, (*worker).storeKey},
		{y.v, w.m.all, (*worker).storeValue},
	} {
		from, to = w.products(p.mat, len(p.tokens), from, to, func(r0, r1, first, end int) {
			w.heads(p.mat, r0, r1, p.tokens[first:end], p.store)
		})
	}
}

// heads computes some rows of queries, keys or values, which are whole heads.
func (w *worker) heads(mat *kernel.Matrix, r0, r1 int, tokens []int32,
	store func(w *worker, t, head int, x []float32)) {
	dim := w.m.cfg.HeadDim
	out, stride := w.product(&w.y, mat, r0, r1, w.m.now.attnIn, tokens)
	for j, t := range tokens {
		for r := r0; r < r1; r += dim {
			store(w, int(t), r/dim, out[j*stride+r-r0:][:dim])
		}
	}
}

// attentionOutput computes items of the output projection.
func (w *worker) attentionOutput(from, to int) {
	m, y := w.m, &w.m.now
	w.products(y.o, len(y.tokens), from, to, func(r0, r1, first, end int) {
		y.o.MulAt(w.scratch, r0, r1, y.attnOut, y.tokens[first:end], m.out, m.outStride)
	})
}

func lcm(a, b int) int {
	x, y := a, b
	for y != 0 {
		x, y = y, x%y
	}
	return a / x * b
}
