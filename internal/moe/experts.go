package moe

import (
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/kernel"
)

// route normalises a token for the experts and chooses them: the ExpertsUsed highest router logits, with a softmax over
// just these as weights (arXiv:2401.04088, section 2.1).
func (w *worker) route(i int) {
	m, c, y := w.m, &w.m.cfg, &w.m.now
	t := int(y.tokens[i])
	x := w.row[:c.Dim]
	kernel.RMSNorm(x, m.token(t), y.ffnNorm, c.NormEps)
	y.ffnIn.Set(t, 0, x)
	for e, row := range y.router {
		w.scores[e] = kernel.Dot(row, x)
	}
	choose(m.routes[t*c.ExpertsUsed:][:c.ExpertsUsed], w.scores)
}

// choose fills routes with the experts of the highest scores, the lowest index among equals, and their weights. Routes are
// in the order of experts, in which they are summed. NaN scores choose some expert and make its
// weight NaN, so that the token's logits are NaN.
func choose(routes []route, scores []float32) {
	var weights [maxCount]float32
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
	kernel.Softmax(weights[:len(routes)])
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
			g.tokens[i], g.slots[i], g.weight[i] = t, t*int32(used)+int32(n), r.weight
		}
	}
}

// expert gives the range of an expert's entries.
func (g *groups) expert(e int) (from, to int) { return g.starts[e], g.starts[e+1] }

// busy is the number of experts that have a token.
func (g *groups) busy() int {
	n := 0
	for e := range len(g.starts) - 1 {
		if g.starts[e] < g.starts[e+1] {
			n++
		}
	}
	return n
}

// expertsIn computes items of the busy experts, which follow one another.
func (w *worker) expertsIn(from, to int) {
	g, ffn, rows := &w.m.groups, w.m.cfg.FFN, w.m.now.rows
	items := pieces(ffn, rows) // of an expert
	for e := range w.m.cfg.Experts {
		if g.starts[e] == g.starts[e+1] {
			continue
		}
		w.expertIn(e, max(from, 0)*rows, min(to*rows, ffn))
		from, to = from-items, to-items
	}
}

// expertIn computes silu(gate·x) ⊙ up·x, the input of the down projection, for some rows of one expert and all of its
// tokens, so that weights are read from memory once.
func (w *worker) expertIn(e, r0, r1 int) {
	if r0 >= r1 {
		return
	}
	y, g := &w.m.now, &w.m.groups
	from, to := g.expert(e)
	for each := columns(y.gate[e], to-from); from < to; from += each {
		n := min(each, to-from)
		gate, stride := w.product(&w.y, y.gate[e], r0, r1, y.ffnIn, g.tokens[from:from+n])
		up, _ := w.product(&w.y2, y.up[e], r0, r1, y.ffnIn, g.tokens[from:from+n])
		all := stride * n // in one call: 64 rows of one token are too few to pay for it
		kernel.SwiGLU(gate[:all], gate[:all], up[:all])
		for j, slot := range g.slots[from : from+n] {
			y.hidden.Set(int(slot), r0, gate[j*stride:][:r1-r0])
		}
	}
}

// expertsOut adds some rows of the experts' down projections, times the routing weights, to the residual stream. They
// are of all experts: a sum has one worker and the order of experts.
func (w *worker) expertsOut(from, to int) {
	m, y, g := w.m, &w.m.now, &w.m.groups
	r0, r1 := from*y.rows, min(to*y.rows, m.cfg.Dim)
	for e := range m.cfg.Experts {
		from, to := g.expert(e)
		if from == to {
			continue
		}
		for each := columns(y.down[e], to-from); from < to; from += each {
			n := min(each, to-from)
			out, stride := w.product(&w.y, y.down[e], r0, r1, y.hidden, g.slots[from:from+n])
			for j, t := range g.tokens[from : from+n] {
				kernel.AddScaled(m.token(int(t))[r0:r1], out[j*stride:][:r1-r0], g.weight[from+j])
			}
		}
	}
}
