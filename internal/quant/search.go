package quant

import "math"

// Lanes is how many scales are tried together: two AVX2 vectors, one of AVX-512.
const Lanes = 16

// Trial is a set of scales to try on a group of elements: lane k gives element x the code
//
//	q = round(x·Inv[k] + Off[k]) within Lo … Hi
//
// (two roundings, so that every implementation has the same codes), and a Try function sums w·q, w·q² and w·q·x of all
// elements. The squared error of any scale and offset with these codes follows from the sums.
type Trial struct {
	Inv, Off [Lanes]float32
	Lo, Hi   float32
	Q        [Lanes]float32 // Σ w·q
	QQ       [Lanes]float32 // Σ w·q·q
	QX       [Lanes]float32 // Σ w·q·x
}

// Try is the specification of a Try function: x and w have the same length; each lane is summed in the order of the elements, products rounded
// before they are added.
func Try(t *Trial, x, w []float32) {
	w = w[:len(x)]
	for k := range Lanes {
		inv, off, lo, hi := t.Inv[k], t.Off[k], t.Lo, t.Hi
		var q1, q2, qx float32
		for i, v := range x {
			y := float32(v*inv) + off
			if !(y > lo) { // a NaN, too
				y = lo
			} else if y > hi {
				y = hi
			}
			y = roundFloat(y)
			wq := w[i] * y
			q1 += wq
			q2 += float32(wq * y)
			qx += float32(wq * v)
		}
		t.Q[k], t.QQ[k], t.QX[k] = q1, q2, qx
	}
}

// roundFloat rounds |x| < 2²² to the nearest integer, ties to even.
func roundFloat(x float32) float32 {
	const magic = 12582912 // 1.5·2²³: the sum's last mantissa bit is worth one
	return float32(x+magic) - magic
}

// symmetric finds the scale d for codes −n … n−1 that leaves the least Σ w·(x − d·q)²: of the least-squares scales through the
// codes of many starting scales, the best. It may be negative: then the largest magnitude is positive.
func (p *Packer) symmetric(x, w []float32, n int32) float32 {
	top := extreme(x)
	if top == 0 {
		return 0
	}
	t := &p.trial
	t.Lo, t.Hi = float32(-n), float32(n-1)
	unit := invert(top)
	// Thirteen scales map the largest magnitude to −n − 0.9 … −n + 0.9, the side that has a code more; three map it to the other
	// side's end. A wider range wins nothing measurable on Gaussian groups, a finer step less than 0.1 %.
	for k := range 13 {
		t.Inv[k] = -(float32(n) + 0.15*float32(k-6)) * unit
	}
	for k := range 3 {
		t.Inv[13+k] = (float32(n-1) + 0.3*float32(k)) * unit
	}
	t.Off = [Lanes]float32{}
	p.try(t, x, w)
	best := 0
	for k := 1; k < Lanes; k++ {
		// With d = Σwqx/Σwqq the squared error is Σwxx − (Σwqx)²/Σwqq: compared without dividing.
		if t.QX[k]*t.QX[k]*t.QQ[best] > t.QX[best]*t.QX[best]*t.QQ[k] {
			best = k
		}
	}
	if t.QQ[best] > 0 {
		return t.QX[best] / t.QQ[best]
	}
	return top / float32(-n)
}

// extreme gives the finite element of largest magnitude.
func extreme(x []float32) float32 {
	most, at := uint32(0), 0
	for i, v := range x {
		// Magnitudes are ordered like their bits; integers compare without a branch.
		if m := math.Float32bits(v) << 1; m > most {
			most, at = m, i
		}
	}
	return x[at]
}

func magnitude(x []float32) float32 { return float32(math.Abs(float64(extreme(x)))) }

// moments are a group's sums that do not depend on codes.
type moments struct{ w, x, xx float32 }

func weigh(x, w []float32) (m moments) {
	w = w[:len(x)]
	for i, v := range x {
		m.w += w[i]
		wx := w[i] * v
		m.x += wx
		m.xx += wx * v
	}
	return m
}

// err is Σ w·(x − d·q + m)² with the codes of lane k.
func (s moments) err(t *Trial, k int, d, m float32) float32 {
	return s.xx + d*(d*t.QQ[k]-2*t.QX[k]-2*m*t.Q[k]) + m*(m*s.w+2*s.x)
}

// line finds scale d ≥ 0 and minimum m ≥ 0 for x ≈ d·q − m with codes 0 … n: of the least-squares lines through the codes of
// many starting scales the best, which in turn gives new codes, and so on.
func (p *Packer) line(x, w []float32, s moments, n int32) (d, m float32) {
	lo, hi := float32(0), x[0]
	for _, v := range x {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	if !(hi > lo) {
		return 0, -lo // constant and not above zero
	}
	d, m = (hi-lo)/float32(n), -lo
	t := &p.trial
	t.Lo, t.Hi = 0, float32(n)
	least := float32(math.Inf(1))
	unit := invert(hi - lo)
	// First as wide as in symmetric, with the lowest element at code 0; then around the best so far, whose ends lie where they may.
	for k := range Lanes {
		t.Inv[k] = (float32(n) + 0.12*float32(k-9)) * unit
		t.Off[k] = -lo * t.Inv[k]
	}
	for range 2 {
		p.try(t, x, w)
		for k := range Lanes {
			d2, m2, ok := s.fit(t, k)
			if !ok {
				continue
			}
			if e := s.err(t, k, d2, m2); e < least {
				d, m, least = d2, m2, e
			}
		}
		inv := invert(d)
		for k := range Lanes {
			t.Inv[k] = inv * (1 + 0.02*float32(k-8))
			t.Off[k] = m * t.Inv[k]
		}
	}
	return d, m
}

// fit gives the least-squares line through lane k's codes under d > 0 and m ≥ 0; ok is false where there is none.
func (s moments) fit(t *Trial, k int) (d, m float32, ok bool) {
	q, qq, qx := t.Q[k], t.QQ[k], t.QX[k]
	det := s.w*qq - q*q
	if !(det > 0) {
		return 0, 0, false
	}
	d = (s.w*qx - q*s.x) / det
	m = (q*qx - qq*s.x) / det
	if m < 0 {
		d, m = qx/qq, 0
	}
	return d, m, d > 0
}
