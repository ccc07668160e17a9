package calibrate

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/leak"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestMain(m *testing.M) { leak.Main(m) }

func makeFile(t *testing.T, s synth.Shape) *gguf.File {
	t.Helper()
	b, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func load(t *testing.T, s synth.Shape, workers int) *moe.Model {
	t.Helper()
	f := makeFile(t, s)
	m, err := moe.Load(f, moe.Options{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func text(n, vocab int) []int32 {
	rng := rand.New(rand.NewPCG(3, 0))
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(rng.IntN(vocab))
	}
	return ids
}

func collect(t *testing.T, m *moe.Model, tokens []int32, context int, output bool) *Collector {
	t.Helper()
	c, err := New(m, context, output)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, chunk := range Chunks(tokens, context, 1) {
		if err := c.Read(chunk); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func file(t *testing.T, c *Collector) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "i.gguf")
	if err := c.Sums().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestChunks(t *testing.T) {
	got := Chunks([]int32{5, 6, 7, 8, 9, 10, 11}, 3, 1)
	if len(got) != 2 || !slices.Equal(got[0], []int32{1, 6, 7}) || !slices.Equal(got[1], []int32{1, 9, 10}) {
		t.Error(got)
	}
	if got := Chunks([]int32{5, 6, 7}, 3, -1); len(got) != 1 || got[0][0] != 5 {
		t.Error(got)
	}
	if got := Chunks([]int32{5, 6}, 3, 1); len(got) != 0 {
		t.Error(got)
	}
}

// TestEveryTensorIsCounted: each matrix has its sums, of as many tokens as went through it.
func TestEveryTensorIsCounted(t *testing.T) {
	s := synth.Tiny()
	c := collect(t, load(t, s, 2), text(100, s.Vocab), 32, true)
	f, err := gguf.Parse(file(t, c))
	if err != nil {
		t.Fatal(err)
	}
	if f.Uint32Or("imatrix.chunk_count", 0) != 3 || f.Uint32Or("imatrix.chunk_size", 0) != 32 ||
		f.StringOr("general.type", "") != "imatrix" {
		t.Errorf("metadata %v", f.Keys())
	}
	if n := len(f.Tensors()); n != 2*(7*s.Layers+1) {
		t.Errorf("%d tensors", n)
	}
	for name, want := range map[string]struct{ cols, parts, tokens int }{
		"blk.0.attn_v.weight": {s.Dim, 1, 96}, "blk.1.attn_output.weight": {s.Dim, 1, 96},
		"output.weight": {s.Dim, 1, 96},
		// two experts a token; in the last layer, too
		"blk.0.ffn_up_exps.weight":   {s.Dim, s.Experts, 2 * 96},
		"blk.1.ffn_down_exps.weight": {s.FFN, s.Experts, 2 * 96},
	} {
		sums, _ := f.Tensor(name + ".in_sum2")
		counts, ok := f.Tensor(name + ".counts")
		if !ok || sums.Elems() != want.cols*want.parts || counts.Elems() != want.parts {
			t.Errorf("%s: %v and %v", name, sums.Dims, counts.Dims)
			continue
		}
		values := make([]float32, want.parts)
		if err := quant.Unpack(quant.F32, values, counts.Data); err != nil {
			t.Fatal(err)
		}
		total := float32(0)
		for _, v := range values {
			total += v
		}
		if total != float32(want.tokens) {
			t.Errorf("%s: %v tokens, want %d", name, values, want.tokens)
		}
	}
}

// TestSameBytes: neither the number of workers nor the run changes the file.
func TestSameBytes(t *testing.T) {
	s := synth.Tiny()
	tokens := text(200, s.Vocab)
	want := file(t, collect(t, load(t, s, 1), tokens, 64, false))
	for _, workers := range []int{1, 2, 3} {
		if !slices.Equal(file(t, collect(t, load(t, s, workers), tokens, 64, false)), want) {
			t.Errorf("%d workers give another file", workers)
		}
	}
}

// TestPasses: a chunk that is computed in several passes has the loss that its rows of logits give.
func TestPasses(t *testing.T) {
	s := synth.Tiny()
	const context = passTokens + 88
	m := load(t, s, 2)
	tokens := text(context, s.Vocab)
	c := collect(t, m, tokens, context, false)
	chunk := Chunks(tokens, context, 1)[0]
	blocks := make([]int32, (context+15)/16)
	for i := range blocks {
		blocks[i] = int32(i)
	}
	rows, err := m.Forward(m.NewStorage(len(blocks)), []moe.Span{{Tokens: chunk, Blocks: blocks, Logits: context}})
	if err != nil {
		t.Fatal(err)
	}
	var sum, squares float64
	n := 0
	for i := context / 2; i < context-1; i++ {
		total := 0.0
		for _, v := range rows[i] {
			total += math.Exp(float64(v))
		}
		l := math.Log(total) - float64(rows[i][chunk[i+1]])
		sum, squares, n = sum+l, squares+l*l, n+1
	}
	mean, e := c.Loss().Mean()
	want := sum / float64(n)
	wantErr := math.Sqrt((squares/float64(n) - want*want) / float64(n-1))
	if c.Loss().Tokens != n || math.Abs(mean-want) > 1e-9 || math.Abs(e-wantErr) > 1e-9 {
		t.Errorf("loss %v ± %v of %d tokens, want %v ± %v of %d", mean, e, c.Loss().Tokens, want, wantErr, n)
	}
	if p, pe := c.Loss().Perplexity(); p != math.Exp(mean) || math.Abs(pe-p*e) > 1e-12 {
		t.Errorf("perplexity %v ± %v", p, pe)
	}
}

func TestRefuses(t *testing.T) {
	s := synth.Tiny()
	m := load(t, s, 1)
	for _, context := range []int{LeastContext - 1, s.Context + 1} {
		if _, err := New(m, context, false); err == nil {
			t.Errorf("context %d: no error", context)
		}
	}
	c, err := New(m, 16, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Read(text(15, s.Vocab)); err == nil {
		t.Error("a short chunk: no error")
	}
	if err := c.Read(append(text(15, s.Vocab), int32(s.Vocab))); !errors.Is(err, moe.ErrSpan) {
		t.Errorf("a token beyond the vocabulary: %v", err)
	}
}

// TestNotFinite: a model whose weights are damaged is refused, by the name of the matrix that would see it.
func TestNotFinite(t *testing.T) {
	s := synth.Tiny()
	s.Type = quant.F32
	f := makeFile(t, s)
	norm, _ := f.Tensor("blk.1.ffn_norm.weight")
	copy(norm.Data, []byte{0, 0, 0xc0, 0x7f}) // NaN; Data points into the model's bytes
	m, err := moe.Load(f, moe.Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c, err := New(m, 16, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Read(text(16, s.Vocab)); !errors.Is(err, ErrNotFinite) {
		t.Errorf("%v", err)
	} else {
		t.Log(err)
	}
}
