package engine

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
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

// BenchmarkScope is what it costs that keys share nothing: 16 requests of as many keys with the same 512 tokens before
// 32 tokens of their own, one after the other, in one scope and in one for each. It tells the time to the first token
// as a multiple of that in one scope; rounds of both alternate. "again" is the same where each key comes again.
func BenchmarkScope(b *testing.B) {
	const keys = 16
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", again), func(b *testing.B) {
			e := open(b, synth.Nano(), Config{MaxRunning: 1, KVBytes: 1 << 30})
			var took [2]time.Duration
			n := 0
			for b.Loop() {
				n++
				shared := ids(1000+n, 512)
				for apart := range 2 {
					round := func(visit int) {
						for i := range keys {
							scope := fmt.Sprint("round ", n, apart)
							if apart == 1 {
								scope += fmt.Sprint(" key ", i)
							}
							prompt := append(shared[:512:512], ids(10000*visit+100*n+i, 32)...)
							r := &llm.Request{PromptTokens: prompt, MaxTokens: 1, IgnoreEOS: true, CacheScope: scope}
							if err := e.Generate(b.Context(), r, func(llm.Event) error { return nil }); err != nil {
								b.Fatal(err)
							}
						}
					}
					if again {
						round(1)
					}
					began := time.Now()
					round(2)
					took[apart] += time.Since(began)
				}
			}
			b.ReportMetric(took[0].Seconds()*1000/float64(n*keys), "ms-shared")
			b.ReportMetric(took[1].Seconds()*1000/float64(n*keys), "ms-apart")
			b.ReportMetric(float64(took[1])/float64(took[0]), "apart/shared")
		})
	}
}

// BenchmarkGrammar is the throughput of ten sequences that are held to a grammar as a share of that of ten free ones,
// by turns in one process: the median of the rounds' ratios, of elapsed time and of processor time, which a busy
// machine changes less. "any" allows nearly every token at each place and "letters" some of them, so they have all of
// a grammar's cost and none of its gain; "schema" has texts that are forced.
func BenchmarkGrammar(b *testing.B) {
	for _, bench := range []struct {
		name string
		g    llm.Grammar
	}{
		{"any", llm.Grammar{Kind: llm.GrammarRegex, Source: `[^\x00]{900,}`}},
		{"letters", llm.Grammar{Kind: llm.GrammarRegex, Source: `[a-z ,.]{900,}`}},
		{"schema", llm.Grammar{Kind: llm.GrammarSchema, Source: `{"type":"array","minItems":1000,"items":` + person + `}`}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			shape := synth.Nano()
			if os.Getenv("MIXTRAL_BENCH_SHAPE") == "mid" {
				shape = synth.Mid()
			}
			// masks depend on the vocabulary, which is of the usual size here
			shape.Vocab = 32000
			e := open(b, shape, Config{NoGuesses: true})
			round(b, e, nil)
			round(b, e, &bench.g)
			var free, elapsed, used []float64
			for b.Loop() {
				tokens, took, cpu := round(b, e, nil)
				heldTokens, heldTook, heldCPU := round(b, e, &bench.g)
				free = append(free, tokens/took.Seconds())
				more := heldTokens / tokens
				elapsed = append(elapsed, more*took.Seconds()/heldTook.Seconds())
				used = append(used, more*cpu.Seconds()/heldCPU.Seconds())
			}
			b.ReportMetric(stats.Median(free), "free-tok/s")
			b.ReportMetric(stats.Median(elapsed), "ratio")
			b.ReportMetric(stats.Median(used), "cpu-ratio")
		})
	}
}

// round lets ten sequences answer, and gives their tokens, and the time and processor time that they took.
func round(b *testing.B, e *Engine, g *llm.Grammar) (tokens float64, took, cpu time.Duration) {
	var n atomic.Int64
	began, used := time.Now(), host.CPUTime()
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			seed := int64(i)
			r := &llm.Request{PromptTokens: ids(i, 15), MaxTokens: 128, Grammar: g, IgnoreEOS: g == nil,
				Sampling: llm.Sampling{Temperature: 1, Seed: &seed}}
			err := e.Generate(b.Context(), r, func(ev llm.Event) error {
				n.Add(int64(ev.NTokens))
				return nil
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	return float64(n.Load()), time.Since(began), host.CPUTime() - used
}
