package kvcache

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// TestRunsDoNotOverlap writes every run of every head and block and reads all of them back.
func TestRunsDoNotOverlap(t *testing.T) {
	for _, typ := range []quant.KVType{quant.KVF16, quant.KVQ8} {
		l := Layout{Layers: 2, KVHeads: 3, HeadDim: 5, BlockTokens: 4, Blocks: 6, Type: typ}
		pieces, size := 0, 0
		s := NewStorage(l, func(n int) []byte {
			pieces++
			size += n
			return make([]byte, n)
		})
		if pieces != 2*l.Layers || int64(size) != l.BytesPerBlock()*int64(l.Blocks) || s.Layout() != l {
			t.Errorf("%d pieces of %d bytes in all, %d a block", pieces, size, l.BytesPerBlock())
		}
		each := func(f func(run []byte, id byte)) {
			id := byte(0)
			for layer := range l.Layers {
				for _, cache := range [][]byte{s.Keys(layer), s.Values(layer)} {
					for b := range l.Blocks {
						for h := range l.KVHeads {
							id++
							f(cache[b*s.Stride()+s.Offset(h):][:l.BlockTokens*typ.VectorBytes(l.HeadDim)], id)
						}
					}
				}
			}
		}
		each(func(run []byte, id byte) {
			for i := range run {
				run[i] = id
			}
		})
		each(func(run []byte, id byte) {
			for i, v := range run {
				if v != id {
					t.Fatalf("%v: byte %d of run %d holds %d", typ, i, id, v)
				}
			}
		})
	}
}

// TestBytesPerBlock: what 16 positions of Mixtral-8x7B take, by hand.
// TestResident: the blocks that were written count in whole, and beyond them what is there within a page's reach.
func TestResident(t *testing.T) {
	l := Layout{Layers: 3, KVHeads: 2, HeadDim: 64, BlockTokens: 16, Blocks: 1000}
	s := NewStorage(l, nil)
	var reach []int
	beyond := func(b []byte) int64 {
		reach = append(reach, len(b))
		return 7
	}
	for blocks, left := range map[int]int{0: 2 << 20, 400: 2 << 20, 999: s.Stride(), 1000: 0} {
		reach = nil
		if got, want := s.Resident(blocks, beyond), int64(blocks)*l.BytesPerBlock()+6*7; got != want {
			t.Errorf("%d blocks: %d bytes, want %d", blocks, got, want)
		}
		for _, n := range reach {
			if n != left {
				t.Errorf("%d blocks: looked at %d bytes beyond them, want %d", blocks, n, left)
			}
		}
	}
}

func TestBytesPerBlock(t *testing.T) {
	l := Layout{Layers: 32, KVHeads: 8, HeadDim: 128, BlockTokens: 16}
	if got, want := l.BytesPerBlock(), int64(2*32*8*16*128*2); got != want {
		t.Errorf("f16: %d bytes, want %d", got, want)
	}
	l.Type = quant.KVQ8
	if got, want := l.BytesPerBlock(), int64(2*32*8*16*(128+4*2)); got != want {
		t.Errorf("q8_0: %d bytes, want %d", got, want)
	}
}

func TestImpossibleLayouts(t *testing.T) {
	good := Layout{Layers: 1, KVHeads: 1, HeadDim: 2, BlockTokens: 16, Blocks: 1}
	NewStorage(good, nil)
	for name, change := range map[string]func(*Layout){
		"layers": func(l *Layout) { l.Layers = 0 }, "heads": func(l *Layout) { l.KVHeads = -1 },
		"dim":    func(l *Layout) { l.HeadDim = 0 },
		"blocks": func(l *Layout) { l.Blocks = 0 }, "overflow": func(l *Layout) { l.Layers, l.Blocks = 1<<31, 1<<31 },
	} {
		l := good
		change(&l)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: %+v was made", name, l)
				}
			}()
			NewStorage(l, nil)
		}()
	}
}
