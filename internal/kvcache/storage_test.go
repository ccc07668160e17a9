package kvcache

import "testing"

// TestSlotsDoNotOverlap writes every position of every head and block and reads all of them back.
func TestSlotsDoNotOverlap(t *testing.T) {
	l := Layout{Layers: 2, KVHeads: 3, HeadDim: 5, BlockTokens: 4, Blocks: 6}
	pieces, elements := 0, 0
	s := NewStorage(l, func(n int) []uint16 {
		pieces++
		elements += n
		return make([]uint16, n)
	})
	if pieces != 2*l.Layers || int64(2*elements) != l.BytesPerBlock()*int64(l.Blocks) || s.Layout() != l {
		t.Errorf("%d pieces of %d elements in all, %d bytes a block", pieces, elements, l.BytesPerBlock())
	}
	each := func(f func(slot []uint16, id uint16)) {
		id := uint16(0)
		for layer := range l.Layers {
			for _, cache := range [][]uint16{s.Keys(layer), s.Values(layer)} {
				for b := range l.Blocks {
					for h := range l.KVHeads {
						for i := range l.BlockTokens {
							id++
							f(cache[b*s.Stride()+s.Offset(h, i):][:l.HeadDim], id)
						}
					}
				}
			}
		}
	}
	each(func(slot []uint16, id uint16) {
		for d := range slot {
			slot[d] = id
		}
	})
	each(func(slot []uint16, id uint16) {
		for d, v := range slot {
			if v != id {
				t.Fatalf("element %d of slot %d holds %d", d, id, v)
			}
		}
	})
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
