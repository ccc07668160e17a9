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
