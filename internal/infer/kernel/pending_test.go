package kernel

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// packedLater gives the matrix that packed gives, of which nothing is packed yet.
func packedLater(t *testing.T, typ quant.Type, rows, cols int, src []byte) (m *Matrix, l *Later) {
	t.Helper()
	size, err := PackedSize(typ, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	l = &Later{}
	if l.Arena, err = NewArena(ArenaSize(size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Arena.Close() })
	if m, err = NewMatrix(typ, rows, cols, l.Arena.Alloc(int(size))); err != nil {
		t.Fatal(err)
	}
	if err := m.PackLater(src, l); err != nil {
		t.Fatal(err)
	}
	return m, l
}

// TestPackLater: products are the same bit for bit whether none, some or all of a matrix is packed, and however many
// workers pack it at the same time; in the end its bytes are those of one that was packed at once.
func TestPackLater(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range []quant.Type{quant.Q8_0, quant.Q4_K, quant.Q2_K, quant.Q4_1, quant.IQ4_XS, quant.IQ2_XS,
			quant.F16, quant.F32} {
			const rows, cols, columns = 5*panelRows + 7, 512, 3
			r := rand.New(rand.NewPCG(11, uint64(typ)))
			src := randomRows(r, typ, rows, cols)
			now := packed(t, typ, rows, cols, src)
			later, l := packedLater(t, typ, rows, cols, slices.Clone(src))
			var told atomic.Int32
			l.Whole = func(src []byte) { told.Add(int32(len(src))) }
			a := NewActs(now)
			a.Reserve(columns)
			for j := range columns {
				a.Set(j, 0, randomFloats(r, cols))
			}
			multiply := func(m *Matrix, r0, r1 int) []float32 {
				y := make([]float32, columns*m.PaddedRows())
				m.Mul(NewScratch(), r0, r1, a, allCols(columns), y, m.PaddedRows())
				return y
			}
			same := func(what string, r0, r1 int) {
				t.Helper()
				if i, ok := sameBits(multiply(later, r0, r1), multiply(now, r0, r1)); !ok {
					t.Fatalf("%v, %s: element %d differs", typ, what, i)
				}
			}
			same("nothing kept", 0, rows)
			if later.from.left.Load() != 6 {
				t.Errorf("%v: %d of 6 panels are left though nothing may be kept", typ, later.from.left.Load())
			}
			l.Keep.Store(int64(later.panel) + 1)
			same("two panels kept", panelRows, rows)
			if left := later.from.left.Load(); left != 4 {
				t.Errorf("%v: %d of 6 panels are left, want 4", typ, left)
			}
			later.PackNow(4*panelRows, rows)
			same("a hole", 0, rows)
			if told.Load() != 0 {
				t.Errorf("%v: a matrix of which panels are left is called whole", typ)
			}
			l.Keep.Store(math.MaxInt64)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if i, ok := sameBits(multiply(later, 0, rows), multiply(now, 0, rows)); !ok {
						t.Errorf("%v, together: element %d differs", typ, i)
					}
				})
			}
			all.Wait()
			if !later.Packed() || int(told.Load()) != len(src) {
				t.Fatalf("%v is not packed: %d of %d bytes were told", typ, told.Load(), len(src))
			}
			later.PackedAll()
			same("all packed", 0, rows)
			if !bytes.Equal(later.data, now.data) {
				t.Errorf("%v: packed to other bytes", typ)
			}
		}
	})
}

// TestPackLaterFails: a panic while a panel is packed, as when its file was cut, leaves the panel to be packed.
func TestPackLaterFails(t *testing.T) {
	const rows, cols = 2 * panelRows, 256
	src := randomRows(rand.New(rand.NewPCG(12, 12)), quant.Q8_0, rows, cols)
	m, l := packedLater(t, quant.Q8_0, rows, cols, src)
	l.Keep.Store(math.MaxInt64)
	m.from.src = src[: len(src)-1 : len(src)-1]
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		m.PackNow(0, rows)
	}()
	if m.Packed() {
		t.Error("packed")
	}
	m.from.src = src
	m.PackNow(0, rows)
	if !m.Packed() || !bytes.Equal(m.data, packed(t, quant.Q8_0, rows, cols, src).data) {
		t.Error("not packed afterwards")
	}
	if err := m.PackLater(src[1:], l); err == nil {
		t.Error("takes too few bytes")
	}
}

// TestSmallFirst: memory that begins in small pages stays what it was when they are joined, and what was never written
// takes none.
func TestSmallFirst(t *testing.T) {
	for _, settle := range []bool{false, true} {
		a, err := NewArena(16 << 20)
		if err != nil {
			t.Fatal(err)
		}
		a.SmallFirst()
		b := a.Alloc(16 << 20)
		for i := range 100 {
			b[i*70000] = byte(i + 1)
		}
		if settle {
			a.Settle()
		}
		for i := range 100 {
			if b[i*70000] != byte(i+1) {
				t.Fatalf("byte %d has changed", i*70000)
			}
		}
		if n := Resident(b[10<<20:]); settle && n > 0 {
			t.Errorf("%d bytes of what was never written are in memory", n)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
