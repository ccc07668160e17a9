package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
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
	first := min(piece, rows)
	if err := m.Pack(typ, 0, first, src[:first*row]); err != nil {
		b.Fatal(err)
	}
	for at := first * row; at < len(m.data); at += first * row { // the others are the same
		copy(m.data[at:], m.data[:first*row])
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

// itemRate does items on all workers and gives the speed of the fastest tenth's slowest item, times the workers: what
// the kernels reach, also where other processes take workers off their cores. Items are 10 to 1000 microseconds.
func itemRate(c *Crew, items int, amount float64, do func(worker, item int)) float64 {
	seconds := make([]float64, items)
	c.Run(1, func(int) int { return items }, func(w, _, from, to int) {
		for i := from; i < to; i++ {
			seconds[i] = timed(func() { do(w, i) })
		}
	})
	slices.Sort(seconds)
	return amount * float64(c.Workers()) / seconds[items/10] / 1e9
}

// mulRate multiplies the whole matrix, a panel an item, and gives the rate of amount a row.
func mulRate(c *Crew, scratch []*Scratch, m *Matrix, a *Acts, cols []int32, y []float32, amount float64) float64 {
	return itemRate(c, m.Rows/RowAlign, amount*RowAlign, func(w, i int) {
		r0 := i * RowAlign
		m.Mul(scratch[w], r0, r0+RowAlign, a, cols, y[r0:], m.Rows)
	})
}

// BenchmarkGEMV reads 256 MiB of weights, eight times the L3 cache, for one column. Plain reads and products take
// turns, a window each; %read is the median of the rates of neighbours, since the machine's memory changes its speed.
func BenchmarkGEMV(b *testing.B) {
	for _, typ := range benchTypes {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/workers=%d", typ, workers), func(b *testing.B) { benchCold(b, typ, workers, 1) })
		}
	}
}

// BenchmarkCold is the same with the few columns of a batch that decodes together.
func BenchmarkCold(b *testing.B) {
	for _, typ := range []quant.Type{
		quant.Q8_0, quant.Q6_K, quant.Q5_K, quant.Q4_K, quant.Q4_0, quant.Q3_K, quant.Q2_K,
	} {
		for _, n := range []int{2, 3, 4, 6, 8, 10, 16, 24, 32} {
			b.Run(fmt.Sprintf("%v/columns=%d", typ, n), func(b *testing.B) { benchCold(b, typ, 2, n) })
		}
	}
}

func benchCold(b *testing.B, typ quant.Type, workers, columns int) {
	m := benchMatrix(b, typ, 4096, 256<<20)
	crew := NewCrew(workers)
	defer crew.Close()
	a := benchActs(m, columns)
	scratch := []*Scratch{NewScratch(), NewScratch()}
	y := AlignedFloats(columns * m.Rows)
	cols := allCols(columns)
	const window = 32 // items: 16 MiB
	rows := (512 << 10) / m.RowBytes() / RowAlign * RowAlign
	size := rows * m.RowBytes()
	var rates, ratios []float64
	for b.Loop() {
		for at := 0; at+2*window <= m.Rows/rows; at += 2 * window {
			read := itemRate(crew, window, float64(size), func(_, i int) {
				active.touch(m.data[(at+i)*size:][:size])
			})
			rate := itemRate(crew, window, float64(size), func(w, i int) {
				r0 := (at + window + i) * rows
				m.Mul(scratch[w], r0, r0+rows, a, cols, y[r0:], m.Rows)
			})
			rates, ratios = append(rates, rate), append(ratios, rate/read)
		}
	}
	rate := stats.Median(rates)
	b.ReportMetric(rate, "GB/s")
	b.ReportMetric(100*stats.Median(ratios), "%read")
	b.ReportMetric(2*rate*float64(columns)*float64(m.Cols)/float64(m.RowBytes()), "GOP/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkGEMM is a prefill: 512 columns times 512 × 4096 weights.
func BenchmarkGEMM(b *testing.B) {
	for _, typ := range benchTypes {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/workers=%d", typ, workers), func(b *testing.B) { benchWarm(b, typ, workers, 512) })
		}
	}
}

// BenchmarkColumns is the same with the columns of several sequences that decode, of short prompts, and of an expert's
// share of a prompt.
func BenchmarkColumns(b *testing.B) {
	for _, typ := range benchTypes {
		for _, n := range []int{4, 10, 48, 128} {
			b.Run(fmt.Sprintf("%v/columns=%d", typ, n), func(b *testing.B) { benchWarm(b, typ, 1, n) })
		}
	}
}

func benchWarm(b *testing.B, typ quant.Type, workers, columns int) {
	row, _ := typ.RowBytes(4096)
	m := benchMatrix(b, typ, 4096, 512*row)
	crew := NewCrew(workers)
	defer crew.Close()
	a := benchActs(m, columns)
	scratch := []*Scratch{NewScratch(), NewScratch()}
	y := AlignedFloats(columns * m.Rows)
	cols := allCols(columns)
	var rates, ratios []float64
	for b.Loop() {
		rate := mulRate(crew, scratch, m, a, cols, y, 2*float64(columns)*float64(m.Cols))
		rates = append(rates, rate)
		const rounds = 20000
		peak := itemRate(crew, 20, rounds*float64(active.multiplyOps),
			func(int, int) { active.multiply(rounds) })
		ratios = append(ratios, rate/peak)
	}
	b.ReportMetric(stats.Median(rates), "GOP/s")
	b.ReportMetric(100*stats.Median(ratios), "%peak")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkVector runs the element-wise functions on 4096 elements, and attention on a context that its caches hold.
func BenchmarkVector(b *testing.B) {
	const n = 4096
	r := rand.New(rand.NewPCG(3, 3))
	x, y, w, dst := randomFloats(r, n), randomFloats(r, n), randomFloats(r, n), make([]float32, n)
	words := make([]byte, n/32*act16Block)
	run, bytes := make([]byte, 2*n), make([]byte, 2*n)
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
		{"PutF16", func() { active.put(quant.KVF16, run, 0, x) }},
		{"PutQ8", func() { active.put(quant.KVQ8, run, 0, x) }},
		{"Quantise32", func() { active.quantise32(bytes, x) }},
		{"Quantise16", func() { active.quantise16(words, x) }},
		{"Quantise256", func() { active.quantise256(bytes, x) }},
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

// BenchmarkAttend attends to a context from one position, as decoding does, and from the last 16, as prompts do.
// GFLOP/s counts products with keys and values. A context of 32768 positions is 16 MiB of binary16.
func BenchmarkAttend(b *testing.B) {
	for _, dim := range []int{64, 128} {
		for _, typ := range kvTypes {
			for _, n := range []int{512, 4096, 32768} {
				for _, count := range []int{1, 16} {
					b.Run(fmt.Sprintf("size=%d/%v/context=%d/positions=%d", dim, typ, n, count), func(b *testing.B) {
						const heads = 4
						r := rand.New(rand.NewPCG(4, 4))
						ctx := newContext(r, typ, dim, n)
						q, s := ctx.queries(r, heads, count), NewScratch()
						parts := make([]float32, q.PartsLen(dim))
						best := 1.
						for b.Loop() {
							best = min(best, timed(func() {
								for i := range q.Parts() {
									AttendPart(s, &ctx.kv, q, parts, i, ctx.blocks)
								}
							}))
						}
						b.ReportMetric(float64(4*n*dim*heads*count)/best/1e9, "GFLOP/s")
						b.ReportMetric(float64(2*n*typ.VectorBytes(dim))/best/1e9, "GB/s")
						b.ReportMetric(0, "ns/op")
					})
				}
			}
		}
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
