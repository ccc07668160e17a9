package kernel

import (
	"math"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

// BlockTokens is the number of positions in one block of cached keys or values.
const BlockTokens = 16

// KV is one layer's cached keys and values of one KV head, in blocks of BlockTokens × HeadDim binary16 numbers, position by
// position. Block b of the cache begins at element b·Stride + Offset of Keys and of Values.
type KV struct {
	Keys, Values   []uint16
	Stride, Offset int
	HeadDim        int
}

func (kv *KV) at(b int32) (from, to int) {
	from = int(b)*kv.Stride + kv.Offset
	return from, from + BlockTokens*kv.HeadDim
}

// Attend computes, for each of the heads query heads that share a KV head (grouped-query attention, Ainslie et al. 2023),
// out = softmax(q·Kᵀ/√HeadDim)·V over positions 0 … n−1, which lie in blocks. q and out hold heads × HeadDim values. A
// head's result depends on nothing but its query and these n positions.
func Attend(s *Scratch, kv *KV, q, out []float32, heads, n int, blocks []int32) {
	dim := kv.HeadDim
	stride := (n + BlockTokens - 1) / BlockTokens * BlockTokens
	if cap(s.scores) < heads*stride {
		s.scores = AlignedFloats(max(heads*stride, 2*cap(s.scores)))
	}
	scores := s.scores[:heads*stride]
	scale := float32(1 / math.Sqrt(float64(dim)))
	q, out = q[:heads*dim], out[:heads*dim]
	for at := 0; at < n; at += BlockTokens {
		from, to := kv.at(blocks[at/BlockTokens])
		attendScores(scores[at:], q, kv.Keys[from:to], dim, heads, min(BlockTokens, n-at), stride, scale)
	}
	for h := range heads {
		Softmax(scores[h*stride:][:n])
	}
	clear(out)
	for at := 0; at < n; at += BlockTokens {
		from, to := kv.at(blocks[at/BlockTokens])
		attendValues(out, scores[at:], kv.Values[from:to], dim, heads, min(BlockTokens, n-at), stride)
	}
}

// attendScores writes scores[h·stride + i] = scale · q_h·key_i for n keys.
func attendScores(scores, q []float32, keys []uint16, dim, heads, n, stride int, scale float32) {
	for i := range n {
		key := keys[i*dim:][:dim]
		for h := range heads {
			query := q[h*dim:][:dim]
			var lanes [8]float32
			for d, k := range key {
				lanes[d%8] += query[d] * quant.F16to32(k)
			}
			scores[h*stride+i] = addLanes(&lanes) * scale
		}
	}
}

// attendValues adds Σ_i weights[h·stride + i] · value_i to out_h for n values, in the order of positions.
func attendValues(out, weights []float32, values []uint16, dim, heads, n, stride int) {
	for i := range n {
		value := values[i*dim:][:dim]
		for h := range heads {
			w, o := weights[h*stride+i], out[h*dim:][:dim]
			for d, v := range value {
				o[d] += w * quant.F16to32(v)
			}
		}
	}
}
