package quant

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"testing"
)

// TestUnpackIsGGML decodes random blocks to the bits that llama.cpp v0.5.0's dequantize_row functions give for them
// (compiled without contraction to fused multiply-add); testdata/ggml.json holds both.
func TestUnpackIsGGML(t *testing.T) {
	data, err := os.ReadFile("testdata/ggml.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors map[string]struct{ Blocks, Values string }
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != len(references) {
		t.Errorf("%d formats, want %d", len(vectors), len(references))
	}
	for name, v := range vectors {
		typ, err := ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err1 := hex.DecodeString(v.Blocks)
		values, err2 := hex.DecodeString(v.Values)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		got := make([]float32, len(values)/4)
		if err := Unpack(typ, got, blocks); err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			if want := binary.LittleEndian.Uint32(values[4*i:]); math.Float32bits(g) != want {
				t.Fatalf("%s: element %d is %v, want %v", name, i, g, math.Float32frombits(want))
			}
		}
	}
}
