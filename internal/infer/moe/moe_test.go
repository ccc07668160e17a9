package moe

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel/tiertest"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestMain runs all tests on each tier; short ones on the best only.
func TestMain(m *testing.M) {
	flag.Parse()
	tiers := kernel.Tiers()
	if testing.Short() {
		tiers = tiers[len(tiers)-1:]
	}
	leak.Main(tiertest.Every(m, tiers, kernel.ForceTier))
}

func TestTier(t *testing.T) { tiertest.Ran(t, kernel.Tier()) }

// made are the files that tests have asked for: writing one takes longer than most tests, and they run on each tier.
// They are also kept in the directory MIXTRAL_MADE, if that is set: an emulated processor would take half of its time
// to write them.
var made = map[synth.Shape][]byte{}

func makeFile(t testing.TB, s synth.Shape) *gguf.File {
	t.Helper()
	dir := os.Getenv("MIXTRAL_MADE")
	path := filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, s))))
	if dir != "" && made[s] == nil {
		if b, err := os.ReadFile(path); err == nil {
			made[s] = b
		}
	}
	if made[s] == nil {
		b, err := synth.Bytes(s)
		if err == nil && dir != "" {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		made[s] = b
	}
	f, err := gguf.Parse(made[s])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func load(t testing.TB, f *gguf.File, workers int) *Model {
	t.Helper()
	m, err := Load(f, Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// session is a sequence in a cache of its own.
type session struct {
	t      testing.TB
	m      *Model
	kv     *kvcache.Storage
	blocks []int32
	at     int
}

func newSession(t testing.TB, m *Model, tokens int) *session {
	return newSessionIn(t, m, quant.KVF16, tokens)
}

func newSessionIn(t testing.TB, m *Model, kv quant.KVType, tokens int) *session {
	n := (tokens + kernel.BlockTokens - 1) / kernel.BlockTokens
	s := &session{t: t, m: m, kv: kvcache.NewStorage(m.cfg.KVLayout(kv, n), nil)}
	for b := range int32(n) {
		s.blocks = append(s.blocks, int32(n)-1-b) // not in order: the table of blocks has to be used
	}
	return s
}

// feed appends tokens and gives copies of all their rows of logits.
func (s *session) feed(tokens []int32) [][]float32 {
	s.t.Helper()
	rows, err := s.m.Forward(s.kv, []Span{{Tokens: tokens, Start: s.at, Blocks: s.blocks, Logits: len(tokens)}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.at += len(tokens)
	return cloneRows(rows)
}

func cloneRows(rows [][]float32) [][]float32 {
	out := make([][]float32, len(rows))
	for i, r := range rows {
		out[i] = slices.Clone(r)
	}
	return out
}

func randomTokens(seed uint64, n, vocab int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(vocab))
	}
	return ids
}

// shape is small and has rows of whole blocks in every format. Short tests, which an emulated processor runs, are
// narrower and have fewer layers and experts.
func shape(typ quant.Type) synth.Shape {
	s := synth.Shape{Dim: 256, FFN: 512, Layers: 3, Heads: 8, KVHeads: 2, Experts: 8, Vocab: 320, Context: 256,
		Type: typ, Seed: 7, Calm: true}
	if testing.Short() {
		s.FFN, s.Layers, s.Experts = 256, 2, 4
	}
	return s
}

// referenceLogits are the reference's answers to TestLikeReference, by the weights' format: TestMain runs it on each
// tier.
var referenceLogits = map[quant.Type][][]float64{}

// TestLikeReference holds the engine's logits to the equations in float64, on the weights as the format has them. F32
// differs by summation order and the F16 or 8-bit cache; the others by what their kernels round activations to: 8
// bits for the integer formats.
func TestLikeReference(t *testing.T) {
	for _, test := range []struct {
		typ quant.Type
		kv  quant.KVType
		rms float64
	}{
		{quant.F32, quant.KVF16, 1e-3}, {quant.F16, quant.KVF16, 1e-3}, {quant.BF16, quant.KVF16, 1e-3},
		{quant.Q8_0, quant.KVF16, 1.5e-2}, {quant.Q5_0, quant.KVF16, 1.5e-2}, {quant.Q4_0, quant.KVF16, 1.5e-2},
		{quant.Q2_K, quant.KVF16, 1.5e-2}, {quant.Q3_K, quant.KVF16, 1.5e-2}, {quant.Q4_K, quant.KVF16, 1.5e-2},
		{quant.Q5_K, quant.KVF16, 1.5e-2}, {quant.Q6_K, quant.KVF16, 1.5e-2},
		{quant.F32, quant.KVQ8, 5e-3}, {quant.Q8_0, quant.KVQ8, 1.5e-2},
	} {
		t.Run(test.typ.String()+"/"+test.kv.String(), func(t *testing.T) {
			f := makeFile(t, shape(test.typ))
			m := load(t, f, 2)
			n := 40
			if testing.Short() {
				n = 12
			}
			tokens := randomTokens(1, n, m.cfg.Vocab)
			want := referenceLogits[test.typ] // no tier, no cache format changes them
			if want == nil {
				ref := newReference(t, f)
				for _, id := range tokens {
					want = append(want, ref.next(id))
				}
				referenceLogits[test.typ] = want
			}
			rows := newSessionIn(t, m, test.kv, len(tokens)).feed(tokens)
			var diff, norm float64
			for i := range tokens {
				for j, want := range want[i] {
					d := float64(rows[i][j]) - want
					diff += d * d
					norm += want * want
				}
			}
			rms := math.Sqrt(diff / norm)
			t.Logf("relative rms %.2g", rms)
			if !(rms <= test.rms) {
				t.Errorf("relative rms %.3g, want ≤ %.3g", rms, test.rms)
			}
		})
	}
}
