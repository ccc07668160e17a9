package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

//go:generate go run ./_asm/neon .

// The NEON tiers have the panels of all machines (see layout.go): a plane's vectors are four rows of a quad, which is
// what SDOT multiplies with one quad of activations, and two such vectors zipped are two rows of eight weights, which
// SMMLA multiplies with two columns. One column is multiplied straight from the panel. For more, each block is unpacked
// once to signed bytes, which all columns then use.
//
// Integers are added up exactly over a whole super-block, with its integer scales, and then come to float32 once: so
// the tiers, and both ways, give the same bits.

// gemvNEON is the argument of products with one column.
type gemvNEON struct {
	w, x, y        unsafe.Pointer
	blocks, panels int64
	scales         *scalesNEON
}

// unpackNEON is the argument of unpacking.
type unpackNEON struct {
	w      unsafe.Pointer
	q      *unpackedNEON
	scales *scalesNEON
	blocks int64
}

// tileNEON is the argument of products with groups of columns: of four, but for gemvF32 and its like.
type tileNEON struct {
	q       unsafe.Pointer
	scales  *scalesNEON
	columns unsafe.Pointer
	groups  int64
	at      int64 // byte in a row of activations
	blocks  int64 // of 32; or k of floats
}

// scalesNEON is where a super-block's scales are spread: integers, d and dmin, and the integers twice over for SMMLA.
// Smaller blocks have a row of float32 each.
type scalesNEON struct {
	scale, least [16][panelRows]int32
	d, dmin      [panelRows]float32
	wide         [16][2 * panelRows]int32
}

// unpackedNEON is 256 weights of 32 rows.
type unpackedNEON [superLen * panelRows]int8

// columnNEON is a column: its activations, and the sums of 32 rows.
type columnNEON struct{ x, acc unsafe.Pointer }

// columnsNEON bounds how many columns share an unpacked block: in a super-block their activations and sums are 64 KiB,
// which stay in an L2 cache, and unpacking is below a hundredth of the work.
const columnsNEON = 128

// columnGroup is how many columns a tile computes at once.
const columnGroup = 4

// scratchNEON is the tiers' private memory.
type scratchNEON struct {
	gemv    gemvNEON
	unpack  unpackNEON
	tile    tileNEON
	scales  scalesNEON
	q       unpackedNEON
	columns [columnsNEON]columnNEON
	acc     [columnsNEON][panelRows]float32
}

func newScratchNEON() *scratchNEON {
	t := new(scratchNEON)
	for i := range t.columns {
		t.columns[i].acc = unsafe.Pointer(&t.acc[i])
	}
	return t
}

// floatStep is how many k of float weights go through all columns before the next: 16 KiB of F32.
const floatStep = 128

// streamNEON bounds the bytes that a product with one column goes through in one call, which cannot be interrupted:
// some 50 µs.
const streamNEON = 512 << 10

func (m *Matrix) mulNEON(s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	t := s.neon
	if len(cols) == 1 && m.layout.act != actF32 {
		m.gemvNEON(t, r0, r1, a, cols[0], to)
		return
	}
	for r := r0; r < r1; r += panelRows {
		w := m.panelAt(r)[:m.panel]
		for j := 0; j < len(cols); j += columnsNEON {
			n := min(columnsNEON, len(cols)-j)
			for i, col := range cols[j : j+n] {
				t.columns[i].x = unsafe.Pointer(unsafe.SliceData(a.row(m.layout.act, int(col))))
			}
			m.panelNEON(t, w, n)
			for i := range n {
				copy(to.y[to.offset(j+i)+r-r0:][:panelRows], t.acc[i][:])
			}
		}
	}
}

// gemvNEON multiplies panels with one column, some at a time.
func (m *Matrix) gemvNEON(t *scratchNEON, r0, r1 int, a *Acts, col int32, to target) {
	run := max(1, streamNEON/m.panel) * panelRows
	g := &t.gemv
	g.x, g.scales = unsafe.Pointer(unsafe.SliceData(a.row(m.layout.act, int(col)))), &t.scales
	g.blocks = int64(m.Cols / m.typ.BlockLen())
	for r := r0; r < r1; r += run {
		g.w = unsafe.Pointer(unsafe.SliceData(m.panelAt(r)))
		g.y = unsafe.Pointer(&to.y[to.offset(0)+r-r0])
		g.panels = int64((min(r+run, r1) - r) / panelRows)
		gemvKernel(m.typ, g)
	}
}

// panelNEON multiplies a panel with the first n of t's columns.
func (m *Matrix) panelNEON(t *scratchNEON, w []byte, n int) {
	c := &t.tile
	clear(t.acc[:n])
	c.q, c.scales, c.columns, c.at = unsafe.Pointer(&t.q), &t.scales, unsafe.Pointer(&t.columns), 0
	if m.layout.act == actF32 && n == 1 {
		c.groups = 1
	} else {
		for ; n%columnGroup != 0; n++ { // the last one again, for nothing
			t.columns[n].x = t.columns[n-1].x
		}
		c.groups = int64(n / columnGroup)
	}
	if m.layout.act == actF32 {
		for k := 0; k < m.Cols; k += floatStep {
			c.q, c.blocks, c.at = unsafe.Pointer(&w[k*m.block]), int64(min(floatStep, m.Cols-k)), int64(4*k)
			floatKernel(m.typ, c, n)
		}
		return
	}
	step, x := 1, act256Block
	if m.layout.act == act32 {
		step, x = superLen/32, act32Block
	}
	u := &t.unpack
	u.q, u.scales = &t.q, &t.scales
	for b, blocks := 0, len(w)/m.block; b < blocks; b += step {
		u.w, u.blocks = unsafe.Pointer(&w[b*m.block]), int64(min(step, blocks-b))
		c.at, c.blocks = int64(b*x), u.blocks
		if active == tierI8MM {
			unpackPairs(m.typ, u)
		} else {
			unpackKernel(m.typ, u)
		}
		tileKernelNEON(m.typ, c)
	}
}

func gemvKernel(typ quant.Type, a *gemvNEON) {
	dot := active >= tierDotProd
	switch {
	case typ == quant.Q8_0 && dot:
		gemvQ8DotProd(a)
	case typ == quant.Q8_0:
		gemvQ8NEON(a)
	case typ == quant.Q4_0 && dot:
		gemvQ4DotProd(a)
	case typ == quant.Q4_0:
		gemvQ4NEON(a)
	case typ == quant.Q5_0 && dot:
		gemvQ5DotProd(a)
	case typ == quant.Q5_0:
		gemvQ5NEON(a)
	case typ == quant.Q2_K && dot:
		gemvQ2KDotProd(a)
	case typ == quant.Q2_K:
		gemvQ2KNEON(a)
	case typ == quant.Q3_K && dot:
		gemvQ3KDotProd(a)
	case typ == quant.Q3_K:
		gemvQ3KNEON(a)
	case typ == quant.Q4_K && dot:
		gemvQ4KDotProd(a)
	case typ == quant.Q4_K:
		gemvQ4KNEON(a)
	case typ == quant.Q5_K && dot:
		gemvQ5KDotProd(a)
	case typ == quant.Q5_K:
		gemvQ5KNEON(a)
	case typ == quant.Q6_K && dot:
		gemvQ6KDotProd(a)
	case typ == quant.Q6_K:
		gemvQ6KNEON(a)
	}
}

func unpackKernel(typ quant.Type, a *unpackNEON) {
	switch typ {
	case quant.Q8_0:
		unpackQ8NEON(a)
	case quant.Q4_0:
		unpackQ4NEON(a)
	case quant.Q5_0:
		unpackQ5NEON(a)
	case quant.Q2_K:
		unpackQ2KNEON(a)
	case quant.Q3_K:
		unpackQ3KNEON(a)
	case quant.Q4_K:
		unpackQ4KNEON(a)
	case quant.Q5_K:
		unpackQ5KNEON(a)
	case quant.Q6_K:
		unpackQ6KNEON(a)
	}
}

// unpackPairs is unpackKernel in the order of SMMLA.
func unpackPairs(typ quant.Type, a *unpackNEON) {
	switch typ {
	case quant.Q8_0:
		unpackQ8I8MM(a)
	case quant.Q4_0:
		unpackQ4I8MM(a)
	case quant.Q5_0:
		unpackQ5I8MM(a)
	case quant.Q2_K:
		unpackQ2KI8MM(a)
	case quant.Q3_K:
		unpackQ3KI8MM(a)
	case quant.Q4_K:
		unpackQ4KI8MM(a)
	case quant.Q5_K:
		unpackQ5KI8MM(a)
	case quant.Q6_K:
		unpackQ6KI8MM(a)
	}
}

// tileKernelNEON: formats differ in the runs of weights that share a scale, and in whether there are minima.
func tileKernelNEON(typ quant.Type, a *tileNEON) {
	var kernels [3]func(*tileNEON)
	switch typ {
	case quant.Q4_K, quant.Q5_K:
		kernels = [3]func(*tileNEON){tile32MinNEON, tile32MinDotProd, tile32MinI8MM}
	case quant.Q2_K:
		kernels = [3]func(*tileNEON){tile16MinNEON, tile16MinDotProd, tile16MinI8MM}
	case quant.Q3_K, quant.Q6_K:
		kernels = [3]func(*tileNEON){tile16NEON, tile16DotProd, tile16I8MM}
	default:
		kernels = [3]func(*tileNEON){tile32NEON, tile32DotProd, tile32I8MM}
	}
	kernels[active-tierNEON](a)
}

func floatKernel(typ quant.Type, a *tileNEON, columns int) {
	switch {
	case typ == quant.F32 && columns == 1:
		gemvF32NEON(a)
	case typ == quant.F32:
		tileF32NEON(a)
	case typ == quant.F16 && columns == 1:
		gemvF16NEON(a)
	case typ == quant.F16:
		tileF16NEON(a)
	case typ == quant.BF16 && columns == 1:
		gemvBF16NEON(a)
	case typ == quant.BF16:
		tileBF16NEON(a)
	}
}
