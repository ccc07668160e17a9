package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

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
	put(kv.Type, kv.run(kv.Keys, block), slot, x)
}

// PutValue stores the value of a block's position slot.
func (kv *KV) PutValue(block int32, slot int, x []float32) {
	put(kv.Type, kv.run(kv.Values, block), slot, x)
}

// put is quant.KVType.Put, bit for bit.
func put(t quant.KVType, run []byte, slot int, x []float32) {
	elements, scales, stride := t.Split(run, slot, len(x))
	switch k := len(x) &^ 7; {
	case t == quant.KVQ8 && active == tierAVX512 && len(x)%32 == 0:
		putQ8AVX512(unsafe.SliceData(elements), unsafe.SliceData(scales), unsafe.SliceData(x), int64(len(x)),
			int64(stride))
	case t == quant.KVF16 && active == tierAVX512:
		toF16AVX512(unsafe.SliceData(elements), unsafe.SliceData(x), int64(len(x)))
	case t == quant.KVF16 && active == tierAVX2 && k > 0:
		toF16AVX2(unsafe.SliceData(elements), unsafe.SliceData(x), int64(k))
		t.Put(elements[2*k:], 0, x[k:])
	case t == quant.KVF16 && isNEON(active) && k > 0:
		toF16NEON(unsafe.SliceData(elements), unsafe.SliceData(x), int64(k))
		t.Put(elements[2*k:], 0, x[k:])
	default:
		t.Put(run, slot, x)
	}
}

// widen gives the vectors of some blocks as float32, one after the other. dim is a multiple of 16 unless tier is
// generic.
func (s *Scratch) widen(tier int, kv *KV, cache []byte, blocks []int32) []float32 {
	dim := kv.HeadDim
	n := len(blocks) * BlockTokens * dim
	if len(s.wide) < n {
		s.wide = AlignedFloats(n)
	}
	for i, b := range blocks {
		run, dst := kv.run(cache, b), s.wide[i*BlockTokens*dim:][:BlockTokens*dim]
		switch tier {
		case tierAVX512:
			widenAVX512(kv.Type, dst, run, dim)
		case tierNEON, tierDotProd, tierI8MM:
			widenOnNEON(kv.Type, dst, run, dim)
		case tierAVX2:
			widenAVX2(kv.Type, dst, run, dim)
		default:
			for slot := range BlockTokens {
				kv.Type.Get(dst[slot*dim:][:dim], run, slot)
			}
		}
	}
	return s.wide[:n]
}
