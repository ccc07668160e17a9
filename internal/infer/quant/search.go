package quant

import "math"

// Lanes is how many scales a Trial tries together: those of an AVX2 vector.
const Lanes = 8

// Trial is a set of scales to try on a group of elements: lane k gives element x the code
//
//	q = round(x·Inv[k] + Off[k]) within Lo … Hi
//
// (two roundings, so that every implementation has the same codes), and Try sums w·q, w·q² and w·q·x of all elements.
// The squared error of any scale and offset with these codes follows from the sums.
type Trial struct {
	Inv, Off [Lanes]float32
	Lo, Hi   float32
	Q        [Lanes]float32 // Σ w·q
	QQ       [Lanes]float32 // Σ w·q·q
	QX       [Lanes]float32 // Σ w·q·x
}

// Arithmetic is the inner loops of packing. Another implementation must give the same bits, or files would depend on
// the machine that made them.
type Arithmetic interface {
	// Try fills in the sums. x and w have the same length, at least 1, or w is nil for ones; each lane is summed in
	// the order of the elements, products rounded before they are added.
	Try(t *Trial, x, w []float32)
	// Best gives the lane whose codes leave the least squared error under the scale d that suits them best, as
	// Portable.Best does.
	Best(t *Trial) int
	// Extreme gives the element of largest magnitude, the first of several. len(x) is a multiple of 8; x is finite.
	Extreme(x []float32) float32
	// Scale sets dst to src times by. Lengths are equal, and multiples of 8.
	Scale(dst, src []float32, by float32)
	// Code sets codes to round(x·inv + off) within 0 … most; no sum before the rounding is beyond ±2²¹. len(x) is a
	// multiple of 8.
	Code(codes []byte, x []float32, inv, off float32, most int32)
}

var ones = func() (w [superLen]float32) {
	for i := range w {
		w[i] = 1
	}
	return w
}()

// Portable is the Arithmetic in plain Go, and its specification.
type Portable struct{}

// Try is the specification of Arithmetic.Try.
func (Portable) Try(t *Trial, x, w []float32) {
	if w == nil {
		w = ones[:]
	}
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

// Best is the specification of Arithmetic.Best. With d = Σwqx/Σwqq the error is Σwx² − (Σwqx)²/Σwqq: the largest gain
// wins. Gains are positive, so they are ordered like their bits, whose last three make room for the lane. Codes that
// are all 0 gain nothing.
func (Portable) Best(t *Trial) int {
	most := uint32(0)
	for k := range uint32(Lanes) {
		gain := float32(t.QX[k]*t.QX[k]) / (t.QQ[k] + leastSum)
		most = max(most, math.Float32bits(gain)&^(Lanes-1)|k)
	}
	return int(most & (Lanes - 1))
}

const leastSum = 1e-30 // nothing beside any sum of squares of codes

// Extreme is the specification of Arithmetic.Extreme.
func (Portable) Extreme(x []float32) float32 { return extreme(x) }

// Scale is the specification of Arithmetic.Scale.
func (Portable) Scale(dst, src []float32, by float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = v * by
	}
}

// Code is the specification of Arithmetic.Code.
func (Portable) Code(codes []byte, x []float32, inv, off float32, most int32) {
	codes = codes[:len(x)]
	for i, v := range x {
		codes[i] = byte(clampCode(roundSmall(float32(v*inv)+off), 0, most))
	}
}

// roundFloat rounds |x| < 2²² to the nearest integer, ties to even.
func roundFloat(x float32) float32 {
	const magic = 12582912 // 1.5·2²³: the sum's last mantissa bit is worth one
	return float32(x+magic) - magic
}

// symmetric finds the scale d for codes −n … n−1 that leaves the least Σ w·(x − d·q)²: of the least-squares scales
// through the codes of many starting scales, the best. It may be negative: then the largest magnitude is positive.
// top is x's element of largest magnitude.
func (p *Packer) symmetric(x, w []float32, top float32, n int32) float32 {
	if top == 0 {
		return 0
	}
	t := &p.trial
	t.Lo, t.Hi = float32(-n), float32(n-1)
	unit := invert(top)
	// Seven scales around the one that maps the largest magnitude to −n, the side that has a code more; one maps it
	// to the other side's end. More of them, wider or closer, win less than 0.5 % on Gaussian groups. The more codes,
	// the wider: there roundings decide, not clipping.
	step := 0.3 * float32(max(n/16, 1))
	for k := range Lanes - 1 {
		t.Inv[k] = -(float32(n) + step*float32(k-3)) * unit
	}
	t.Inv[Lanes-1] = (float32(n-1) + 0.4) * unit
	t.Off = [Lanes]float32{}
	p.arithmetic.Try(t, x, w)
	best := p.arithmetic.Best(t)
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

func (p *Packer) magnitude(x []float32) float32 {
	return float32(math.Abs(float64(p.arithmetic.Extreme(x))))
}

// moments are a group's sums that do not depend on codes.
type moments struct{ w, x, xx float32 }

func weigh(x, w []float32) (m moments) {
	if w == nil {
		for _, v := range x {
			m.x += v
			m.xx += v * v
		}
		m.w = float32(len(x))
		return m
	}
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

// line finds scale d ≥ 0 and minimum m ≥ 0 for x ≈ d·q − m with codes 0 … n: of the least-squares lines through the
// codes of many starting scales the best, which in turn gives new codes, and so on.
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
	unit := invert(hi - lo)
	// First about as wide as in symmetric, with the lowest element at code 0; then around the best, whose ends lie
	// where they may.
	for k := range Lanes {
		t.Inv[k] = (float32(n) + 0.22*float32(k-5)) * unit
		t.Off[k] = -lo * t.Inv[k]
	}
	least := float32(math.Inf(1))
	for round := range 2 {
		p.arithmetic.Try(t, x, w)
		best := -1
		for k := range Lanes {
			if e, ok := s.least(t, k); ok && e < least {
				best, least = k, e
			}
		}
		if best >= 0 {
			d, m = s.fit(t, best)
		}
		if inv := invert(d); round == 0 {
			for k := range Lanes {
				t.Inv[k] = inv * (1 + 0.03*float32(k-4))
				t.Off[k] = m * t.Inv[k]
			}
		}
	}
	return d, m
}

// least is the squared error of the best line through lane k's codes with d > 0 and m ≥ 0, less Σ w·x²; ok is false
// where there is none.
func (s moments) least(t *Trial, k int) (e float32, ok bool) {
	q, qq, qx := t.Q[k], t.QQ[k], t.QX[k]
	det := s.w*qq - q*q
	if !(det > 0) || !(qx > 0 || s.w*qx > q*s.x) {
		return 0, false
	}
	if q*qx < qq*s.x { // m would be negative
		return -qx * qx / qq, qx > 0
	}
	return -(s.x*(s.x*qq-2*q*qx) + s.w*qx*qx) / det, s.w*qx > q*s.x
}

// fit gives that line.
func (s moments) fit(t *Trial, k int) (d, m float32) {
	q, qq, qx := t.Q[k], t.QQ[k], t.QX[k]
	if q*qx < qq*s.x {
		return qx / qq, 0
	}
	det := 1 / (s.w*qq - q*q)
	return (s.w*qx - q*s.x) * det, (q*qx - qq*s.x) * det
}
