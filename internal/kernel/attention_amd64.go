package kernel

import "unsafe"

// attendHeads is how many query heads an assembly kernel takes at once: as many as share a KV head in Mixtral.
const attendHeads = 4

// attend is the argument of the attention kernels; attention_amd64.s has its layout. scores, too, are sixteen for each
// block that has begun.
type attend struct {
	base   unsafe.Pointer // block 0
	blocks unsafe.Pointer
	n      int64 // positions
	stride int64 // bytes between blocks
	dim    int64
	q      [attendHeads]unsafe.Pointer
	scores [attendHeads]unsafe.Pointer
	out    [attendHeads]unsafe.Pointer
	scale  float32
}

func (a *attend) set(kv *KV, cache []uint16, n int, blocks []int32) {
	a.base = unsafe.Pointer(&cache[kv.Offset])
	a.blocks = unsafe.Pointer(unsafe.SliceData(blocks))
	a.n, a.stride, a.dim = int64(n), int64(2*kv.Stride), int64(kv.HeadDim)
}

// scoresAVX512 goes through the heads by fours. Where fewer are left the last one is computed in their place too.
func scoresAVX512(s *Scratch, kv *KV, q []float32, heads, n int, blocks []int32, scale float32) {
	a := &s.attend
	a.set(kv, kv.Keys, n, blocks)
	a.scale = scale
	for h0 := 0; h0 < heads; h0 += attendHeads {
		for i := range attendHeads {
			h := min(h0+i, heads-1)
			a.q[i], a.scores[i] = unsafe.Pointer(&q[h*kv.HeadDim]), unsafe.Pointer(&s.scores[h*SplitTokens])
		}
		attendScoresAVX512(a)
	}
}

func valuesAVX512(s *Scratch, kv *KV, out []float32, heads, n int, blocks []int32) {
	a := &s.attend
	a.set(kv, kv.Values, n, blocks)
	for h0 := 0; h0 < heads; h0 += attendHeads {
		for i := range attendHeads {
			h := min(h0+i, heads-1)
			a.out[i], a.scores[i] = unsafe.Pointer(&out[h*kv.HeadDim]), unsafe.Pointer(&s.scores[h*SplitTokens])
		}
		attendValuesAVX512(a)
	}
}

//go:noescape
func attendScoresAVX512(a *attend)

//go:noescape
func attendValuesAVX512(a *attend)

// widen gives the keys or values of a block as float32.
func (s *Scratch) widen(kv *KV, cache []uint16, block int32) []float32 {
	n := BlockTokens * kv.HeadDim
	if len(s.keys) < n {
		s.keys = AlignedFloats(n)
	}
	from, to := kv.at(block)
	fromF16AVX2(unsafe.SliceData(s.keys), unsafe.SliceData(cache[from:to]), int64(n))
	return s.keys[:n]
}

func scoresAVX2(s *Scratch, kv *KV, q []float32, heads, n int, blocks []int32, scale float32) {
	dim := kv.HeadDim
	for i := range n {
		if i%BlockTokens == 0 {
			s.widen(kv, kv.Keys, blocks[i/BlockTokens])
		}
		key := &s.keys[i%BlockTokens*dim]
		for h := range heads {
			s.scores[h*SplitTokens+i] = dotAVX2(&q[h*dim], key, int64(dim)) * scale
		}
	}
}

func valuesAVX2(s *Scratch, kv *KV, out []float32, heads, n int, blocks []int32) {
	dim := kv.HeadDim
	for i := range n {
		if i%BlockTokens == 0 {
			s.widen(kv, kv.Values, blocks[i/BlockTokens])
		}
		value := &s.keys[i%BlockTokens*dim]
		for h := range heads {
			addScaledAVX2(&out[h*dim], value, int64(dim), s.scores[h*SplitTokens+i])
		}
	}
}
