package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

// KV is one layer's cached keys and values of one KV head, in blocks of BlockTokens positions. Block b's run of
// vectors, see quant.KVType, begins at byte b·Stride + Offset of Keys and of Values.
type KV struct {
	Type           quant.KVType
	Keys, Values   []byte
	Stride, Offset int
	HeadDim        int
}

// run gives a block's vectors among Keys or Values.
func (kv *KV) run(cache []byte, block int32) []byte {
	return cache[int(block)*kv.Stride+kv.Offset:][:BlockTokens*kv.Type.VectorBytes(kv.HeadDim)]
}

// PutKey stores the key of a block's position slot, rounded to the cache's format.
func (kv *KV) PutKey(block int32, slot int, x []float32) {
	active.put(kv.Type, kv.run(kv.Keys, block), slot, x)
}

// PutValue stores the value of a block's position slot.
func (kv *KV) PutValue(block int32, slot int, x []float32) {
	active.put(kv.Type, kv.run(kv.Values, block), slot, x)
}

// widen gives the vectors of some blocks as float32, one after the other. dim is a multiple of 16 unless on is
// generic.
func (s *Scratch) widen(on *tier, kv *KV, cache []byte, blocks []int32) []float32 {
	dim := kv.HeadDim
	n := len(blocks) * BlockTokens * dim
	if len(s.wide) < n {
		s.wide = AlignedFloats(n)
	}
	for i, b := range blocks {
		run, dst := kv.run(cache, b), s.wide[i*BlockTokens*dim:][:BlockTokens*dim]
		on.widen(kv.Type, dst, run, dim)
	}
	return s.wide[:n]
}

// widenGeneric widens a run of BlockTokens vectors.
func widenGeneric(t quant.KVType, dst []float32, run []byte, dim int) {
	for slot := range BlockTokens {
		t.Get(dst[slot*dim:][:dim], run, slot)
	}
}
