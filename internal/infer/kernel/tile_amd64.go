package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// tileBuffer is where assembly kernels keep expanded scales and outer sums.
type tileBuffer [5120]float32

// machineScratch is what a worker's Scratch has for the machine's tiers alone.
type machineScratch struct {
	tile   tile
	buf    *tileBuffer
	attend attend
	curve  curveProduct
	grid   gridBlock

	gridBuffers *gridBuffers
}

func newMachineScratch() machineScratch {
	grid := alignedBytes(int(unsafe.Sizeof(gridBuffers{})))
	return machineScratch{buf: (*tileBuffer)(AlignedFloats(len(tileBuffer{}))),
		gridBuffers: (*gridBuffers)(unsafe.Pointer(unsafe.SliceData(grid)))}
}

// tile is the argument of an assembly kernel: panels × 32 rows times groups of columns. Its layout is known to the
// assembly (_asm/zmm.go, held to it by TestTileLayout).
type tile struct {
	w      unsafe.Pointer // panels, one after the other
	blocks int64          // of a panel's rows
	panels int64          // counted down
	unit   float32        // factor of the results
	cols   int32          // of each group
	buf    *tileBuffer
	_      [3]int64                             // the assembly's: row offset in y, blocks left, group
	groups int64                                // the bytes of the groups' pointers
	_      [2]int64                             // the assembly's
	x, y   [maxGroups * tileCols]unsafe.Pointer // for each group as many as its largest may have
	ahead  int64                                // fetchAhead
	once   int64                                // AVX-512: 1: the first group unpacks weights for the others
	_      [2]int64                             // the assembly's
}

// maxGroups is how many groups of six columns go through a block together, and twelve of four do: the activations of
// 48 columns in a super-block are 18 KiB, which stay in an L1 cache of 32 KiB beside the weights. 96 are slower
// already with 48 KiB.
const maxGroups = 8

// The AVX2 and AVX-VNNI tiers multiply formats with activations in act32 or act16 as they unpack the weights, if there
// are at most so many groups of at most so many columns.
const (
	fewGroups = 3
	fewCols   = 4
)

// tiles are a tier's kernels for products.
type tiles struct {
	kernel map[quant.Type]func(*tile)
	groups int // of columns that go through a block of integers together, at most maxGroups
	// columns of a group; those of float weights are fewer where there are few registers
	cols, floatCols int
	own             bool // integers are multiplied as they are; else shifted up, see layout.unit
}

// mul goes through the columns in chunks whose activations stay in the L2 cache beside a panel, through the panels in
// runs small enough for L2 too, and within these through groups of columns.
func (k *tiles) mul(m *Matrix, s *Scratch, r0, r1 int, a *Acts, cols []int32, to target) {
	g := grouping{kernel: k.kernel[m.typ], tile: &s.tile, most: k.cols, pitch: tileCols, together: k.groups}
	t := g.tile
	t.buf, t.ahead = s.buf, fetchAhead
	t.blocks, t.unit = int64(m.Cols/m.typ.BlockLen()), m.layout.unit
	if k.own {
		t.unit = 1
	}
	all := (r1 - r0) / panelRows
	budget := panelBudget
	switch m.act() {
	case actF32:
		g.most, g.together = k.floatCols, 1
	case act16:
		g.most, g.pitch, g.together = fewCols, fewCols, len(t.x)/fewCols
	case act32:
		if k.own && len(cols) <= fewGroups*fewCols {
			g.most = fewCols
		}
	}
	if len(cols) <= g.most {
		budget = streamBudget
	}
	run := max(1, min(all, budget/m.panel))
	chunk := g.chunk(chunkBudget/a.stride[m.act()], m.act() == act16)
	chunk = (even(len(cols), chunk) + g.most - 1) / g.most * g.most
	for c0 := 0; c0 < len(cols); c0 += chunk {
		c1 := min(c0+chunk, len(cols))
		for p := 0; p < all; p += run {
			t.w = unsafe.Pointer(unsafe.SliceData(m.panelAt(r0 + p*panelRows)))
			g.mul(m, min(run, all-p), a, cols[:c1], c0, to, p*panelRows)
		}
	}
}

// even is the size of each of as few pieces as n can be cut into, none larger than most, so that none is much smaller.
func even(n, most int) int {
	pieces := max(1, (n+most-1)/most)
	return (n + pieces - 1) / pieces
}

// grouping is how a product's columns go to a kernel.
type grouping struct {
	kernel         func(*tile)
	tile           *tile
	most, together int // columns of a group, groups of a call
	pitch          int // pointers of a group
}

// chunk is how many columns go through the panels together where fit of them stay in the cache: whole calls, since
// each call unpacks the weights, and one where fewer fit, because that costs more than reading activations from the
// next cache. But few columns of act16 have a kernel that multiplies as it unpacks.
func (g *grouping) chunk(fit int, act16 bool) int {
	call := g.most * g.together
	if fit < call && act16 {
		return max(fit/g.most, 1) * g.most
	}
	return max(fit/call, 1) * call
}

// mul multiplies a run of panels, whose results begin at row of the targets, with all columns of cols from at
// on, in as few groups as there can be. Those are of two sizes that differ by one: 7 columns are 4 + 3, not 6 + 1.
func (g grouping) mul(m *Matrix, panels int, a *Acts, cols []int32, at int, to target, row int) {
	t := g.tile
	kind, n := m.act(), len(cols)-at
	base, pitch := unsafe.Pointer(unsafe.SliceData(a.data[kind])), a.stride[kind]
	groups := (n + g.most - 1) / g.most
	small := n / groups
	large := n - small*groups // so many groups have one more
	for i0 := 0; i0 < groups; {
		size, n := small+1, even(large-i0, g.together)
		if i0 >= large {
			size, n = small, even(groups-i0, g.together)
		}
		for i := range n {
			for j := range size {
				t.x[i*g.pitch+j] = unsafe.Add(base, int(cols[at])*pitch)
				t.y[i*g.pitch+j] = unsafe.Pointer(&to.y[to.offset(at)+row])
				at++
			}
		}
		t.panels, t.cols, t.groups = int64(panels), int32(size), int64(n*g.pitch*8)
		t.once = 0
		if unpackOnce && n > 1 {
			t.once = 1
		}
		g.kernel(t)
		i0 += n
	}
}

const (
	chunkBudget  = 512 << 10 // bytes of activations: half of a 1 MiB L2
	panelBudget  = 128 << 10 // bytes of weights that several groups of columns share
	streamBudget = 512 << 10 // bytes of weights a call streams through: some 30 µs
)
