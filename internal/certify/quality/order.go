package quality

import (
	"math"
	"math/rand/v2"
)

// maxOrdered bounds the units whose order is scored. Permuting more costs time and adds no evidence.
const maxOrdered = 40

// permutations is the number of random orders per judgement. With fewer than 100 the mean of their weights is too
// inexact.
const permutations = 150

// ordering scores whether the sentences, or the lines of a poem, are in an order that a writer would choose. The
// features of cues.go give every order a log-weight. The evidence is the logarithm of this order's weight divided by
// the mean weight of random orders of the same sentences. Without any features it is 0, and the part is neutral.
func ordering(d *doc) Part {
	units := d.units()
	if len(units) < 3 || !ordered(d.form) {
		return part(Coherence, "order", 1, "no order to score in %d sentences", len(units))
	}
	m := newOrderModel(d, units)
	lr := m.evidence(&orderWeights)
	return part(Coherence, "order", orderValue(lr),
		"this order of %d sentences is %.2g times as likely as a random one", len(units), math.Exp(lr))
}

// orderDoubt is the evidence, in nats, below which an order alone makes an answer fail. It was chosen on the
// development half, so that few good answers fail.
const orderDoubt = -1.3

// orderNeutral is the value without evidence. Text with few features is more often good than shuffled.
const orderNeutral = 0.88

// orderValue maps evidence to a value. At orderDoubt it is 0.4, at which an otherwise perfect answer just passes; at 0
// it is orderNeutral; and at the largest evidence that the permutations can show it is 1.
func orderValue(lr float64) float64 {
	switch {
	case lr < orderDoubt:
		return 0.4 * ramp(lr, orderDoubt-3, orderDoubt)
	case lr < 0:
		return 0.4 + (orderNeutral-0.4)*ramp(lr, orderDoubt, 0)
	}
	return orderNeutral + (1-orderNeutral)*ramp(lr, 0, math.Log(permutations+1))
}

// evidence is log(weight of the actual order ÷ mean weight of random orders), in nats.
func (m *orderModel) evidence(w *[orderFeatures]float64) float64 {
	m.weigh(w)
	n := len(m.units)
	at := make([]int, n)
	for i := range at {
		at[i] = i
	}
	actual := m.total(at)
	rng := rand.New(rand.NewPCG(1, uint64(n))) // fixed, so that the same text has the same score
	logs := make([]float64, permutations)
	most := actual
	for p := range logs {
		rng.Shuffle(n, func(i, j int) { at[i], at[j] = at[j], at[i] })
		logs[p] = m.total(at)
		most = math.Max(most, logs[p])
	}
	sum := math.Exp(actual - most) // the actual order is one of the orders
	for _, x := range logs {
		sum += math.Exp(x - most)
	}
	return actual - most - math.Log(sum/(permutations+1))
}

// weigh adds up the weighted features for each place, each pair of neighbours and each pair in general.
func (m *orderModel) weigh(w *[orderFeatures]float64) {
	n := len(m.units)
	m.first, m.last = make([]float64, n), make([]float64, n)
	m.next, m.skip, m.before = make([]float64, n*n), make([]float64, n*n), make([]float64, n*n)
	m.each(func(slot []float64, f int, v float64, at int) { slot[at] += w[f] * v })
}

// each calls add for every feature, with the table, the feature, its value and the index in the table.
func (m *orderModel) each(add func(slot []float64, f int, v float64, at int)) {
	n := len(m.units)
	for i := range m.units {
		m.firstFeatures(i, func(f int, v float64) { add(m.first, f, v, i) })
		m.lastFeatures(i, func(f int, v float64) { add(m.last, f, v, i) })
		for j := range m.units {
			if i != j {
				if m.verse {
					m.skipFeatures(i, j, func(f int, v float64) { add(m.skip, f, v, i*n+j) })
				}
				m.nextFeatures(i, j, func(f int, v float64) { add(m.next, f, v, i*n+j) })
				m.beforeFeatures(i, j, func(f int, v float64) { add(m.before, f, v, i*n+j) })
			}
		}
	}
}

// total is the log-weight of an order. at[k] is the unit at place k.
func (m *orderModel) total(at []int) float64 {
	n := len(at)
	sum := m.first[at[0]] + m.last[at[n-1]]
	for k := 1; k < n; k++ {
		sum += m.next[at[k-1]*n+at[k]]
		if k > 1 {
			sum += m.skip[at[k-2]*n+at[k]]
		}
	}
	for k, i := range at {
		row := m.before[i*n : (i+1)*n]
		for _, j := range at[k+1:] {
			sum += row[j]
		}
	}
	return sum
}
