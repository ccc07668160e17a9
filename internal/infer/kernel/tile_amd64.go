package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

//go:generate go run ./_asm .

// tileBuffer is where assembly kernels keep expanded scales and outer sums.
type tileBuffer [4096]float32

// machineScratch is what a worker's Scratch has for the machine's tiers alone.
type machineScratch struct {
	tile   tile
	buf    *tileBuffer
	avx2   scratch2
	attend attend
}

func newMachineScratch() machineScratch {
	return machineScratch{buf: (*tileBuffer)(AlignedFloats(len(tileBuffer{})))}
}

// tile is the argument of an assembly kernel: panels × 32 rows times groups of columns. Its layout is known to the
// assembly (_asm/tile.go, held to it by TestTileLayout).
type tile struct {
	w      unsafe.Pointer // panels, one after the other
	blocks int64          // of a panel's rows
	panels int64          // counted down
	unit   float32        // factor of the results
	cols   int32          // of each group
	buf    *tileBuffer
	_      [3]int64 // the assembly's: row offset in y, blocks left, group
	groups int64    // 48 × their number: the bytes of their pointers
	_      [2]int64 // the assembly's
	x, y   [maxGroups][tileCols]unsafe.Pointer
}

// maxGroups is how many groups of columns go through a block together: the activations of 48 columns in a super-block
// are 18 KiB, which stay in an L1 cache of 32 KiB beside the weights. 96 are slower already with 48 KiB.
const maxGroups = 8

// mulAVX512 goes through the columns in chunks whose activations stay in the L2 cache beside a panel, through the
// panels in runs small enough for L2 too, and within these through groups of up to tileCols columns.
func (m *Matrix) mulAVX512(s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	t := &s.tile
	t.buf = s.buf
	t.blocks, t.unit = int64(m.Cols/m.typ.BlockLen()), m.layout.unit
	all := (r1 - r0) / panelRows
	budget, together := panelBudget, maxGroups
	if m.layout.act == actF32 {
		together = 1
	}
	if len(cols) <= tileCols {
		budget = streamBudget
	}
	run := max(1, min(all, budget/m.panel))
	chunk := max(tileCols, chunkBudget/a.stride[m.layout.act]/tileCols*tileCols)
	for c0 := 0; c0 < len(cols); c0 += chunk {
		c1 := min(c0+chunk, len(cols))
		for p := 0; p < all; p += run {
			t.w = unsafe.Pointer(unsafe.SliceData(m.panelAt(r0 + p*panelRows)))
			m.mulGroups(t, min(run, all-p), together, a, cols[:c1], c0, to, p*panelRows)
		}
	}
}

// mulGroups multiplies a run of panels, whose results begin at row of the targets, with all columns of cols from at
// on, in as few groups as there can be. Those are of two sizes that differ by one: 7 columns are 4 + 3, not 6 + 1.
func (m *Matrix) mulGroups(t *tile, panels, together int, a *Acts, cols []int32, at int, to target, row int) {
	kind, n := m.layout.act, len(cols)-at
	base, pitch := unsafe.Pointer(unsafe.SliceData(a.data[kind])), a.stride[kind]
	groups := (n + tileCols - 1) / tileCols
	small := n / groups
	large := n - small*groups // so many groups have one more
	for g := 0; g < groups; {
		size, n := small+1, min(large-g, together)
		if g >= large {
			size, n = small, min(groups-g, together)
		}
		for i := range n {
			for j := range size {
				t.x[i][j] = unsafe.Add(base, int(cols[at])*pitch)
				t.y[i][j] = unsafe.Pointer(&to.y[to.offset(at)+row])
				at++
			}
		}
		t.panels, t.cols, t.groups = int64(panels), int32(size), int64(n*tileCols*8)
		tileKernel(m.typ, t)
		g += n
	}
}

func tileKernel(typ quant.Type, t *tile) {
	switch typ {
	case quant.F32:
		tileF32(t)
	case quant.F16:
		tileF16(t)
	case quant.BF16:
		tileBF16(t)
	case quant.Q8_0:
		tileQ8(t)
	case quant.Q4_0:
		tileQ4(t)
	case quant.Q5_0:
		tileQ5(t)
	case quant.Q2_K:
		tileQ2K(t)
	case quant.Q3_K:
		tileQ3K(t)
	case quant.Q4_K:
		tileQ4K(t)
	case quant.Q5_K:
		tileQ5K(t)
	case quant.Q6_K:
		tileQ6K(t)
	}
}

const (
	chunkBudget  = 512 << 10 // bytes of activations: half of a 1 MiB L2
	panelBudget  = 128 << 10 // bytes of weights that several groups of columns share
	streamBudget = 512 << 10 // bytes of weights a call streams through: some 30 µs
)

//go:noescape
func tileF32(t *tile)

//go:noescape
func tileF16(t *tile)

//go:noescape
func tileBF16(t *tile)

//go:noescape
func tileQ8(t *tile)

//go:noescape
func tileQ4(t *tile)

//go:noescape
func tileQ5(t *tile)

//go:noescape
func tileQ2K(t *tile)

//go:noescape
func tileQ3K(t *tile)

//go:noescape
func tileQ4K(t *tile)

//go:noescape
func tileQ5K(t *tile)

//go:noescape
func tileQ6K(t *tile)
