package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

//go:generate go run ./_asm .

// tile is the argument of an assembly kernel: panels × 32 rows times up to tileCols columns. Its layout is known to the
// assembly (_asm/tile.go, checked by TestTileLayout).
type tile struct {
	w      unsafe.Pointer // panels, one after the other
	blocks int64          // of a panel's rows
	panels int64          // counted down
	unit   float32        // factor of the results
	cols   int32
	buf    *[1024]float32 // scales, minima, outer sums
	row    int64          // work space
	left   int64          // work space
	x      [tileCols]unsafe.Pointer
	y      [tileCols]unsafe.Pointer
}

// mulAVX512 goes through the columns in chunks whose activations stay in the L2 cache beside a panel, through the panels
// in runs small enough for L2 too, and within these through groups of up to tileCols columns.
func (m *Matrix) mulAVX512(s *Scratch, r0, r1 int, a *Acts, cols []int32, y []float32, stride int) {
	t := &s.tile
	t.buf = s.buf
	t.blocks, t.unit = int64(m.Cols/m.typ.BlockLen()), m.layout.unit
	kind := m.layout.act
	base, pitch := unsafe.Pointer(unsafe.SliceData(a.data[kind])), a.stride[kind]
	all := (r1 - r0) / panelRows
	run := max(1, min(all, panelBudget/m.panel))
	if len(cols) <= tileCols {
		run = max(1, min(all, streamBudget/m.panel))
	}
	chunk := max(tileCols, chunkBudget/pitch/tileCols*tileCols)
	for c0 := 0; c0 < len(cols); c0 += chunk {
		c1 := min(c0+chunk, len(cols))
		groups := (c1 - c0 + tileCols - 1) / tileCols
		for p := 0; p < all; p += run {
			n := min(run, all-p)
			w := unsafe.Pointer(unsafe.SliceData(m.panelAt(r0 + p*panelRows)))
			for g := range groups {
				// Groups of equal size: 7 columns are 4 + 3, not 6 + 1.
				from, to := c0+(c1-c0)*g/groups, c0+(c1-c0)*(g+1)/groups
				for i, col := range cols[from:to] {
					t.x[i] = unsafe.Add(base, int(col)*pitch)
					t.y[i] = unsafe.Pointer(&y[(from+i)*stride+p*panelRows])
				}
				t.w, t.panels, t.cols = w, int64(n), int32(to-from)
				tileKernel(m.typ, t)
			}
		}
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
