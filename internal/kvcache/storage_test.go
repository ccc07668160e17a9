package kvcache

import (
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/quant"
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
		"layers": func(l *Layout) { l.Layers = 0 }, "heads": func(l *Layout) { l.KVHeads = -1 }, "dim": func(l *Layout) { l.HeadDim = 0 },
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
