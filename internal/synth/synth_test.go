package synth

import (
	"bytes"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/gguf"
	"github.com/hxp-enterprise/mixtral/internal/quant"
	"github.com/hxp-enterprise/mixtral/internal/token"
)

func build(t *testing.T, s Shape) *gguf.File {
	t.Helper()
	b, err := Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Size(s); err != nil || n != int64(len(b)) {
		t.Fatalf("Size says %d, %v; the file has %d bytes", n, err, len(b))
	}
	f, err := gguf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func values(t *testing.T, f *gguf.File, name string) []float32 {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	out := make([]float32, x.Elems())
	if err := quant.Unpack(x.Type, out, x.Data); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVocabularyWorks(t *testing.T) {
	f := build(t, Tiny())
	pieces, err := f.Strings("tokenizer.ggml.tokens")
	if err != nil || len(pieces) != Tiny().Vocab {
		t.Fatalf("%d pieces, %v", len(pieces), err)
	}
	scores, _ := f.Float32s("tokenizer.ggml.scores")
	types, _ := f.Int32s("tokenizer.ggml.token_type")
	tok, err := token.New(token.Spec{Pieces: pieces, Scores: scores, Types: types, BOS: 1, EOS: 2, AddBOS: true, AddSpacePrefix: true})
	if err != nil {
		t.Fatal(err)
	}
	const text = "The cat: naïve, 猫.\n"
	if got := tok.Decode(tok.Encode(text, false)); got != text {
		t.Errorf("round trip gives %q", got)
	}
}

func TestSameSeedSameBytes(t *testing.T) {
	a, _ := Bytes(Tiny())
	b, _ := Bytes(Tiny())
	other := Tiny()
	other.Seed++
	c, _ := Bytes(other)
	if !bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Error("the seed does not decide the bytes")
	}
}
