package moe

import (
	"fmt"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// BenchmarkDepth computes the last 512 tokens of a prompt, and the token behind it, where so many positions are in
// the cache already. What they hold makes no difference to the time.
func BenchmarkDepth(b *testing.B) {
	s := synth.Mid()
	s.Layers, s.Type, s.Context = 2, quant.Q4_0, 32768+1
	m := load(b, makeFile(b, s), 0)
	for _, typ := range []quant.KVType{quant.KVF16, quant.KVQ8} {
		kv := kvcache.NewStorage(m.cfg.KVLayout(typ, s.Context/16+1), nil)
		blocks := make([]int32, s.Context/16+1)
		for i := range blocks {
			blocks[i] = int32(i)
		}
		for _, n := range []int{512, 4096, 8192, 16384, 32768} {
			for _, tokens := range []int{512, 1} {
				b.Run(fmt.Sprintf("%v/depth=%d/tokens=%d", typ, n, tokens), func(b *testing.B) {
					span := Span{Tokens: randomTokens(1, tokens, m.cfg.Vocab), Start: n - tokens, Blocks: blocks,
						Logits: 1}
					best := 1e9 // of a machine that does other work too, the pass that had both cores
					for b.Loop() {
						began := time.Now()
						if _, err := m.Forward(kv, []Span{span}); err != nil {
							b.Fatal(err)
						}
						best = min(best, time.Since(began).Seconds())
					}
					b.ReportMetric(float64(tokens)/best, "tok/s")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
