package kernel

import (
	"math"
)

const (
	// BlockTokens is the number of positions in one block of cached keys or values.
	BlockTokens = 16
	// SplitTokens is the number of positions whose attention is computed as one part. The parts of a long context may
	// be computed by different workers: the result is the same as when one computes them all, because the cuts are
	// fixed. 512 positions of a 128-wide head are 256 KiB of binary16: some ten microseconds of work, far more than
	// handing it out costs; and it stays in the L2 cache while a tile of queries goes through it.
	SplitTokens = 512
	// wideFloats of keys or values are widened at once and then used by all queries of a tile: half of a 32 KiB L1
	// cache, beside which queries, scores and sums find room.
	wideFloats = 4096
	// turnFrom is the number of queries' positions from which keys are turned (tier.turn): that takes a tenth of the
	// time of computing with them for 16 positions, and more than it saves for fewer than 4.
	turnFrom = 4
)

// Blocks is how many blocks so many positions take: whole ones.
func Blocks(positions int) int { return (positions + BlockTokens - 1) / BlockTokens }

// Queries are what neighbouring positions of one sequence ask of one KV head: Heads vectors of the head's size for
// each position (grouped-query attention, Ainslie et al. 2023). A position attends to itself and all before it.
type Queries struct {
	Data   []float32 // the vectors of position First+t begin at element t·Stride
	Stride int
	Heads  int
	First  int // position
	Count  int // of positions
}

// of gives the vectors of position First+t.
func (q *Queries) of(t, dim int) []float32 { return q.Data[t*q.Stride:][:q.Heads*dim] }

// Parts is the number of parts that the last position's attention consists of.
func (q *Queries) Parts() int { return partsOf(q.First + q.Count) }

func partsOf(n int) int { return (n + SplitTokens - 1) / SplitTokens }

// PartsLen is the length of all positions' parts, where a head has so many elements.
func (q *Queries) PartsLen(dim int) int { return q.Count * q.Parts() * q.partLen(dim) }

// partLen is the length of a part: for each head its sum of values, and then for each its largest score and sum of
// weights.
func (q *Queries) partLen(dim int) int { return q.Heads * (dim + 2) }

// part gives part i of position First+t.
func (q *Queries) part(parts []float32, dim, t, i int) []float32 {
	size := q.partLen(dim)
	return parts[(t*q.Parts()+i)*size:][:size]
}

// AttendPart computes part i of softmax(q·Kᵀ/√HeadDim)·V for all positions of q that reach it: cached positions
// i·SplitTokens up to the next part, or to their own. The cache lies in blocks. parts is PartsLen values, of which
// this writes its own. A head's result depends on nothing but its query and what it attends to; keys and values are
// read once for all.
func AttendPart(s *Scratch, kv *KV, q *Queries, parts []float32, i int, blocks []int32) {
	from := i * SplitTokens
	first := max(from-q.First, 0) // of the positions that reach the part
	n := min(q.First+q.Count-from, SplitTokens)
	blocks = blocks[from/BlockTokens:]
	for _, b := range blocks[:Blocks(n)] {
		_, _ = kv.run(kv.Keys, b), kv.run(kv.Values, b) // all reads are in there
	}
	if need := (q.Count - first) * q.Heads * SplitTokens; len(s.scores) < need {
		s.scores = AlignedFloats(need)
	}
	a := &s.attention // not a variable: it would be allocated, since it goes to functions of a tier
	*a = attention{s: s, kv: *kv, q: *q, first: first, from: from, n: n, blocks: blocks, tier: active}
	if kv.HeadDim%16 != 0 {
		a.tier = &generic
	}
	a.attend(parts, i)
}

// Merge joins the parts of position First+t, in order, to the result of its attention: Heads vectors.
func (q *Queries) Merge(out, parts []float32, dim, t int) {
	size := q.partLen(dim)
	parts = parts[t*q.Parts()*size:][:partsOf(q.First+t+1)*size]
	for h := range q.Heads {
		top := float32(math.Inf(-1))
		for at := q.Heads*dim + 2*h; at < len(parts); at += size {
			top = max(top, parts[at]) // NaN wins
		}
		o := out[h*dim:][:dim]
		clear(o)
		var sum float32
		for p := parts; len(p) >= size; p = p[size:] {
			w := exp32(p[q.Heads*dim+2*h] - top)
			sum += w * p[q.Heads*dim+2*h+1]
			AddScaled(o, p[h*dim:][:dim], w)
		}
		active.times(o, 1/sum)
	}
}

// attention is the work on one part.
type attention struct {
	s      *Scratch
	kv     KV
	q      Queries
	first  int     // of q's positions that reach the part
	from   int     // the part's first cached position
	n      int     // its cached positions
	blocks []int32 // its own, and those that come behind
	tier   *tier
}

func (a *attention) attend(parts []float32, part int) {
	dim, heads := a.kv.HeadDim, a.q.Heads
	scale := float32(1 / math.Sqrt(float64(dim)))
	direct := a.q.Count-a.first == 1 && a.tier.direct(&a.kv)
	if direct {
		a.tier.scoresDirect(a, a.first, scale)
	} else {
		a.scores(scale)
	}
	for t := a.first; t < a.q.Count; t++ {
		p := a.q.part(parts, dim, t, part)
		clear(p[:heads*dim])
		scores, rest := a.scoresOf(t), p[heads*dim:]
		for h := range heads {
			rest[2*h], rest[2*h+1] = active.expSum(scores[h*SplitTokens:][:a.reach(t)])
		}
	}
	if direct {
		a.tier.valuesDirect(a, a.first, a.q.part(parts, dim, a.first, part))
	} else {
		a.values(parts, part)
	}
}

// reach is how many of the part's positions q's position t attends to.
func (a *attention) reach(t int) int { return min(a.q.First+t+1-a.from, SplitTokens) }

// scoresOf gives a position's scores, and later weights: SplitTokens for each head.
func (a *attention) scoresOf(t int) []float32 {
	n := a.q.Heads * SplitTokens
	return a.s.scores[(t-a.first)*n:][:n]
}

// step is how many cached positions are widened at once.
func (a *attention) step() int { return max(wideFloats/(BlockTokens*a.kv.HeadDim), 1) * BlockTokens }

// blocksFrom gives the blocks of a step of the part's positions from c on.
func (a *attention) blocksFrom(c int) []int32 {
	return a.blocks[c/BlockTokens : Blocks(min(c+a.step(), a.n))]
}

// wide gives the keys or values of the part's positions from c on, a step of them.
func (a *attention) wide(cache []byte, c int) []float32 {
	return a.s.widen(a.tier, &a.kv, cache, a.blocksFrom(c))
}

// turned gives them with the vectors of a block turned: first all vectors' element 0, then their element 1.
func (a *attention) turned(cache []byte, c int) []float32 {
	blocks, size := a.blocksFrom(c), BlockTokens*a.kv.HeadDim
	if need := len(blocks) * size; len(a.s.turned) < need {
		a.s.turned = AlignedFloats(max(need, wideFloats))
	}
	for i := range blocks {
		a.tier.turn(a.s.turned[i*size:][:size], a.s.widen(a.tier, &a.kv, cache, blocks[i:i+1]), a.kv.HeadDim)
	}
	return a.s.turned[:len(blocks)*size]
}

// ahead asks for what wide will be asked for, so that it comes from memory while the step before is computed.
func (a *attention) ahead(cache []byte, c int) {
	for i := c / BlockTokens; i < min((c+a.step())/BlockTokens, len(a.blocks)); i++ {
		fetch(a.kv.run(cache, a.blocks[i]))
	}
}

// scores computes scale · q·key of every position and head.
func (a *attention) scores(scale float32) {
	dim, heads := a.kv.HeadDim, a.q.Heads
	wide, do := (*attention).wide, a.tier.scores
	if a.tier.turns() && a.q.Count-a.first >= turnFrom {
		wide, do = (*attention).turned, a.tier.scoresTurned
	}
	for c := 0; c < a.n; c += a.step() {
		keys := wide(a, a.kv.Keys, c)
		if next := c + a.step(); next < a.n {
			a.ahead(a.kv.Keys, next)
		} else {
			a.ahead(a.kv.Values, 0)
		}
		for t := a.first; t < a.q.Count; t++ {
			n := min(a.reach(t)-c, a.step())
			if n <= 0 {
				continue
			}
			q, dst := a.q.of(t, dim), a.scoresOf(t)[c:]
			do(a.s, dst, q, keys, heads, n, dim, scale)
		}
	}
}

// values adds Σ weight · value to the sums of every position and head.
func (a *attention) values(parts []float32, part int) {
	dim, heads := a.kv.HeadDim, a.q.Heads
	for c := 0; c < a.n; c += a.step() {
		values := a.wide(a.kv.Values, c)
		if next := c + a.step(); next < a.n {
			a.ahead(a.kv.Values, next)
		} else {
			a.ahead(a.kv.Keys, next) // the next part's
		}
		for t := a.first; t < a.q.Count; t++ {
			n := min(a.reach(t)-c, a.step())
			if n <= 0 {
				continue
			}
			out, weights := a.q.part(parts, dim, t, part), a.scoresOf(t)[c:]
			a.tier.values(a.s, out, weights, values, heads, n, dim)
		}
	}
}

// scoresGeneric writes dst[h·SplitTokens + i] = scale · q_h·key_i for n keys.
func scoresGeneric(_ *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32) {
	for i := range n {
		key := keys[i*dim:][:dim]
		for h := range heads {
			query := q[h*dim:][:dim]
			var lanes [8]float32
			for d, k := range key {
				lanes[d%8] += query[d] * k
			}
			dst[h*SplitTokens+i] = addLanes(&lanes) * scale
		}
	}
}

// turnGeneric turns a block of keys: dst[d·BlockTokens + i] = key_i[d].
func turnGeneric(dst, keys []float32, dim int) {
	for i := range BlockTokens {
		for d, k := range keys[i*dim:][:dim] {
			dst[d*BlockTokens+i] = k
		}
	}
}

// scoresTurnedGeneric is scoresGeneric for blocks that were turned. It writes scores for whole blocks.
func scoresTurnedGeneric(_ *Scratch, dst, q, keys []float32, heads, n, dim int, scale float32) {
	for c := 0; c < n; c += BlockTokens {
		for h := range heads {
			query := q[h*dim:][:dim]
			for i := range BlockTokens {
				var lanes [8]float32
				for d, x := range query {
					lanes[d%8] += x * keys[(c*dim)+d*BlockTokens+i]
				}
				dst[h*SplitTokens+c+i] = addLanes(&lanes) * scale
			}
		}
	}
}

// valuesGeneric adds Σ_i weights[h·SplitTokens + i] · value_i to out_h, in the order of positions.
func valuesGeneric(_ *Scratch, out, weights, values []float32, heads, n, dim int) {
	for i := range n {
		value := values[i*dim:][:dim]
		for h := range heads {
			w, o := weights[h*SplitTokens+i], out[h*dim:][:dim]
			for d, v := range value {
				o[d] += w * v
			}
		}
	}
}
