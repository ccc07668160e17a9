// Package gguf holds our reader and writer of model files against an independent reader.
package gguf

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	parser "github.com/gpustack/gguf-parser-go"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestFilesAsOthersReadThem(t *testing.T) {
	old := synth.Tiny()
	old.OldExpertLayout = true
	shapes := []synth.Shape{old}
	for _, typ := range []quant.Type{quant.F32, quant.F16, quant.BF16, quant.Q8_0, quant.Q4_0} {
		s := synth.Tiny()
		s.Type = typ
		shapes = append(shapes, s)
	}
	for _, s := range shapes {
		t.Run(fmt.Sprintf("%s,old=%v", s.Type, s.OldExpertLayout), func(t *testing.T) { compare(t, s) })
	}
}

func compare(t *testing.T, s synth.Shape) {
	data, err := synth.Bytes(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ours, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := parser.ParseGGUFFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if got, want := len(theirs.TensorInfos), len(ours.Tensors()); got != want {
		t.Fatalf("%d tensors, ours %d", got, want)
	}
	for i, mine := range ours.Tensors() {
		other := theirs.TensorInfos[i]
		if mine.Name != other.Name || uint32(mine.Type) != uint32(other.Type) {
			t.Errorf("tensor %d is %s %s, ours %s %s", i, other.Name, other.Type, mine.Name, mine.Type)
		}
		dims := make([]int, len(other.Dimensions))
		for j, n := range other.Dimensions {
			dims[j] = int(n)
		}
		if !slices.Equal(dims, mine.Dims) {
			t.Errorf("%s has dimensions %v, ours %v", mine.Name, dims, mine.Dims)
		}
		at := theirs.TensorDataStartOffset + int64(other.Offset)
		if n := int64(other.Bytes()); n != int64(len(mine.Data)) || !bytes.Equal(data[at:at+n], mine.Data) {
			t.Errorf("%s: our %d bytes are not the %d at offset %d", mine.Name, len(mine.Data), n, at)
		}
	}

	a, tok := theirs.Architecture(), theirs.Tokenizer()
	for _, field := range []struct {
		name      string
		got, want uint64
	}{
		{"embedding length", a.EmbeddingLength, uint64(s.Dim)},
		{"blocks", a.BlockCount, uint64(s.Layers)},
		{"heads", a.AttentionHeadCount, uint64(s.Heads)},
		{"KV heads", a.AttentionHeadCountKV, uint64(s.KVHeads)},
		{"experts", uint64(a.ExpertCount), uint64(s.Experts)},
		{"experts used", uint64(a.ExpertUsedCount), 2},
		{"context", a.MaximumContextLength, uint64(s.Context)},
		{"pieces", tok.TokensLength, uint64(s.Vocab)},
		{"BOS", uint64(tok.BOSTokenID), 1},
		{"EOS", uint64(tok.EOSTokenID), 2},
	} {
		if field.got != field.want {
			t.Errorf("%s %d, want %d", field.name, field.got, field.want)
		}
	}
	if a.Architecture != "llama" || tok.Model != "llama" {
		t.Errorf("architecture %q, tokenizer %q, want llama", a.Architecture, tok.Model)
	}
}
