package engine

import (
	"fmt"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// BenchmarkDecode is what a token costs through the whole engine, at several requests together. Compare
// BenchmarkForward of the model alone: the difference is scheduling, sampling and handing out.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 8} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := open(b, synth.Nano(), Config{MaxRunning: n})
			b.ReportAllocs()
			b.ResetTimer()
			var group sync.WaitGroup
			for i := range n {
				group.Go(func() {
					for left := b.N; left > 0; left -= 1000 {
						r := &llm.Request{PromptTokens: ids(i, 15), MaxTokens: min(left, 1000), IgnoreEOS: true}
						if err := e.Generate(b.Context(), r, func(llm.Event) error { return nil }); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}
