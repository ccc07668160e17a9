package kernel

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"pgregory.net/rapid"
)

// gridPaths are the ways of this machine to compute formats with grids. An AVX-512 processor without VBMI looks up as
// the AVX2 tier does, and multiplies by itself.
func gridPaths() map[string]*spreading {
	paths := map[string]*spreading{}
	for _, t := range tiers() {
		if t.spreading != nil {
			paths[t.name] = t.spreading
		}
	}
	if wide := paths["avx512"]; wide != nil {
		paths["avx512 without VBMI"] = &spreading{multiply: wide.multiply, block: spreadBlock2, grid: gridSingle2}
	}
	return paths
}

// TestGridLayout holds type gridBlock to the offsets that _asm/grid.go has.
func TestGridLayout(t *testing.T) {
	var b gridBlock
	for i, got := range []uintptr{unsafe.Offsetof(b.planes), unsafe.Offsetof(b.low), unsafe.Offsetof(b.lowStep),
		unsafe.Offsetof(b.high), unsafe.Offsetof(b.signs), unsafe.Offsetof(b.scale), unsafe.Offsetof(b.table),
		unsafe.Offsetof(b.index), unsafe.Offsetof(b.q), unsafe.Offsetof(b.x), unsafe.Offsetof(b.acc),
		unsafe.Offsetof(b.chunks), unsafe.Offsetof(b.values), unsafe.Offsetof(b.fields), unsafe.Offsetof(b.pairs),
		unsafe.Offsetof(b.fetch), unsafe.Offsetof(b.blocks), unsafe.Offsetof(b.help)} {
		if got != uintptr(8*i) {
			t.Errorf("field %d is at %d", i, got)
		}
	}
	var h gridHelp
	for want, got := range map[uintptr]uintptr{256: unsafe.Offsetof(h.even), 384: unsafe.Offsetof(h.halves),
		448: unsafe.Offsetof(h.order), 512: unsafe.Offsetof(h.low), 576: unsafe.Offsetof(h.high)} {
		if got != want {
			t.Errorf("a table is at %d, not %d", got, want)
		}
	}
	s := NewScratch()
	for name, p := range map[string]unsafe.Pointer{"weights": unsafe.Pointer(&s.spread.q),
		"scales": unsafe.Pointer(&s.spread.scale), "parts": unsafe.Pointer(&s.gridBuffers.parts),
		"signs": unsafe.Pointer(&s.gridBuffers.signs), "high bits": unsafe.Pointer(&s.gridBuffers.high)} {
		if uintptr(p)%64 != 0 {
			t.Errorf("%s cross cache lines", name)
		}
	}
}

// TestSmallGrids: sums of four products of any weights of a grid, with the addend of IQ1, are words;
// spreadProduct.small says so, and the AVX2 tier adds them up before it widens them.
func TestSmallGrids(t *testing.T) {
	for _, typ := range quant.Types() {
		for _, entry := range quant.Grid(typ) {
			for _, v := range entry {
				if most := 4 * actMax * (max(int(v), -int(v)) + 1); most > math.MaxInt16 {
					t.Fatalf("%v has the weight %d: four products may be %d", typ, v, most)
				}
			}
		}
	}
}

// TestSumsAreAligned: vectors of 64 bytes lie in one line each.
func TestSumsAreAligned(t *testing.T) {
	s := new(Scratch)
	for name, at := range map[string]uintptr{"weights": unsafe.Offsetof(s.spread),
		"sums": unsafe.Offsetof(s.sums) + unsafe.Offsetof(s.sums.acc)} {
		if at%64 != 0 {
			t.Errorf("%s are at %d, which is no multiple of 64", name, at)
		}
	}
}

// TestSignedLayout holds type spread to the offsets that spread_tile_amd64.s has.
func TestSignedLayout(t *testing.T) {
	var s spread
	var p spreadProduct
	for want, got := range map[uintptr]uintptr{12288: unsafe.Offsetof(s.signed), 20480: unsafe.Offsetof(s.magnitude),
		80: unsafe.Offsetof(p.small), 88: unsafe.Offsetof(p.next)} {
		if got != want {
			t.Errorf("a field is at %d, not %d", got, want)
		}
	}
}

// TestGridSpread: weights and scales of blocks of any bits are those of the portable code, and a single column's sums
// are the bits that several columns' are, whichever way they were looked up.
func TestGridSpread(t *testing.T) {
	property.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 17))
		for _, typ := range slices.Sorted(maps.Keys(gridFormats)) { // they share a generator
			src := randomRows(r, typ, panelRows, superLen)
			switch rapid.IntRange(0, 5).Draw(rt, "bits") {
			case 0:
				clear(src)
			case 1: // all ones, but for the scales
				for i := range src {
					src[i] = 0xff
				}
				for at := 0; at < len(src); at += typ.BlockBytes() {
					setScale(typ, src[at:], quant.F32to16(float32(r.NormFloat64())))
				}
			}
			m := packed(t, typ, panelRows, superLen, src)
			want, k := NewScratch(), shapeOf(typ)
			m.spreadBlockGeneric(want, m.data, &k)
			acts := NewActs(m)
			acts.Reserve(1)
			acts.Set(0, 0, randomFloats(r, superLen))
			var first *[panelRows]float32
			for name, path := range gridPaths() {
				s := NewScratch()
				path.block(typ, s, m.data)
				if s.spread.q != want.spread.q {
					rt.Fatalf("%v on %s: other weights", typ, name)
				}
				if s.spread.scale != want.spread.scale {
					rt.Fatalf("%v on %s: other scales", typ, name)
				}
				single, several := gridSums(path, m, acts, &k)
				if single != several {
					rt.Fatalf("%v on %s: one column alone has other sums", typ, name)
				}
				if first == nil {
					first = &single
				}
				if single != *first {
					rt.Fatalf("%v on %s: other sums than another way's", typ, name)
				}
			}
		}
	})
}

// gridSums multiplies one column as a single one, and as one of several.
func gridSums(path *spreading, m *Matrix, acts *Acts, k *shape) (single, several [panelRows]float32) {
	s := NewScratch()
	path.grid(m, s, m.data, unsafe.Pointer(unsafe.SliceData(acts.row(act256, 0))), &single)
	m.panelSpread(&spreading{multiply: path.multiply, block: path.block}, s, m.data, acts, []int32{0, 0}, k)
	return single, s.sums.acc[1]
}
