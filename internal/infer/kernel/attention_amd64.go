package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// attendHeads is how many query heads an assembly kernel takes at once: as many as share a KV head in Mixtral.
const attendHeads = 4

// maxDim bounds a head's size, for the kernels that read the cache directly.
const maxDim = 1024

// attend is the argument of the attention kernels; attention_amd64.s has its layout. scores, too, are sixteen for each
// block that has begun.
type attend struct {
	base   unsafe.Pointer // block 0, or the first of the widened vectors
	blocks unsafe.Pointer
	n      int64 // positions
	stride int64 // bytes between blocks
	dim    int64
	q      [attendHeads]unsafe.Pointer
	scores [attendHeads]unsafe.Pointer
	out    [attendHeads]unsafe.Pointer
	scale  float32
	last   int64                              // block of the table: what comes behind n is only fetched ahead
	_      [BlockTokens * maxDim / 32]float32 // where the kernels widen KVQ8's scales of one block
}

// fours calls do for the heads by fours. Where fewer are left the last one is computed in their place too. x is the
// queries or sums, scores begin every SplitTokens.
func (a *attend) fours(x, scores []float32, to *[attendHeads]unsafe.Pointer, heads int, do func(*attend)) {
	for h0 := 0; h0 < heads; h0 += attendHeads {
		for i := range attendHeads {
			h := min(h0+i, heads-1)
			to[i], a.scores[i] = unsafe.Pointer(&x[h*int(a.dim)]), unsafe.Pointer(&scores[h*SplitTokens])
		}
		do(a)
	}
}

// direct512 says whether there are kernels that read a cache of this kind without widening it first.
func direct512(kv *KV) bool {
	return kv.HeadDim <= maxDim && (kv.Type == quant.KVF16 || kv.HeadDim%32 == 0)
}

// cached points to the part in the cache.
func (a *attend) cached(p *attention, cache []byte, t int) {
	a.base = unsafe.Pointer(&cache[p.kv.Offset])
	a.blocks = unsafe.Pointer(unsafe.SliceData(p.blocks))
	a.n, a.stride, a.dim, a.last = int64(p.reach(t)), int64(p.kv.Stride), int64(p.kv.HeadDim), int64(len(p.blocks)-1)
}

// direct2 is direct512 for AVX2, where it is worth it for binary16 alone.
func direct2(kv *KV) bool { return kv.Type == quant.KVF16 }

// scoresDirect512 is scores for one position, from the cache.
func scoresDirect512(p *attention, t int, scale float32) {
	a := &p.s.attend
	a.cached(p, p.kv.Keys, t)
	a.scale = scale
	do := attendScoresF16AVX512
	if p.kv.Type == quant.KVQ8 {
		do = attendScoresQ8AVX512
	}
	a.fours(p.q.of(t, p.kv.HeadDim), p.scoresOf(t), &a.q, p.q.Heads, do)
}

func valuesDirect512(p *attention, t int, out []float32) {
	a := &p.s.attend
	a.cached(p, p.kv.Values, t)
	do := attendValuesF16AVX512
	if p.kv.Type == quant.KVQ8 {
		do = attendValuesQ8AVX512
	}
	a.fours(out, p.scoresOf(t), &a.out, p.q.Heads, do)
}

func scoresDirect2(p *attention, t int, scale float32) {
	a := &p.s.attend
	a.cached(p, p.kv.Keys, t)
	a.scale = scale
	a.fours(p.q.of(t, p.kv.HeadDim), p.scoresOf(t), &a.q, p.q.Heads, attendScoresF16AVX2)
}

func valuesDirect2(p *attention, t int, out []float32) {
	a := &p.s.attend
	a.cached(p, p.kv.Values, t)
	a.fours(out, p.scoresOf(t), &a.out, p.q.Heads, attendValuesF16AVX2)
}

// score has a kernel compute the scores of widened or turned keys.
func (a *attend) score(do func(*attend), dst, q, keys []float32, heads, n, dim int, scale float32) {
	a.base, a.n, a.dim, a.scale = unsafe.Pointer(unsafe.SliceData(keys)), int64(n), int64(dim), scale
	a.fours(q, dst, &a.q, heads, do)
}

func scores512(s *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32) {
	s.attend.score(attendScoresF32AVX512, dst, q, keys, heads, n, dim, scale)
}

func values512(s *Scratch, out, weights, values []float32, heads, n, dim int) {
	a := &s.attend
	a.base, a.n, a.dim = unsafe.Pointer(unsafe.SliceData(values)), int64(n), int64(dim)
	a.fours(out, weights, &a.out, heads, attendValuesF32AVX512)
}

// turn2 turns a block of keys; dim is a multiple of 16.
func turn2(dst, keys []float32, dim int) { turnAVX2(&dst[0], &keys[0], int64(dim)) }

func scoresTurned512(s *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32) {
	s.attend.score(attendScoresTurnedAVX512, dst, q, keys, heads, n, dim, scale)
}

// widen512 widens a run of BlockTokens vectors; dim is a multiple of 16.
func widen512(t quant.KVType, dst []float32, run []byte, dim int) {
	if t == quant.KVQ8 {
		widenQ8AVX512(&dst[0], &run[0], &run[BlockTokens*dim], int64(dim), BlockTokens)
		return
	}
	widenF16AVX512(&dst[0], &run[0], int64(len(dst)))
}

func widen2(t quant.KVType, dst []float32, run []byte, dim int) {
	if t == quant.KVQ8 {
		widenQ8AVX2(&dst[0], &run[0], &run[BlockTokens*dim], int64(dim), BlockTokens)
		return
	}
	fromF16AVX2(&dst[0], (*uint16)(unsafe.Pointer(&run[0])), int64(len(dst)))
}

func scores2(s *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32) {
	s.attend.score(attendScoresF32AVX2, dst, q, keys, heads, n, dim, scale)
}

func values2(s *Scratch, out, weights, values []float32, heads, n, dim int) {
	a := &s.attend
	a.base, a.n, a.dim = unsafe.Pointer(unsafe.SliceData(values)), int64(n), int64(dim)
	a.fours(out, weights, &a.out, heads, attendValuesF32AVX2)
}

func scoresTurned2(s *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32) {
	s.attend.score(attendScoresTurnedAVX2, dst, q, keys, heads, n, dim, scale)
}

//go:noescape
func turnAVX2(dst, src *float32, dim int64)

//go:noescape
func attendScoresTurnedAVX2(a *attend)

//go:noescape
func attendScoresTurnedAVX512(a *attend)

//go:noescape
func attendScoresF32AVX2(a *attend)

//go:noescape
func attendValuesF32AVX2(a *attend)

//go:noescape
func attendScoresF16AVX2(a *attend)

//go:noescape
func attendValuesF16AVX2(a *attend)

//go:noescape
func attendScoresF16AVX512(a *attend)

//go:noescape
func attendValuesF16AVX512(a *attend)

//go:noescape
func attendScoresQ8AVX512(a *attend)

//go:noescape
func attendValuesQ8AVX512(a *attend)

//go:noescape
func attendScoresF32AVX512(a *attend)

//go:noescape
func attendValuesF32AVX512(a *attend)

//go:noescape
func widenF16AVX512(dst *float32, x *byte, n int64)

//go:noescape
func widenQ8AVX512(dst *float32, elements, scales *byte, dim, vectors int64)

//go:noescape
func widenQ8AVX2(dst *float32, elements, scales *byte, dim, vectors int64)

//go:noescape
func putQ8AVX512(elements, scales *byte, x *float32, n, stride int64)
