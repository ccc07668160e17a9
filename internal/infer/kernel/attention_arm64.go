package kernel

import (
	"unsafe"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// attendHeads is how many query heads an assembly kernel takes at once: as many as share a KV head in Mixtral.
const attendHeads = 4

// attend is the argument of the attention kernels; _asm/neon/attend.go has its layout.
type attend struct {
	base   unsafe.Pointer // keys or values, one after the other
	n      int64          // positions
	stride int64          // bytes of a vector
	scale  float32
	x      [attendHeads]unsafe.Pointer // queries, or sums of values
	scores [attendHeads]unsafe.Pointer
}

// fours calls do for the heads by fours. Where fewer are left the last one is computed in their place too: its sums
// are read before they are written, so that it does no harm.
func (a *attend) fours(x, scores, base []float32, heads, n, dim int, do func(*attend)) {
	a.base, a.n, a.stride = unsafe.Pointer(unsafe.SliceData(base)), int64(n), int64(4*dim)
	for h0 := 0; h0 < heads; h0 += attendHeads {
		for i := range attendHeads {
			h := min(h0+i, heads-1)
			a.x[i], a.scores[i] = unsafe.Pointer(&x[h*dim]), unsafe.Pointer(&scores[h*SplitTokens])
		}
		do(a)
	}
}

// scoresVectors is scoresGeneric; dim is a multiple of 16.
func scoresVectors(s *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32) {
	s.attend.scale = scale
	s.attend.fours(q, dst, keys, heads, n, dim, attendScoresNEON)
}

// valuesVectors is valuesGeneric, likewise.
func valuesVectors(s *Scratch, out, weights, values []float32, heads, n, dim int) {
	s.attend.fours(out, weights, values, heads, n, dim, attendValuesNEON)
}

// widenVectors widens a run of BlockTokens vectors; dim is a multiple of 16.
func widenVectors(t quant.KVType, dst []float32, run []byte, dim int) {
	if t == quant.KVQ8 {
		widenQ8NEON(&dst[0], &run[0], &run[BlockTokens*dim], int64(dim), BlockTokens)
		return
	}
	fromF16NEON(&dst[0], &run[0], int64(len(dst)))
}

//go:noescape
func attendScoresNEON(a *attend)

//go:noescape
func attendValuesNEON(a *attend)
