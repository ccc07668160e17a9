package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// The NEON tiers have the panels of all machines (see layout.go): a plane's vectors are four rows of a quad, which is
// what SDOT multiplies with one quad of activations, and two such vectors zipped are two rows of eight weights, which
// SMMLA multiplies with two columns. One column is multiplied straight from the panel, but for formats with a grid.
// For more, each block is unpacked once to signed bytes, which all columns then use. Blocks of formats with a grid are
// unpacked in portable code.
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
// Smaller blocks have a row of float32 each, and perhaps one of minima.
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
	codes   [8]quant.Codes       // of rows of a format with a grid
	rows    [panelRows][128]byte // their blocks
}

// machineScratch is what a worker's Scratch has for the machine's tiers alone.
type machineScratch struct {
	neon   *scratchNEON
	attend attend
}

func newMachineScratch() machineScratch { return machineScratch{neon: newScratchNEON()} }

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

// mulWith gives a tier's products.
func mulWith(k *kernelSet) func(*Matrix, *Scratch, int, int, *Acts, []int32, target) {
	return func(m *Matrix, s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
		if len(cols) == 1 && k.gemv[m.typ] != nil {
			m.mulColumn(k, s.neon, r0, r1, a, cols[0], to)
			return
		}
		m.mulColumns(k, s.neon, r0, r1, a, cols, to)
	}
}

// mulColumns goes through the panels, and in each through up to columnsNEON columns at once.
func (m *Matrix) mulColumns(k *kernelSet, t *scratchNEON, r0, r1 int, a *Acts, cols []int32, to target) {
	for r := r0; r < r1; r += panelRows {
		w := m.panelAt(r)[:m.panel]
		for j := 0; j < len(cols); j += columnsNEON {
			n := min(columnsNEON, len(cols)-j)
			for i, col := range cols[j : j+n] {
				t.columns[i].x = unsafe.Pointer(unsafe.SliceData(a.row(m.layout.act, int(col))))
			}
			m.mulPanel(k, t, w, n)
			for i := range n {
				copy(to.y[to.offset(j+i)+r-r0:][:panelRows], t.acc[i][:])
			}
		}
	}
}

// mulColumn multiplies panels with one column, some at a time.
func (m *Matrix) mulColumn(k *kernelSet, t *scratchNEON, r0, r1 int, a *Acts, col int32, to target) {
	run := max(1, streamNEON/m.panel) * panelRows
	g, gemv := &t.gemv, k.gemv[m.typ]
	g.x, g.scales = unsafe.Pointer(unsafe.SliceData(a.row(m.layout.act, int(col)))), &t.scales
	g.blocks = int64(m.Cols / m.typ.BlockLen())
	for r := r0; r < r1; r += run {
		g.w = unsafe.Pointer(unsafe.SliceData(m.panelAt(r)))
		g.y = unsafe.Pointer(&to.y[to.offset(0)+r-r0])
		g.panels = int64((min(r+run, r1) - r) / panelRows)
		gemv(g)
	}
}

// mulPanel multiplies a panel with the first n of t's columns.
func (m *Matrix) mulPanel(k *kernelSet, t *scratchNEON, w []byte, n int) {
	c, tile, paired := &t.tile, k.tile[m.typ], k.paired
	clear(t.acc[:n])
	c.q, c.scales, c.columns, c.at = unsafe.Pointer(&t.q), &t.scales, unsafe.Pointer(&t.columns), 0
	switch {
	case m.layout.act == actF32 && n == 1:
		c.groups, tile = 1, k.float[m.typ]
	case n == 1 && m.layout.grid:
		c.groups, tile, paired = 1, k.single[m.typ], false
	default:
		for ; n%columnGroup != 0; n++ { // the last one again, for nothing
			t.columns[n].x = t.columns[n-1].x
		}
		c.groups = int64(n / columnGroup)
	}
	if m.layout.act == actF32 {
		for i := 0; i < m.Cols; i += floatStep {
			c.q, c.blocks, c.at = unsafe.Pointer(&w[i*m.block]), int64(min(floatStep, m.Cols-i)), int64(4*i)
			tile(c)
		}
		return
	}
	step, x := 1, act256Block
	if m.layout.act == act32 {
		step, x = superLen/32, act32Block
	}
	u, unpack := &t.unpack, k.unpack[m.typ]
	u.q, u.scales = &t.q, &t.scales
	for b, blocks := 0, len(w)/m.block; b < blocks; b += step {
		u.w, u.blocks = unsafe.Pointer(&w[b*m.block]), int64(min(step, blocks-b))
		c.at, c.blocks = int64(b*x), u.blocks
		if m.layout.grid {
			m.unpackGrid(t, w[b*m.block:][:m.block], paired)
		} else {
			unpack(u)
		}
		tile(c)
	}
}

// unpackGrid unpacks a block of a format with a grid: eight rows at a time are looked up in portable code.
func (m *Matrix) unpackGrid(t *scratchNEON, src []byte, paired bool) {
	l, size, runs := &m.layout, m.typ.BlockBytes(), shapeOf(m.typ).runs
	gatherRowsNEON(&t.rows[0][l.words], &src[l.toWords], int64(l.n))
	for r := range panelRows {
		row, codes := t.rows[r][:size], &t.codes[r%8]
		if l.half >= 0 {
			copy(row[l.half:][:2], src[l.toHalf+2*r:])
		}
		codes.Decode(m.typ, row)
		t.scales.d[r] = codes.D
		for g := range runs {
			v := int32(codes.Step[g*(16/runs)])
			if paired {
				t.scales.wide[g][2*r], t.scales.wide[g][2*r+1] = v, v
			} else {
				t.scales.scale[g][r] = v
			}
		}
		if r%8 == 7 {
			spread := spreadRowsNEON
			if paired {
				spread = spreadRowsI8MM
			}
			spread(&t.q[r/8*8*superLen], &t.codes[0].Q[0], int64(unsafe.Sizeof(t.codes[0])))
		}
	}
}

// gatherRowsNEON writes words of 32 rows, 128 bytes apart.
//
//go:noescape
func gatherRowsNEON(to, planes *byte, words int64)

// spreadRowsNEON writes 256 codes of eight rows, stride bytes apart, as signed bytes in the order of tiles.
//
//go:noescape
func spreadRowsNEON(to *int8, codes *byte, stride int64)

// spreadRowsI8MM does so for SMMLA.
//
//go:noescape
func spreadRowsI8MM(to *int8, codes *byte, stride int64)
