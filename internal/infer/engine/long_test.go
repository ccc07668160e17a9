package engine

import (
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// whole says that the tests of this file are to go to the end of a 32k context, which takes minutes: MIXTRAL_LONG=1.
func whole() bool { return os.Getenv("MIXTRAL_LONG") != "" }

// hay is a prompt of n random tokens with a needle in it, as deep as depth says (0 the beginning, 1 the end), and the
// needle's first token once more behind it. No other token of it is one of the needle's.
func hay(r *rand.Rand, n int, depth float64, needle []int32, vocab int) []int32 {
	prompt := make([]int32, n)
	for i := range prompt {
		for prompt[i] = needle[0]; slices.Contains(needle, prompt[i]); {
			prompt[i] = int32(300 + r.IntN(vocab-300)) // behind the bytes and the special tokens
		}
	}
	at := 1 + int(depth*float64(n-len(needle)-3))
	copy(prompt[at:], needle)
	prompt[n-1] = needle[0]
	return prompt
}

// TestNeedle: a model whose answer is known finds what a long prompt says anywhere in it, in either kind of cache,
// with the prompt cut into chunks, and with most of it in the prefix cache.
func TestNeedle(t *testing.T) {
	lengths, depths := []int{40, 700, 2000}, []float64{0, 0.6, 1}
	if whole() {
		lengths, depths = []int{8192, 32760}, []float64{0, 0.5, 1}
	}
	s := synth.Needle()
	for _, kv := range []quant.KVType{quant.KVF16, quant.KVQ8} {
		t.Run(kv.String(), func(t *testing.T) {
			e := open(t, s, Config{MaxRunning: 2, KVType: kv, PrefillChunk: 200})
			for _, n := range lengths {
				for _, depth := range depths {
					r := rand.New(rand.NewPCG(uint64(n), uint64(100*depth)))
					needle := []int32{301, 450, 333, 900, 1500, 2001, 777}
					prompt := hay(r, n, depth, needle, s.Vocab)
					for _, cached := range []bool{false, true} {
						answer, usage := answerTo(t, e, prompt, len(needle)-1)
						if !slices.Equal(answer, needle[1:]) {
							t.Errorf("%d tokens, needle at %.0f %%, cached %v: %v, want %v", n, 100*depth, cached,
								answer, needle[1:])
						}
						if hit := usage.CachedTokens; cached && hit < n-32 {
							t.Errorf("%d of %d tokens were cached", hit, n)
						}
					}
				}
			}
		})
	}
}

// TestMemoryIsAsPredicted: what the process holds more when a context is full is what the model's figures say,
// weights and KV cache, and not much besides.
func TestMemoryIsAsPredicted(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector's own memory comes and goes")
	}
	n := 3000
	if whole() {
		n = 32768
	}
	s := synth.Shape{Dim: 1024, FFN: 32, Layers: 2, Heads: 8, KVHeads: 4, Experts: 2, Vocab: 320, Context: n,
		Type: quant.Q8_0, Seed: 1}
	f := makeFile(t, s)
	info, err := moe.Describe(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range []quant.KVType{quant.KVF16, quant.KVQ8} {
		t.Run(kv.String(), func(t *testing.T) {
			before := resident(t)
			e := open(t, s, Config{MaxRunning: 1, KVType: kv})
			answerTo(t, e, hay(rand.New(rand.NewPCG(1, 1)), n-3, 0, []int32{301}, s.Vocab), 2)
			got, want := resident(t)-before, info.Packed+info.KVBytes(kv, n)
			t.Logf("%d tokens: %.1f MB more, predicted %.1f MB of weights and %.1f MB of KV cache", n,
				float64(got)/1e6,
				float64(info.Packed)/1e6, float64(info.KVBytes(kv, n))/1e6)
			// Besides: buffers of a step of 512 tokens and of attention's parts. Less: pages of 4 KiB that were held
			// before.
			if got < want-4<<20 || got > want+40<<20 {
				t.Errorf("%.1f MB", float64(got-want)/1e6)
			}
		})
	}
}

// answerTo gives n greedy tokens, however long the prompt takes.
func answerTo(t *testing.T, e *Engine, prompt []int32, n int) (answer []int32, usage llm.Usage) {
	t.Helper()
	err := e.Generate(t.Context(), ask(prompt, n), func(ev llm.Event) error {
		for _, tok := range ev.Tokens {
			answer = append(answer, tok.ID)
		}
		if ev.Usage != nil {
			usage = *ev.Usage
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer, usage
}

// resident is the memory of this process after all garbage is given back.
func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	u, err := host.Self()
	if err != nil || u.Anon == 0 {
		need.Missing(t, "the system does not say how much memory is in use: %v", err)
	}
	return u.Anon
}
