package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

// benchTypes are the formats in the order of their width.
var benchTypes = quant.Types()

// benchMatrix is a 4096-wide matrix of about size bytes.
func benchMatrix(b *testing.B, typ quant.Type, cols, size int) *Matrix {
	b.Helper()
	row, err := typ.RowBytes(cols)
	if err != nil {
		b.Fatal(err)
	}
	rows := size / row / RowAlign * RowAlign
	arena, err := NewArena(int64(rows * row))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = arena.Close() })
	m, err := NewMatrix(typ, rows, cols, arena.Alloc(rows*row))
	if err != nil {
		b.Fatal(err)
	}
	const piece = 8 * RowAlign
	src := randomRows(rand.New(rand.NewPCG(1, 1)), typ, piece, cols)
	for r := 0; r < rows; r += piece {
		n := min(piece, rows-r)
		if err := m.Pack(typ, r, r+n, src[:n*row]); err != nil {
			b.Fatal(err)
		}
	}
	return m
}

func benchActs(m *Matrix, columns int) *Acts {
	r := rand.New(rand.NewPCG(2, 2))
	a := NewActs(m)
	a.Reserve(columns)
	for j := range columns {
		a.Set(j, 0, randomFloats(r, m.Cols))
	}
	return a
}

// mulAll multiplies the whole matrix on all workers, about 1 MiB of weights at a time.
func mulAll(p *Pool, scratch []*Scratch, m *Matrix, a *Acts, cols []int32, y []float32) {
	rows := max(1, min(1<<20/m.RowBytes(), m.Rows/p.Workers())/RowAlign) * RowAlign
	items := (m.Rows + rows - 1) / rows
	p.Run(func(w int) {
		for i := p.Next(); i < items; i = p.Next() {
			r0 := i * rows
			m.Mul(scratch[w], r0, min(r0+rows, m.Rows), a, cols, y[r0:], m.Rows)
		}
	})
}

// BenchmarkGEMV reads 256 MiB of weights, eight times the L3 cache, for one column. %read is the median of its rate over the
// mean of plain reads of the same memory just before and just after.
func BenchmarkGEMV(b *testing.B) {
	for _, typ := range benchTypes {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/workers=%d", typ, workers), func(b *testing.B) { benchCold(b, typ, workers, 1) })
		}
	}
}

// BenchmarkCold is the same with the few columns of a batch that decodes together.
func BenchmarkCold(b *testing.B) {
	for _, typ := range []quant.Type{quant.Q8_0, quant.Q4_0, quant.Q4_K, quant.Q2_K} {
		for _, n := range []int{2, 4, 8, 10, 16} {
			b.Run(fmt.Sprintf("%v/columns=%d", typ, n), func(b *testing.B) { benchCold(b, typ, 2, n) })
		}
	}
}

func benchCold(b *testing.B, typ quant.Type, workers, columns int) {
	m := benchMatrix(b, typ, 4096, 256<<20)
	pool := NewPool(workers)
	defer pool.Close()
	a := benchActs(m, columns)
	scratch := []*Scratch{NewScratch(), NewScratch()}
	y := AlignedFloats(columns * m.Rows)
	cols := allCols(columns)
	var best float64
	var ratios []float64
	before := readRate(pool, m.data)
	for b.Loop() {
		rate := float64(m.Bytes()) / timed(func() { mulAll(pool, scratch, m, a, cols, y) }) / 1e9
		after := readRate(pool, m.data)
		ratios = append(ratios, 2*rate/(before+after))
		best, before = max(best, rate), after
	}
	slices.Sort(ratios)
	b.ReportMetric(best, "GB/s")
	b.ReportMetric(100*ratios[len(ratios)/2], "%read")
	b.ReportMetric(2*best*float64(columns)*float64(m.Cols)/float64(m.RowBytes()), "GOP/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkGEMM is a prefill: 512 columns times 512 × 4096 weights, a few milliseconds, short enough that on a busy machine
// some repetition goes undisturbed.
func BenchmarkGEMM(b *testing.B) {
	for _, typ := range benchTypes {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/workers=%d", typ, workers), func(b *testing.B) {
				row, _ := typ.RowBytes(4096)
				m := benchMatrix(b, typ, 4096, 512*row)
				pool := NewPool(workers)
				defer pool.Close()
				const columns = 512
				a := benchActs(m, columns)
				scratch := []*Scratch{NewScratch(), NewScratch()}
				y := AlignedFloats(columns * m.Rows)
				cols := allCols(columns)
				var best, limit float64
				for b.Loop() {
					limit = max(limit, vnniRate(pool))
					ops := 2 * float64(columns) * float64(m.Rows) * float64(m.Cols)
					best = max(best, ops/timed(func() { mulAll(pool, scratch, m, a, cols, y) })/1e9)
				}
				b.ReportMetric(best, "GOP/s")
				if limit > 0 { // no peak is known where there is no VNNI
					b.ReportMetric(100*best/limit, "%peak")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkVector runs the element-wise functions on 4096 elements, and attention on a context that its caches hold.
func BenchmarkVector(b *testing.B) {
	const n = 4096
	r := rand.New(rand.NewPCG(3, 3))
	x, y, w, dst := randomFloats(r, n), randomFloats(r, n), randomFloats(r, n), make([]float32, n)
	half, bytes := make([]uint16, n), make([]byte, 2*n)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"Dot", func() { Dot(x, y) }},
		{"RMSNorm", func() { RMSNorm(dst, x, w, 1e-5) }},
		{"AddScaled", func() { AddScaled(dst, x, 0.5) }},
		{"SwiGLU", func() { SwiGLU(dst, x, y) }},
		{"Softmax", func() { Softmax(dst) }},
		{"Rope", func() { Rope(dst, x[:n/2], y[:n/2]) }},
		{"ToF16", func() { ToF16(half, x) }},
		{"Quantise32", func() { quantise32(bytes, x) }},
		{"Quantise256", func() { quantise256(bytes, x) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			best := 1.
			for b.Loop() {
				best = min(best, timed(func() {
					for range 100 {
						c.f()
					}
				}))
			}
			b.ReportMetric(100*n/best/1e9, "Gelem/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func BenchmarkAttend(b *testing.B) {
	for _, n := range []int{64, 512, 4096} {
		b.Run(fmt.Sprintf("positions=%d", n), func(b *testing.B) {
			const heads, dim = 4, 128
			r := rand.New(rand.NewPCG(4, 4))
			ctx := newContext(r, dim, n)
			q, out, s := randomFloats(r, heads*dim), make([]float32, heads*dim), NewScratch()
			best := 1.
			for b.Loop() {
				best = min(best, timed(func() {
					for range 10 {
						Attend(s, &ctx.kv, q, out, heads, n, ctx.blocks)
					}
				}))
			}
			b.ReportMetric(10*float64(4*n*dim)/best/1e9, "GB/s") // keys and values
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkPack packs 64 MiB, from and to memory that no cache holds.
func BenchmarkPack(b *testing.B) {
	for _, typ := range benchTypes {
		b.Run(typ.String(), func(b *testing.B) {
			m := benchMatrix(b, typ, 4096, 64<<20)
			src := randomRows(rand.New(rand.NewPCG(5, 5)), typ, m.Rows, m.Cols)
			best := 1e9
			for b.Loop() {
				best = min(best, timed(func() {
					if err := m.Pack(typ, 0, m.Rows, src); err != nil {
						b.Fatal(err)
					}
				}))
			}
			b.ReportMetric(float64(m.Bytes())/best/1e9, "GB/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
