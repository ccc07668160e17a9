package token

import (
	"strings"
	"testing"
)

func BenchmarkEncode(b *testing.B) {
	tok := mustNew(b, Synthetic(32000, 1))
	for _, bench := range []struct{ name, text string }{
		{"prose", strings.Repeat("The quick answer, for example, is that letters follow each other in every "+
			"country. ", 100)},
		{"word1MB", strings.Repeat("thering", 1<<20/7)},
		{"letters1MB", strings.Repeat("e", 1<<20)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				tok.Encode(bench.text, true)
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	spec := Synthetic(32000, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(spec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecoder(b *testing.B) {
	tok := mustNew(b, Synthetic(32000, 1))
	ids := tok.Encode(strings.Repeat("The quick answer, for example, is 日本語 here. ", 100), true)
	b.ReportAllocs()
	for b.Loop() {
		d := tok.NewDecoder()
		for _, id := range ids {
			d.Write(id)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ids)), "ns/token")
}
