package kvcache

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

func TestPoolEvictsLeastRecentlyUsedFromTheTail(t *testing.T) {
	p := NewPool(4)
	seq := func(first int32) ([]int32, []Key) { // a sequence of two full blocks
		var blocks []int32
		var keys []Key
		var k Key
		for i := range int32(2) {
			b, ok := p.Alloc()
			if !ok {
				t.Fatal("pool exhausted")
			}
			k = k.Extend([]int32{first, i})
			p.Publish(b, k)
			blocks, keys = append(blocks, b), append(keys, k)
		}
		return blocks, keys
	}
	a, ak := seq(1)
	b, bk := seq(2)
	if _, ok := p.Alloc(); ok {
		t.Fatal("a fifth block out of four")
	}
	p.Release(a)
	p.Release(b)
	if p.Cached() != 4 || p.Available() != 4 || p.Held() != 0 {
		t.Fatalf("cached %d available %d held %d", p.Cached(), p.Available(), p.Held())
	}
	got, _ := p.Alloc() // a's tail goes first: a is older, and its head may still serve
	if got != a[1] {
		t.Fatalf("evicted block %d, want %d", got, a[1])
	}
	if _, ok := p.Lookup(ak[1]); ok {
		t.Fatal("evicted content is still found")
	}
	hit, ok := p.Lookup(ak[0])
	if !ok || hit != a[0] {
		t.Fatalf("lookup gave %d, %v", hit, ok)
	}
	if _, held := p.Has(bk[0]); held {
		t.Fatal("b's first block has no holder")
	}
	if err := p.Check([]int32{got}, []int32{hit}); err != nil {
		t.Fatal(err)
	}
	if err := p.Check([]int32{got}); err == nil {
		t.Fatal("Check misses a leaked block")
	}
}

func TestPoolKeepsTheFirstOfTwoEqualBlocks(t *testing.T) {
	p := NewPool(2)
	k := Key{}.Extend([]int32{7})
	a, _ := p.Alloc()
	b, _ := p.Alloc()
	p.Publish(a, k)
	p.Publish(b, k)
	p.Release([]int32{a, b})
	if p.Cached() != 1 || p.Available() != 2 {
		t.Fatalf("cached %d, available %d", p.Cached(), p.Available())
	}
	if got, ok := p.Lookup(k); !ok || got != a {
		t.Fatalf("lookup gave %d, %v; want %d", got, ok, a)
	}
}

func TestKeyDependsOnEverythingBefore(t *testing.T) {
	var root Key
	seen := map[Key]string{}
	for name, k := range map[string]Key{
		"1,2":   root.Extend([]int32{1, 2}),
		"2,1":   root.Extend([]int32{2, 1}),
		"1|2":   root.Extend([]int32{1}).Extend([]int32{2}),
		"1,2|1": root.Extend([]int32{1, 2}).Extend([]int32{1}),
		"-1":    root.Extend([]int32{-1}),
		"scope": Scope("a"), "scope, 1,2": Scope("a").Extend([]int32{1, 2}), "other scope": Scope("b"),
	} {
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s share a key", name, other)
		}
		seen[k] = name
	}
	tokens := make([]int32, 64)
	if n := testing.AllocsPerRun(10, func() { root = root.Extend(tokens) }); n > 0 {
		t.Errorf("Extend allocates %v times", n)
	}
}

// TestPoolBooks does random work of several sequences on a small pool; the books must balance after each operation.
func TestPoolBooks(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		p := NewPool(rapid.IntRange(1, 12).Draw(t, "blocks"))
		seqs := make([][]int32, 4)
		keys := make([]Key, 4)
		given := map[int32]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"grow": func(t *rapid.T) {
				i := rapid.IntRange(0, 3).Draw(t, "seq")
				next := keys[i].Extend([]int32{rapid.Int32Range(0, 1).Draw(t, "token")})
				b, ok := p.Lookup(next)
				if !ok {
					if b, ok = p.Alloc(); !ok {
						if p.Available() != 0 {
							t.Fatal("Alloc failed with blocks available")
						}
						return
					}
					given[b] = true
					p.Publish(b, next)
				}
				seqs[i], keys[i] = append(seqs[i], b), next
			},
			"grow unpublished": func(t *rapid.T) {
				i := rapid.IntRange(0, 3).Draw(t, "seq")
				if b, ok := p.Alloc(); ok {
					given[b] = true
					seqs[i] = append(seqs[i], b)
				}
			},
			"release": func(t *rapid.T) {
				i := rapid.IntRange(0, 3).Draw(t, "seq")
				p.Release(seqs[i])
				seqs[i], keys[i] = nil, Key{}
			},
			"": func(t *rapid.T) {
				if err := p.Check(seqs...); err != nil {
					t.Fatal(err)
				}
				if p.Touched() != len(given) {
					t.Fatalf("%d blocks touched, %d were given", p.Touched(), len(given))
				}
			},
		})
	})
}

func BenchmarkKeyExtend(b *testing.B) {
	var k Key
	tokens := make([]int32, 16)
	b.ReportAllocs()
	for b.Loop() {
		k = k.Extend(tokens)
	}
}
