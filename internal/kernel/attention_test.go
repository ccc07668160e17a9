package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/quant"
)

// context is a cache of one KV head whose blocks lie in a shuffled order, as paging leaves them.
type context struct {
	kv     KV
	blocks []int32
	dim, n int
}

func newContext(r *rand.Rand, dim, n int) *context {
	c := &context{dim: dim, n: n}
	count := (n+BlockTokens-1)/BlockTokens + 2
	c.kv = KV{Stride: 3 * BlockTokens * dim, Offset: BlockTokens * dim, HeadDim: dim}
	c.kv.Keys, c.kv.Values = make([]uint16, count*c.kv.Stride), make([]uint16, count*c.kv.Stride)
	for i := range c.kv.Keys { // positions that do not belong to the sequence hold NaN: reading one is seen
		c.kv.Keys[i], c.kv.Values[i] = 0x7e00, 0x7e00
	}
	for _, b := range r.Perm(count)[:(n+BlockTokens-1)/BlockTokens] {
		c.blocks = append(c.blocks, int32(b))
	}
	for i := range n {
		k, v := c.at(i)
		for d := range dim {
			k[d], v[d] = quant.F32to16(float32(r.NormFloat64())), quant.F32to16(float32(r.NormFloat64()))
		}
	}
	return c
}

func (c *context) at(i int) (key, value []uint16) {
	from, _ := c.kv.at(c.blocks[i/BlockTokens])
	from += i % BlockTokens * c.dim
	return c.kv.Keys[from:][:c.dim], c.kv.Values[from:][:c.dim]
}

// exact is attention in float64.
func (c *context) exact(q []float32) []float64 {
	scores := make([]float64, c.n)
	top := math.Inf(-1)
	for i := range scores {
		key, _ := c.at(i)
		for d, k := range key {
			scores[i] += float64(q[d]) * float64(quant.F16to32(k)) / math.Sqrt(float64(c.dim))
		}
		top = max(top, scores[i])
	}
	var sum float64
	out := make([]float64, c.dim)
	for i, s := range scores {
		w := math.Exp(s - top)
		sum += w
		_, value := c.at(i)
		for d, v := range value {
			out[d] += w * float64(quant.F16to32(v))
		}
	}
	for d := range out {
		out[d] /= sum
	}
	return out
}

func TestAttend(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		s := NewScratch()
		for _, c := range []struct{ dim, n, heads int }{{2, 1, 1}, {8, 15, 2}, {16, 16, 4}, {32, 17, 4}, {64, 100, 4}, {128, 333, 4},
			{128, 1500, 4}, {64, 48, 3}, {64, 700, 8}, {80, 33, 5}, {24, 64, 1}, {128, 1, 4}} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(c.n)))
				ctx := newContext(r, c.dim, c.n)
				q, out := randomFloats(r, c.heads*c.dim), make([]float32, c.heads*c.dim)
				Attend(s, &ctx.kv, q, out, c.heads, c.n, ctx.blocks)
				for h := range c.heads {
					for d, want := range ctx.exact(q[h*c.dim:][:c.dim]) {
						// Weights are within 1e-5 of exact and values of order 1: a few float32 units on a sum of them.
						if got := float64(out[h*c.dim+d]); !(math.Abs(got-want) <= 2e-5) {
							t.Fatalf("head %d, element %d: %v, want %v", h, d, got, want)
						}
					}
				}
			})
		}
	})
}

// TestAttendHeadsIndependent: a head's result is the same beside other heads and alone.
func TestAttendHeadsIndependent(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		ctx := newContext(r, 64, 90)
		const heads = 7
		q, out := randomFloats(r, heads*64), make([]float32, heads*64)
		Attend(NewScratch(), &ctx.kv, q, out, heads, ctx.n, ctx.blocks)
		for h := range heads {
			alone := make([]float32, 64)
			Attend(NewScratch(), &ctx.kv, q[h*64:][:64], alone, 1, ctx.n, ctx.blocks)
			if i, ok := sameBits(alone, out[h*64:][:64]); !ok {
				t.Fatalf("head %d, element %d differs", h, i)
			}
		}
	})
}

func TestAttendNotFinite(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, bad := range []uint16{0x7e00, 0x7c00} {
			r := rand.New(rand.NewPCG(3, 3))
			ctx := newContext(r, 64, 40)
			_, v := ctx.at(20)
			v[3] = bad
			q, out := randomFloats(r, 4*64), make([]float32, 4*64)
			Attend(NewScratch(), &ctx.kv, q, out, 4, ctx.n, ctx.blocks)
			for i, o := range out {
				if finite := o-o == 0; finite == (i%64 == 3) {
					t.Fatalf("%#x in a value: output %d is %v", bad, i, o)
				}
			}
			k, _ := ctx.at(10)
			k[5] = 0x7e00
			Attend(NewScratch(), &ctx.kv, q, out, 4, ctx.n, ctx.blocks)
			for i, o := range out {
				if o-o == 0 {
					t.Fatalf("NaN in a key: output %d is %v", i, o)
				}
			}
		}
	})
}

// TestAttendInParts: parts computed apart, in any order, merge to the same bits as the whole.
func TestAttendInParts(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		ctx := newContext(r, 32, 3*SplitTokens+37)
		const heads = 4
		q, out := randomFloats(r, heads*32), make([]float32, heads*32)
		Attend(NewScratch(), &ctx.kv, q, out, heads, ctx.n, ctx.blocks)
		size := PartLen(&ctx.kv, heads)
		parts := make([]float32, Parts(ctx.n)*size)
		for _, i := range r.Perm(Parts(ctx.n)) {
			AttendPart(NewScratch(), &ctx.kv, q, parts[i*size:][:size], heads, ctx.n, i, ctx.blocks)
		}
		merged := make([]float32, heads*32)
		MergeParts(&ctx.kv, merged, parts, heads)
		if i, ok := sameBits(out, merged); !ok {
			t.Errorf("element %d: %v in parts, %v whole", i, merged[i], out[i])
		}
	})
}

func TestAttendAllocatesNothing(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 5))
		ctx := newContext(r, 32, 2*SplitTokens)
		q, out, s := randomFloats(r, 4*32), make([]float32, 4*32), NewScratch()
		if n := testing.AllocsPerRun(5, func() { Attend(s, &ctx.kv, q, out, 4, ctx.n, ctx.blocks) }); n != 0 {
			t.Errorf("attention allocates %v times", n)
		}
	})
}
