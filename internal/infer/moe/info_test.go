package moe

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestInfo counts by the architecture's formulas.
func TestInfo(t *testing.T) {
	s := shape(quant.Q8_0)
	info, err := Describe(makeFile(t, s))
	if err != nil {
		t.Fatal(err)
	}
	kv := s.Dim / s.Heads * s.KVHeads
	attention := 2*s.Dim*s.Dim + 2*s.Dim*kv
	expert := 3 * s.Dim * s.FFN
	count := func(experts int) int64 {
		return int64(s.Layers*(attention+experts*expert+s.Experts*s.Dim+2*s.Dim) + 2*s.Vocab*s.Dim + s.Dim)
	}
	if info.Params != count(s.Experts) || info.Active != count(2) {
		t.Errorf("%d parameters, %d active; want %d and %d", info.Params, info.Active, count(s.Experts), count(2))
	}
	if want := 2 * int64(10*s.Layers*(attention+2*expert+s.Experts*s.Dim)+s.Vocab*s.Dim); info.Ops(10, 1) != want {
		t.Errorf("%d operations, want %d", info.Ops(10, 1), want)
	}
	if want := int64(16 * s.Layers * kv * 2 * 2); info.KVBytes(quant.KVF16, 16) != want {
		t.Errorf("%d bytes for 16 tokens, want %d", info.KVBytes(quant.KVF16, 16), want)
	}
	m := load(t, makeFile(t, s), 1)
	if m.Info().Packed != m.arena.Used() {
		t.Errorf("said %d bytes, took %d", m.Info().Packed, m.arena.Used())
	}
	one, all := info.StepBytes(1), info.StepBytes(1000)
	// Q8_0 has 34 bytes for 32 weights
	if weights := info.Active * 34 / 32; one < weights*9/10 || one > weights*12/10 {
		t.Errorf("a token reads %d bytes of %d active parameters", one, info.Active)
	}
	if all < info.Packed*9/10-int64(s.Vocab*s.Dim) || all-1000*info.lookup > info.Packed {
		t.Errorf("a large step reads %d of %d bytes", all, info.Packed)
	}
	if len(info.Formats) != 2 || info.Formats[0].Params+info.Formats[1].Params != info.Params {
		t.Errorf("formats %+v", info.Formats)
	}
}
