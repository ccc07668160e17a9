package moe

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func sameBits(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d rows, want %d", what, len(got), len(want))
		return
	}
	for i := range want {
		for j := range want[i] {
			if math.Float32bits(got[i][j]) != math.Float32bits(want[i][j]) {
				t.Errorf("%s: row %d, logit %d is %v, want %v", what, i, j, got[i][j], want[i][j])
				return
			}
		}
	}
}

// TestBatchesDoNotMatter runs sequences cut into random chunks, mixed with each other in random passes: every row of
// logits equals, bit for bit, what the sequence gives alone and at once.
func TestBatchesDoNotMatter(t *testing.T) {
	const sequences, blocksPerSeq = 4, 3
	perSeq, rounds := 40, 5
	if testing.Short() {
		perSeq, rounds = 20, 1
	}
	for _, c := range []struct {
		typ quant.Type
		kv  quant.KVType
	}{
		{quant.F32, quant.KVF16}, {quant.F16, quant.KVQ8}, {quant.Q8_0, quant.KVF16}, {quant.Q8_0, quant.KVQ8},
		{quant.Q4_0, quant.KVF16}, {quant.Q4_K, quant.KVQ8}, {quant.Q6_K, quant.KVF16},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			s := shape(c.typ)
			s.Layers, s.FFN = 2, 256
			m := load(t, makeFile(t, s), 2)
			tokens, alone := make([][]int32, sequences), make([][][]float32, sequences)
			for i := range tokens {
				tokens[i] = randomTokens(uint64(10+i), perSeq, m.cfg.Vocab)
				alone[i] = newSessionIn(t, m, c.kv, perSeq).feed(tokens[i])
			}
			kv := kvcache.NewStorage(m.cfg.KVLayout(c.kv, sequences*blocksPerSeq), nil)
			rng := rand.New(rand.NewPCG(1, uint64(c.typ)))
			for range rounds {
				at := make([]int, sequences)
				for slices.Min(at) < perSeq {
					var spans []Span
					var from []int
					for _, i := range rng.Perm(sequences) {
						n := min([]int{0, 1, 2, 7, 17, perSeq}[rng.IntN(6)], perSeq-at[i])
						if n == 0 {
							continue
						}
						blocks := make([]int32, blocksPerSeq)
						for b := range blocks {
							blocks[b] = int32(b*sequences + i)
						}
						spans = append(spans, Span{Tokens: tokens[i][at[i]:][:n], Start: at[i], Blocks: blocks,
							Logits: rng.IntN(n + 1)})
						from = append(from, i)
						at[i] += n
					}
					if len(spans) == 0 {
						continue
					}
					rows, err := m.Forward(kv, spans)
					if err != nil {
						t.Fatal(err)
					}
					for k, s := range spans {
						end := s.Start + len(s.Tokens)
						sameBits(t, "batched", rows[:s.Logits], alone[from[k]][end-s.Logits:end])
						rows = rows[s.Logits:]
					}
					if len(rows) > 0 {
						t.Fatalf("%d rows too many", len(rows))
					}
				}
			}
		})
	}
}

// TestWorkersDoNotMatter: the number of threads changes speed only.
func TestWorkersDoNotMatter(t *testing.T) {
	f := makeFile(t, shape(quant.Q8_0))
	tokens := randomTokens(3, 50, 320)
	want := newSession(t, load(t, f, 1), len(tokens)).feed(tokens)
	for _, workers := range []int{2, 3, 5} {
		sameBits(t, "workers", newSession(t, load(t, f, workers), len(tokens)).feed(tokens), want)
	}
}

// TestLongContexts: a long context's attention is divided among workers where few tokens are computed, and not in a
// long prompt or by one worker: all the same, bit for bit. In the second shape two KV heads are one item.
func TestLongContexts(t *testing.T) {
	for i, c := range []struct {
		typ   quant.Type
		heads int
		kv    quant.KVType
	}{{quant.Q8_0, 8, quant.KVQ8}, {quant.Q4_K, 4, quant.KVF16}, {quant.Q8_0, 8, quant.KVF16}} {
		if i == 2 && testing.Short() {
			break // both caches, both shapes have been
		}
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			s := shape(c.typ)
			s.Context, s.Layers, s.FFN, s.Heads = 2048, 2, 256, c.heads
			f := makeFile(t, s)
			most := 1100
			if testing.Short() { // few of the first part's tokens matter
				most = 560
			}
			tokens := randomTokens(8, most, s.Vocab)
			one, three := load(t, f, 1), load(t, f, 3)
			want := newSessionIn(t, one, c.kv, most).feed(tokens)
			few := newSessionIn(t, three, c.kv, most)
			few.feed(tokens[:500])
			for few.at < most {
				from := few.at
				n := min([]int{1, 5, 300, 17, 200, 2}[from%6], most-from)
				got := few.feed(tokens[from : from+n])
				if divided := len(three.attend.parts) > 0; from > 512 && n < 16 && !divided {
					t.Fatalf("attention of %d tokens from %d was not divided", n, from)
				}
				sameBits(t, fmt.Sprintf("%d tokens from %d", n, from), got, want[from:from+n])
			}
		})
	}
}

// TestExpertLayouts: files from before April 2024 have a tensor for each expert; the model is the same.
func TestExpertLayouts(t *testing.T) {
	s := shape(quant.Q4_0)
	tokens := randomTokens(4, 30, s.Vocab)
	want := newSession(t, load(t, makeFile(t, s), 2), len(tokens)).feed(tokens)
	s.OldExpertLayout = true
	sameBits(t, "old layout", newSession(t, load(t, makeFile(t, s), 2), len(tokens)).feed(tokens), want)
}

// TestOddShapes: heads of 2 to 48 elements, one expert more than is used, one layer, all heads sharing one KV head.
func TestOddShapes(t *testing.T) {
	for _, s := range []synth.Shape{
		{Dim: 16, FFN: 10, Layers: 1, Heads: 8, KVHeads: 8, Experts: 3, Vocab: 301, Context: 64, Type: quant.F32},
		{Dim: 96, FFN: 32, Layers: 2, Heads: 2, KVHeads: 1, Experts: 2, Vocab: 333, Context: 64, Type: quant.Q8_0,
			Calm: true},
		{Dim: 64, FFN: 96, Layers: 2, Heads: 8, KVHeads: 8, Experts: 5, Vocab: 300, Context: 64, Type: quant.Q4_0,
			Calm: true},
		{Dim: 20, FFN: 6, Layers: 2, Heads: 5, KVHeads: 1, Experts: 4, Vocab: 300, Context: 64, Type: quant.BF16},
	} {
		f := makeFile(t, s)
		m, ref := load(t, f, 2), newReference(t, f)
		tokens := randomTokens(5, 20, s.Vocab)
		for i, row := range newSession(t, m, len(tokens)).feed(tokens) {
			var diff, norm float64
			for j, want := range ref.next(tokens[i]) {
				diff += (float64(row[j]) - want) * (float64(row[j]) - want)
				norm += want * want
			}
			if rms := math.Sqrt(diff / norm); !(rms < 3e-2) {
				t.Errorf("%+v: relative rms %.3g after token %d", s, rms, i)
				break
			}
		}
	}
}

// TestDecodeAllocatesNothing, nor does a batch with a piece of a prompt in it, once the model has seen its size.
func TestDecodeAllocatesNothing(t *testing.T) {
	m := load(t, makeFile(t, shape(quant.Q8_0)), 2)
	kv := m.NewStorage(12)
	spans := []Span{
		{Tokens: []int32{5}, Start: 9, Blocks: []int32{0}, Logits: 1},
		{Tokens: []int32{6}, Start: 40, Blocks: []int32{1, 2, 3}, Logits: 1},
		{Tokens: randomTokens(1, 30, m.cfg.Vocab), Start: 2, Blocks: []int32{4, 5}},
	}
	forward := func() {
		if _, err := m.Forward(kv, spans); err != nil {
			t.Fatal(err)
		}
	}
	forward()
	if n := testing.AllocsPerRun(20, forward); n > 0 {
		t.Errorf("%v allocations a pass", n)
	}
}

func TestForwardRefusesBadSpans(t *testing.T) {
	m := load(t, makeFile(t, shape(quant.F32)), 1)
	kv := m.NewStorage(4)
	good := Span{Tokens: []int32{1, 2}, Start: 3, Blocks: []int32{0}, Logits: 1}
	for name, change := range map[string]func(*Span){
		"no tokens":       func(s *Span) { s.Tokens = nil },
		"before start":    func(s *Span) { s.Start = -1 },
		"beyond context":  func(s *Span) { s.Start = m.cfg.Context - 1; s.Blocks = make([]int32, 100) },
		"too few blocks":  func(s *Span) { s.Start = 15 },
		"logits":          func(s *Span) { s.Logits = 3 },
		"negative logits": func(s *Span) { s.Logits = -1 },
		"token":           func(s *Span) { s.Tokens = []int32{int32(m.cfg.Vocab), 1} },
		"negative token":  func(s *Span) { s.Tokens = []int32{-1} },
		"block":           func(s *Span) { s.Blocks = []int32{4} },
		"negative block":  func(s *Span) { s.Blocks = []int32{-1} },
	} {
		s := good
		change(&s)
		if _, err := m.Forward(kv, []Span{good, s}); !errors.Is(err, ErrSpan) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Forward(kv, nil); !errors.Is(err, ErrSpan) {
		t.Errorf("no spans: %v", err)
	}
	other := load(t, makeFile(t, synth.Tiny()), 1)
	if _, err := other.Forward(kv, []Span{good}); !errors.Is(err, ErrSpan) {
		t.Errorf("another model's cache: %v", err)
	}
	if _, err := m.Forward(kv, []Span{good}); err != nil {
		t.Errorf("after all this: %v", err)
	}
}

// TestBreakdown: a panic in a worker is an error of this pass; the next one works.
func TestBreakdown(t *testing.T) {
	m := load(t, makeFile(t, shape(quant.Q8_0)), 2)
	tokens := randomTokens(6, 20, m.cfg.Vocab)
	want := newSession(t, m, len(tokens)).feed(tokens)
	s := newSession(t, m, len(tokens))
	whole := m.layers[0].router
	m.layers[0].router = append(slices.Clone(whole), make([]float32, 1)) // one expert too many
	if _, err := m.Forward(s.kv, []Span{{Tokens: tokens, Blocks: s.blocks}}); err == nil {
		t.Fatal("no error")
	}
	m.layers[0].router = whole
	sameBits(t, "after a breakdown", s.feed(tokens), want)
}

func TestChoose(t *testing.T) {
	nan := float32(math.NaN())
	for _, test := range []struct {
		scores []float32
		want   []int32
	}{
		{[]float32{1, 5, 2, 4}, []int32{1, 3}},
		{[]float32{2, 2, 2, 2}, []int32{0, 1}}, // ties: the lowest
		{[]float32{1, 3, 3, 3}, []int32{1, 2}},
		{[]float32{nan, nan, nan}, []int32{0, 1}},
	} {
		routes := make([]route, 2)
		choose(routes, test.scores, make([]float32, 2))
		if routes[0].expert != test.want[0] || routes[1].expert != test.want[1] {
			t.Errorf("%v: %v, want experts %v", test.scores, routes, test.want)
		}
		a, b := float64(test.scores[test.want[0]]), float64(test.scores[test.want[1]])
		if w := 1 / (1 + math.Exp(b-a)); !(math.Abs(float64(routes[0].weight)-w) < 1e-6) && !math.IsNaN(w) {
			t.Errorf("%v: weight %v, want %v", test.scores, routes[0].weight, w)
		}
	}
}

// TestNaNStaysWithItsSequence: a sequence whose embedding is NaN gets NaN logits; the one beside it does not notice.
func TestNaNStaysWithItsSequence(t *testing.T) {
	m := load(t, makeFile(t, shape(quant.F32)), 2)
	want := newSession(t, m, 4).feed([]int32{1, 2, 3})
	for i := range 4 { // the first element of token 9's embedding
		m.embed[9*m.embedRow+i] = 0xff
	}
	kv := m.NewStorage(2)
	rows, err := m.Forward(kv, []Span{
		{Tokens: []int32{1, 2, 3}, Blocks: []int32{0}, Logits: 3},
		{Tokens: []int32{4, 9}, Blocks: []int32{1}, Logits: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "the neighbour", rows[:3], want)
	if rows[3][0] != rows[3][0] {
		t.Error("NaN in the logits of the token before it")
	}
	if rows[4][0] == rows[4][0] {
		t.Errorf("logits %v, want NaN", rows[4][:4])
	}
}

// benchModel is larger than L3, so that decode reads memory.
func benchModel(b *testing.B) *Model {
	s := synth.Nano()
	s.Layers = 4
	return load(b, makeFile(b, s), 0)
}

func BenchmarkForward(b *testing.B) {
	for _, n := range []int{1, 8, 128} {
		b.Run(map[int]string{1: "decode", 8: "decode8", 128: "prefill128"}[n], func(b *testing.B) {
			m := benchModel(b)
			kv := m.NewStorage(16)
			var spans []Span
			if n == 128 {
				spans = []Span{{Tokens: randomTokens(1, n, m.cfg.Vocab), Blocks: []int32{0, 1, 2, 3, 4, 5, 6, 7},
					Logits: 1}}
			} else {
				for i := range int32(n) {
					spans = append(spans, Span{Tokens: []int32{i}, Start: 10, Blocks: []int32{i}, Logits: 1})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Forward(kv, spans); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}

// TestBlockTokens: the cache's layout is the kernel's.
func TestBlockTokens(t *testing.T) {
	m := load(t, makeFile(t, synth.Tiny()), 1)
	if got := m.NewStorage(3).Layout(); got.BlockTokens != kernel.BlockTokens || got.Blocks != 3 ||
		got.HeadDim != 16 || got.KVHeads != 2 {
		t.Errorf("%+v", got)
	}
}
