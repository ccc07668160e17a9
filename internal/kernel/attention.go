package kernel

import (
	"math"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

const (
	// BlockTokens is the number of positions in one block of cached keys or values.
	BlockTokens = 16
	// SplitTokens is the number of positions whose attention is computed as one part. The parts of a long context may be
	// computed by different workers: the result is the same as when one computes them all, because the cuts are fixed.
	// 512 positions of a 128-wide head are 256 KiB of cache: some ten microseconds of work, far more than handing it out
	// costs, and the four heads' scores stay in the L1 cache.
	SplitTokens = 512
)

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
	size, count := PartLen(kv, heads), Parts(n)
	if len(s.parts) < size*count {
		s.parts = AlignedFloats(max(size*count, 2*len(s.parts)))
	}
	for i := range count {
		AttendPart(s, kv, q, s.parts[i*size:][:size], heads, n, i, blocks)
	}
	MergeParts(kv, out, s.parts[:size*count], heads)
}

// Parts is the number of parts that attention over n positions consists of.
func Parts(n int) int { return (n + SplitTokens - 1) / SplitTokens }

// PartLen is the length of a part of heads heads: for each its sum of values, largest score and sum of weights.
func PartLen(kv *KV, heads int) int { return heads * (kv.HeadDim + 2) }

// AttendPart computes part i of what Attend computes whole: positions i·SplitTokens up to the next part or n. part is
// PartLen values.
func AttendPart(s *Scratch, kv *KV, q, part []float32, heads, n, i int, blocks []int32) {
	from := i * SplitTokens
	n = min(n-from, SplitTokens)
	blocks = blocks[from/BlockTokens:][:(n+BlockTokens-1)/BlockTokens]
	if len(s.scores) < heads*SplitTokens {
		s.scores = AlignedFloats(heads * SplitTokens)
	}
	for _, b := range blocks {
		from, to := kv.at(b)
		_, _ = kv.Keys[from:to], kv.Values[from:to] // all reads are in there
	}
	dim := kv.HeadDim
	out, rest := part[:heads*dim], part[heads*dim:][:2*heads]
	q = q[:heads*dim]
	scale := float32(1 / math.Sqrt(float64(dim)))
	tier := active
	if dim%16 != 0 {
		tier = tierGeneric
	}
	switch tier {
	case tierAVX512:
		scoresAVX512(s, kv, q, heads, n, blocks, scale)
	case tierAVX2:
		scoresAVX2(s, kv, q, heads, n, blocks, scale)
	default:
		scoresGeneric(s, kv, q, heads, n, blocks, scale)
	}
	for h := range heads {
		rest[2*h], rest[2*h+1] = expSum(s.scores[h*SplitTokens:][:n])
	}
	clear(out)
	switch tier {
	case tierAVX512:
		valuesAVX512(s, kv, out, heads, n, blocks)
	case tierAVX2:
		valuesAVX2(s, kv, out, heads, n, blocks)
	default:
		valuesGeneric(s, kv, out, heads, n, blocks)
	}
}

// MergeParts joins parts, in order, to the result of attention.
func MergeParts(kv *KV, out, parts []float32, heads int) {
	dim, size := kv.HeadDim, PartLen(kv, heads)
	for h := range heads {
		top := float32(math.Inf(-1))
		for at := heads*dim + 2*h; at < len(parts); at += size {
			top = max(top, parts[at]) // NaN wins
		}
		o := out[h*dim:][:dim]
		clear(o)
		var sum float32
		for p := parts; len(p) >= size; p = p[size:] {
			w := exp32(p[heads*dim+2*h] - top)
			sum += w * p[heads*dim+2*h+1]
			AddScaled(o, p[h*dim:][:dim], w)
		}
		times(o, 1/sum)
	}
}

// scoresGeneric writes scores[h·SplitTokens + i] = scale · q_h·key_i.
func scoresGeneric(s *Scratch, kv *KV, q []float32, heads, n int, blocks []int32, scale float32) {
	dim := kv.HeadDim
	for i := range n {
		from, _ := kv.at(blocks[i/BlockTokens])
		key := kv.Keys[from+i%BlockTokens*dim:][:dim]
		for h := range heads {
			query := q[h*dim:][:dim]
			var lanes [8]float32
			for d, k := range key {
				lanes[d%8] += query[d] * quant.F16to32(k)
			}
			s.scores[h*SplitTokens+i] = addLanes(&lanes) * scale
		}
	}
}

// valuesGeneric adds Σ_i scores[h·SplitTokens + i] · value_i to out_h, in the order of positions.
func valuesGeneric(s *Scratch, kv *KV, out []float32, heads, n int, blocks []int32) {
	dim := kv.HeadDim
	for i := range n {
		from, _ := kv.at(blocks[i/BlockTokens])
		value := kv.Values[from+i%BlockTokens*dim:][:dim]
		for h := range heads {
			w, o := s.scores[h*SplitTokens+i], out[h*dim:][:dim]
			for d, v := range value {
				o[d] += w * quant.F16to32(v)
			}
		}
	}
}
