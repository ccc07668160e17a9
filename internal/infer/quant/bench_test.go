package quant

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func gauss(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func BenchmarkUnpack(b *testing.B) {
	each(b, func(t Type, x []float32, p []byte) error { return Unpack(t, x, p) })
}
func BenchmarkPack(b *testing.B) {
	each(b, func(t Type, x []float32, p []byte) error { return Pack(t, p, x) })
}

// each reports the time for one element.
func each(b *testing.B, f func(Type, []float32, []byte) error) {
	const n = 1 << 16
	for _, t := range Writable() {
		b.Run(fmt.Sprint(t), func(b *testing.B) {
			x := gauss(n, 1)
			size, _ := t.RowBytes(n)
			p := make([]byte, size)
			if err := Pack(t, p, x); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := f(t, x, p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/elem")
		})
	}
}
