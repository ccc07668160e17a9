package service

import (
	"errors"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestPlanMemory on Mixtral-8x7B's own shape.
func TestPlanMemory(t *testing.T) {
	m := moe.Info{Config: moe.Config{Layers: 32, KVHeads: 8, HeadDim: 128, Context: 32768}, Packed: 26 * gib}
	perToken := int64(2 * 2 * 32 * 8 * 128)
	if got := m.KVBytes(quant.KVF16, 16); got != 16*perToken {
		t.Fatalf("%d bytes for 16 tokens, want %d", got, 16*perToken)
	}
	one := perToken * 32768 // 4 GiB
	p, err := planMemory(90*gib, "memory_limit_gb", m, quant.KVF16, 10, 32768)
	if err != nil || p.KV < 10*one || p.KV > 10*one+10*16*perToken || p.Weights != 26*gib {
		t.Errorf("%+v, %v", p, err)
	}
	p, err = planMemory(32*gib, "the machine", m, quant.KVF16, 10, 32768)
	if err != nil || p.KV != 32*gib-26*gib-engine.ReserveBytes {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = planMemory(28*gib, "cgroup v2", m, quant.KVF16, 10, 32768)
	if !errors.Is(err, ErrMemory) {
		t.Fatal(err)
	}
	for _, part := range []string{"26.00 GiB of weights", "4.00 GiB of KV cache for one context of 32768 tokens",
		"0.38 GiB for everything else", "= 30.38 GiB", "cgroup v2 allows 28.00 GiB",
		"context_length of 13312 would fit"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %q", err, part)
		}
	}
	if _, err := planMemory(28*gib, "cgroup v2", m, quant.KVF16, 10, 13312-16); err != nil {
		t.Errorf("what was proposed does not fit: %v", err)
	}
	// 2.62 GiB of room; 4 GiB in f16, 2.125 GiB in q8_0
	_, err = planMemory(29*gib, "cgroup v2", m, quant.KVF16, 10, 32768)
	if err == nil || !strings.HasSuffix(err.Error(), "would fit; so would kv_type q8_0") {
		t.Errorf("%v does not propose q8_0", err)
	}
	p, err = planMemory(29*gib, "cgroup v2", m, quant.KVQ8, 10, 32768)
	if err != nil || p.KV != 29*gib-26*gib-engine.ReserveBytes {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := planMemory(20*gib, "the machine", m, quant.KVF16, 10, 512); !errors.Is(err, ErrMemory) ||
		strings.Contains(err.Error(), "would fit") {
		t.Error(err)
	}
}

func TestMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		l     host.Limits
		bytes int64
		bound string
	}{
		{host.Limits{}, 90 * gib, "memory_limit_gb"},
		{host.Limits{Memory: 128 * gib}, 90 * gib, "memory_limit_gb"},
		{host.Limits{Memory: 24 * gib}, 24 * gib, "the machine"},
		{host.Limits{Memory: 24 * gib, GroupMemory: 4 * gib, Group: "cgroup v1"}, 4 * gib, "cgroup v1"},
	} {
		if bytes, bound := memoryLimit(90*gib, test.l); bytes != test.bytes || bound != test.bound {
			t.Errorf("%+v: %d by %s", test.l, bytes, bound)
		}
	}
}
