package moe

import (
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// route adds what attention gave to a token, normalises it for the experts and chooses them: the ExpertsUsed highest
// router logits, with a softmax over just these as weights (arXiv:2401.04088, section 2.1).
func (w *worker) route(i int) {
	m, c, y := w.m, &w.m.cfg, &w.m.now
	t := int(y.tokens[i])
	kernel.AddScaled(m.token(t), m.out[t*m.outStride:][:c.Dim], 1)
	x := w.row[:c.Dim]
	kernel.RMSNorm(x, m.token(t), y.ffnNorm, c.NormEps)
	y.ffnIn.Set(t, 0, x)
	for e, row := range y.router {
		w.scores[e] = kernel.Dot(row, x)
	}
	choose(m.routes[t*c.ExpertsUsed:][:c.ExpertsUsed], w.scores, w.weights)
}

// choose fills routes with the experts of the highest scores, the lowest index among equals, and their weights.
// Routes are in the order of experts, in which they are summed. NaN scores choose some expert and make its weight
// NaN, so that the token's logits are NaN. weights is for it to use; it is not a variable, since what goes to a tier's
// functions would be allocated.
func choose(routes []route, scores, weights []float32) {
	weights = weights[:len(routes)]
	for n := range routes {
		best := -1
		for e, v := range scores {
			if !taken(routes[:n], int32(e)) && (best < 0 || v > scores[best]) {
				best = e
			}
		}
		routes[n].expert = int32(best)
	}
	slices.SortFunc(routes, func(a, b route) int { return int(a.expert - b.expert) })
	for n, r := range routes {
		weights[n] = scores[r.expert]
	}
	kernel.Softmax(weights)
	for n := range routes {
		routes[n].weight = weights[n]
	}
}

func taken(routes []route, e int32) bool {
	for _, r := range routes {
		if r.expert == e {
			return true
		}
	}
	return false
}

// group sorts the routes of tokens by expert.
func (g *groups) group(tokens []int32, routes []route, used int) {
	clear(g.starts)
	for _, t := range tokens {
		for _, r := range routes[int(t)*used:][:used] {
			g.starts[r.expert]++
		}
	}
	end := 0
	for e, n := range g.starts {
		end += n
		g.starts[e] = end
	}
	for _, t := range slices.Backward(tokens) {
		for n, r := range routes[int(t)*used:][:used] {
			g.starts[r.expert]--
			i := g.starts[r.expert]
			g.tokens[i], g.slots[i] = t, t*int32(used)+int32(n)
		}
	}
}

// expert gives an expert's entries.
func (g *groups) expert(e int) (tokens, slots []int32) {
	from, to := g.starts[e], g.starts[e+1]
	return g.tokens[from:to], g.slots[from:to]
}

// items is how many items the products of experts' tokens with ms are, in pieces of so many rows.
func (g *groups) items(ms []*kernel.Matrix, rows int) (n int) {
	for e, m := range ms {
		n += chunks(m, g.starts[e+1]-g.starts[e]) * pieces(m.Rows, rows)
	}
	return n
}

// busy is the number of experts that have a token.
func (g *groups) busy() (n int) {
	for e := range len(g.starts) - 1 {
		if g.starts[e] < g.starts[e+1] {
			n++
		}
	}
	return n
}

// expertsIn computes items of silu(gate·x) ⊙ up·x, the inputs of the down projections. Each expert's weights are used
// for all of its tokens, so that they are read from memory once.
func (w *worker) expertsIn(from, to int) {
	y := &w.m.now
	for e := range w.m.cfg.Experts {
		tokens, slots := w.m.groups.expert(e)
		from, to = w.products(y.gate[e], len(tokens), from, to, func(r0, r1, first, end int) {
			gate, stride := w.product(&w.y, y.gate[e], r0, r1, y.ffnIn, tokens[first:end])
			up, _ := w.product(&w.y2, y.up[e], r0, r1, y.ffnIn, tokens[first:end])
			all := stride * (end - first) // in one call: 32 rows of one token are too few to pay for it
			kernel.SwiGLU(gate[:all], gate[:all], up[:all])
			for j, slot := range slots[first:end] {
				y.hidden.Set(int(slot), r0, gate[j*stride:][:r1-r0])
			}
		})
	}
}

// expertsOut computes items of the down projections, each token's into its slot of out.
func (w *worker) expertsOut(from, to int) {
	m, y := w.m, &w.m.now
	for e := range m.cfg.Experts {
		_, slots := m.groups.expert(e)
		from, to = w.products(y.down[e], len(slots), from, to, func(r0, r1, first, end int) {
			y.down[e].MulAt(w.scratch, r0, r1, y.hidden, slots[first:end], m.out, m.outStride)
		})
	}
}

// addExperts adds what a token's experts of the last layer gave, times their routing weights, to its residual stream.
func (m *Model) addExperts(t int) {
	used := m.cfg.ExpertsUsed
	for n, r := range m.routes[t*used:][:used] {
		kernel.AddScaled(m.token(t), m.out[(t*used+n)*m.outStride:][:m.cfg.Dim], r.weight)
	}
}
