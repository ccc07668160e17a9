package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

var kvTypes = []quant.KVType{quant.KVF16, quant.KVQ8}

// context is a cache of one KV head whose blocks lie in a shuffled order, as paging leaves them.
type context struct {
	kv     KV
	blocks []int32
	dim, n int
}

func newContext(r *rand.Rand, typ quant.KVType, dim, n int) *context {
	c := &context{dim: dim, n: n}
	count := (n+BlockTokens-1)/BlockTokens + 2
	run := BlockTokens * typ.VectorBytes(dim)
	c.kv = KV{Type: typ, Stride: 3 * run, Offset: run, HeadDim: dim}
	c.kv.Keys, c.kv.Values = make([]byte, count*c.kv.Stride), make([]byte, count*c.kv.Stride)
	for i := range c.kv.Keys { // positions that do not belong to the sequence hold NaN: reading one is seen
		c.kv.Keys[i], c.kv.Values[i] = 0x7e, 0x7e
	}
	for _, b := range r.Perm(count)[:(n+BlockTokens-1)/BlockTokens] {
		c.blocks = append(c.blocks, int32(b))
	}
	for i := range n {
		c.kv.PutKey(c.blocks[i/BlockTokens], i%BlockTokens, randomFloats(r, dim))
		c.kv.PutValue(c.blocks[i/BlockTokens], i%BlockTokens, randomFloats(r, dim))
	}
	return c
}

func (c *context) at(i int) (key, value []float32) {
	key, value = make([]float32, c.dim), make([]float32, c.dim)
	b := c.blocks[i/BlockTokens]
	c.kv.Type.Get(key, c.kv.run(c.kv.Keys, b), i%BlockTokens)
	c.kv.Type.Get(value, c.kv.run(c.kv.Values, b), i%BlockTokens)
	return key, value
}

// queries are those of the last count positions, with room between them.
func (c *context) queries(r *rand.Rand, heads, count int) *Queries {
	q := &Queries{Stride: heads*c.dim + 5, Heads: heads, First: c.n - count, Count: count}
	q.Data = randomFloats(r, count*q.Stride)
	return q
}

// one is the query of one of q's positions.
func (q *Queries) one(t int) *Queries {
	return &Queries{Data: q.Data[t*q.Stride:], Stride: q.Stride, Heads: q.Heads, First: q.First + t, Count: 1}
}

// attend computes all parts and merges them: heads × dim values for each position.
func attendAll(s *Scratch, c *context, q *Queries) []float32 {
	parts := make([]float32, q.PartsLen(c.dim))
	for i := range q.Parts() {
		AttendPart(s, &c.kv, q, parts, i, c.blocks)
	}
	return merged(q, parts, c.dim)
}

func merged(q *Queries, parts []float32, dim int) []float32 {
	out := make([]float32, q.Count*q.Heads*dim)
	for t := range q.Count {
		q.Merge(out[t*q.Heads*dim:][:q.Heads*dim], parts, dim, t)
	}
	return out
}

// exact is attention of one head over n positions in float64.
func (c *context) exact(q []float32, n int) []float64 {
	scores := make([]float64, n)
	top := math.Inf(-1)
	for i := range scores {
		key, _ := c.at(i)
		for d, k := range key {
			scores[i] += float64(q[d]) * float64(k) / math.Sqrt(float64(c.dim))
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
			out[d] += w * float64(v)
		}
	}
	for d := range out {
		out[d] /= sum
	}
	return out
}

func eachKV(t *testing.T, f func(t *testing.T, typ quant.KVType)) {
	eachTier(t, func(t *testing.T) {
		for _, typ := range kvTypes {
			t.Run(typ.String(), func(t *testing.T) { f(t, typ) })
		}
	})
}

func TestAttend(t *testing.T) {
	eachKV(t, func(t *testing.T, typ quant.KVType) {
		s := NewScratch()
		for _, c := range []struct{ dim, n, heads, count int }{{2, 1, 1, 1}, {8, 15, 2, 3}, {16, 16, 4, 16},
			{32, 17, 4, 1}, {64, 100, 4, 7},
			{128, 333, 4, 2}, {128, 1500, 4, 1}, {64, 48, 3, 5}, {64, 700, 8, 1}, {80, 33, 5, 33}, {24, 64, 1, 2},
			{128, 1, 4, 1},
			{48, 520, 4, 16}, {128, 1030, 4, 8}, {512, 40, 2, 3}} {
			if testing.Short() && c.dim*c.n*c.heads*c.count > 1<<18 {
				continue // each kind of shape has a smaller one
			}
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(c.n)))
				ctx := newContext(r, typ, c.dim, c.n)
				q := ctx.queries(r, c.heads, c.count)
				out := attendAll(s, ctx, q)
				for t0 := range c.count {
					for h := range c.heads {
						want := ctx.exact(q.of(t0, c.dim)[h*c.dim:][:c.dim], q.First+t0+1)
						for d, want := range want {
							// Weights are within 1e-5 of exact and values of order 1: a few float32 units on a sum of
							// them.
							if got := float64(out[(t0*c.heads+h)*c.dim+d]); !(math.Abs(got-want) <= 2e-5) {
								t.Fatalf("position %d, head %d, element %d: %v, want %v", t0, h, d, got, want)
							}
						}
					}
				}
			})
		}
	})
}

// TestAttendQ8Error holds attention over an 8-bit cache to attention over the numbers it was given: the error of
// keys, half a step of the largest in 32, becomes one of scores of ~0.008, and that of values averages out.
func TestAttendQ8Error(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		const dim, n, heads = 128, 700, 4
		half := newContext(rand.New(rand.NewPCG(9, 9)), quant.KVF16, dim, n)
		bytes := newContext(rand.New(rand.NewPCG(9, 9)), quant.KVQ8, dim, n)
		q := half.queries(rand.New(rand.NewPCG(9, 10)), heads, 1)
		a, b := attendAll(NewScratch(), half, q), attendAll(NewScratch(), bytes, q)
		var diff, norm float64
		for i := range a {
			diff += float64(a[i]-b[i]) * float64(a[i]-b[i])
			norm += float64(a[i]) * float64(a[i])
		}
		if rms := math.Sqrt(diff / norm); !(rms < 1.5e-2) || rms == 0 {
			t.Errorf("relative rms %.3g beside binary16", rms)
		}
	})
}

// TestAttendIndependent: a head's result is the same beside other heads and positions and alone.
func TestAttendIndependent(t *testing.T) {
	eachKV(t, func(t *testing.T, typ quant.KVType) {
		for _, dim := range []int{24, 64, 80, 128} {
			r := rand.New(rand.NewPCG(2, 2))
			heads, count := 7, 20
			if testing.Short() {
				heads, count = 5, 11
			}
			ctx := newContext(r, typ, dim, SplitTokens+9) // the last nine positions have a part that the others do not
			q := ctx.queries(r, heads, count)
			out := attendAll(NewScratch(), ctx, q)
			for t0 := range count {
				for h := range heads {
					one := q.one(t0)
					one.Data, one.Heads = one.Data[h*dim:], 1
					alone := attendAll(NewScratch(), ctx, one)
					if i, ok := sameBits(alone, out[(t0*heads+h)*dim:][:dim]); !ok {
						t.Fatalf("size %d, position %d, head %d, element %d differs", dim, t0, h, i)
					}
				}
			}
		}
	})
}

func TestAttendNotFinite(t *testing.T) {
	eachKV(t, func(t *testing.T, typ quant.KVType) {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
			for _, count := range []int{1, 4} {
				r := rand.New(rand.NewPCG(3, 3))
				ctx := newContext(r, typ, 64, 40)
				value := randomFloats(r, 64)
				value[3] = bad
				ctx.kv.PutValue(ctx.blocks[1], 4, value)
				q := ctx.queries(r, 4, count)
				for i, o := range attendAll(NewScratch(), ctx, q) {
					hit := i%64 == 3 || typ == quant.KVQ8 && i%64 < 32
					if finite := o-o == 0; finite == hit {
						t.Fatalf("%v in a value: output %d is %v", bad, i, o)
					}
				}
				key := randomFloats(r, 64)
				key[5] = float32(math.NaN())
				ctx.kv.PutKey(ctx.blocks[0], 10, key)
				for i, o := range attendAll(NewScratch(), ctx, q) {
					if o-o == 0 {
						t.Fatalf("NaN in a key: output %d is %v", i, o)
					}
				}
			}
		}
	})
}

// TestAttendInParts: parts computed apart, in any order, merge to the same bits as in order.
func TestAttendInParts(t *testing.T) {
	eachKV(t, func(t *testing.T, typ quant.KVType) {
		r := rand.New(rand.NewPCG(4, 4))
		ctx := newContext(r, typ, 32, 3*SplitTokens+7)
		q := ctx.queries(r, 4, 16)
		parts := make([]float32, q.PartsLen(32))
		for _, i := range r.Perm(q.Parts()) {
			AttendPart(NewScratch(), &ctx.kv, q, parts, i, ctx.blocks)
		}
		out, apart := attendAll(NewScratch(), ctx, q), merged(q, parts, 32)
		if i, ok := sameBits(out, apart); !ok {
			t.Errorf("element %d: %v in parts, %v whole", i, apart[i], out[i])
		}
	})
}

func TestAttendAllocatesNothing(t *testing.T) {
	eachKV(t, func(t *testing.T, typ quant.KVType) {
		r := rand.New(rand.NewPCG(5, 5))
		ctx := newContext(r, typ, 32, 2*SplitTokens)
		for _, count := range []int{1, 16} {
			q, s := ctx.queries(r, 4, count), NewScratch()
			parts := make([]float32, q.PartsLen(32))
			if n := testing.AllocsPerRun(5, func() { AttendPart(s, &ctx.kv, q, parts, 0, ctx.blocks) }); n != 0 {
				t.Errorf("attention of %d positions allocates %v times", count, n)
			}
		}
	})
}

// TestPut: every tier stores the bits of the format's definition, in its place and nowhere else.
func TestPut(t *testing.T) {
	eachKV(t, func(t *testing.T, typ quant.KVType) {
		r := rand.New(rand.NewPCG(6, 6))
		for _, dim := range []int{1, 7, 16, 32, 40, 64, 80, 128} {
			for range 50 {
				size := BlockTokens * typ.VectorBytes(dim)
				got, want := make([]byte, size), make([]byte, size)
				for i := range got {
					got[i] = byte(r.Uint32())
				}
				copy(want, got)
				x := randomFloats(r, dim)
				for d := range x {
					x[d] *= float32(math.Ldexp(1, r.IntN(60)-40))
				}
				switch i := r.IntN(dim); r.IntN(6) {
				case 0:
					x[i] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 3e38,
						1e-45}[r.IntN(5)]
				case 1:
					clear(x[i:])
				}
				slot := r.IntN(BlockTokens)
				active.put(typ, got, slot, x)
				typ.Put(want, slot, x)
				for i := range want { // any NaN will do
					if got[i] != want[i] && !(typ == quant.KVF16 && got[i|1]&0x7c == 0x7c && want[i|1]&0x7c == 0x7c) {
						t.Fatalf("size %d, slot %d, byte %d is %#x, want %#x, of %v", dim, slot, i, got[i], want[i], x)
					}
				}
			}
		}
	})
}

// TestWiden: every tier widens to the bits of the format's definition.
func TestWiden(t *testing.T) {
	eachKV(t, func(t *testing.T, typ quant.KVType) {
		r := rand.New(rand.NewPCG(7, 7))
		for _, dim := range []int{16, 32, 48, 80, 128} {
			ctx := newContext(r, typ, dim, 3*BlockTokens)
			got := slices.Clone(NewScratch().widen(active, &ctx.kv, ctx.kv.Keys, ctx.blocks))
			var want []float32
			for i := range ctx.n {
				key, _ := ctx.at(i)
				want = append(want, key...)
			}
			if i, ok := sameBits(got, want); !ok || len(got) != len(want) {
				t.Fatalf("size %d, element %d: %v, want %v", dim, i, got[i], want[i])
			}
		}
	})
}

// TestTurn: every tier turns blocks as their definition says, and multiplies turned keys to the bits of those that
// were not turned.
func TestTurn(t *testing.T) {
	eachTier(t, func(t *testing.T) {
		for _, dim := range []int{16, 32, 48, 80, 128} {
			const heads, blocks = 5, 3
			r := rand.New(rand.NewPCG(8, uint64(dim)))
			size := BlockTokens * dim
			keys, q := randomFloats(r, blocks*size), randomFloats(r, heads*dim)
			got, want := make([]float32, blocks*size), make([]float32, blocks*size)
			for b := range blocks {
				active.turn(got[b*size:][:size], keys[b*size:][:size], dim)
				turnGeneric(want[b*size:][:size], keys[b*size:][:size], dim)
			}
			if i, ok := sameBits(got, want); !ok {
				t.Fatalf("size %d: element %d is %v, want %v", dim, i, got[i], want[i])
			}
			near, scores := make([]float32, heads*SplitTokens), make([]float32, heads*SplitTokens)
			active.scoresTurned(NewScratch(), scores, q, got, heads, blocks*BlockTokens, dim, 0.125)
			active.scores(NewScratch(), near, q, keys, heads, blocks*BlockTokens, dim, 0.125)
			for i, want := range near {
				if got := scores[i]; active.turns() && got != want || !(math.Abs(float64(got-want)) <= 1e-4) {
					t.Fatalf("size %d: score %d is %v, want %v", dim, i, got, want)
				}
			}
		}
	})
}
