package quant

import "math"

// symmetricScale gives the scale d for codes −n … n−1 with the least Σ(x − d·q)², searched around the scale that maps
// the largest magnitude to −n. It may be negative: then the largest magnitude is positive.
func symmetricScale(x []float32, n int32) float32 {
	top := float32(0)
	for _, v := range x {
		if v > top && v > -top || v < top && v < -top {
			top = v
		}
	}
	if top == 0 {
		return 0
	}
	// ±0.9 codes in steps of 0.15: a wider range wins nothing measurable on Gaussian rows, a finer step less than 0.1 %.
	const steps, step = 6, 0.15
	best, bestGain := top/float32(-n), float32(-1)
	unit := invert(top)
	for i := -steps; i <= steps; i++ {
		inv := -(float32(n) + step*float32(i))
		var xq, qq float32
		for _, v := range x {
			u := v * unit // relative to top, so that no sum under- or overflows and codes stay small
			q := float32(clampCode(roundSmall(u*inv), -n, n-1))
			xq += u * q
			qq += q * q
		}
		// With d = Σxq/Σqq the squared error is Σxx − (Σxq)²/Σqq.
		if gain := xq * xq / qq; qq > 0 && gain > bestGain {
			best, bestGain = xq/qq*top, gain
		}
	}
	return best
}

// affineScale gives scale d ≥ 0 and minimum m ≥ 0 for x ≈ d·q − m with codes 0 … n: of the least-squares lines through
// the codes of several starting scales, the best.
func affineScale(x []float32, n int32) (d, m float32) {
	lo, hi := float32(0), x[0]
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
	}
	span := hi - lo
	if !(hi > lo) || span-span != 0 {
		return 0, -lo // constant and not above zero, or wider than a float32 holds
	}
	d, m = span/float32(n), -lo
	bestErr := math.Inf(1)
	unit := invert(span)
	const steps, step = 4, 0.2 // as wide as in symmetricScale; the fit moves both ends by itself
	for i := -steps; i <= steps; i++ {
		if d2, m2, err := fitLine(x, lo, unit*(float32(n)+step*float32(i)), n); err < bestErr {
			d, m, bestErr = d2, m2, err
		}
	}
	return d, m
}

// fitLine rounds (x − lo)·inv to codes and fits x ≈ d·q − m to them with d, m ≥ 0; err is the squared error with these
// codes, infinite where no such line exists.
func fitLine(x []float32, lo, inv float32, n int32) (d, m float32, err float64) {
	var sq, sqq int32
	var sx, sxx, sqx float64
	for _, v := range x {
		q := clampCode(roundSmall((v-lo)*inv), 0, n) // small: at most n + 1 before the clamp
		sq, sqq = sq+q, sqq+q*q
		w := float64(v)
		sx, sxx, sqx = sx+w, sxx+w*w, sqx+float64(q)*w
	}
	count, q1, q2 := float64(len(x)), float64(sq), float64(sqq)
	det := count*q2 - q1*q1
	if det <= 0 {
		return 0, 0, math.Inf(1)
	}
	slope := (count*sqx - q1*sx) / det
	at0 := (q2*sx - q1*sqx) / det
	if at0 > 0 {
		slope, at0 = sqx/q2, 0
	}
	if slope <= 0 {
		return 0, 0, math.Inf(1)
	}
	err = sxx + slope*slope*q2 + count*at0*at0 + 2*(slope*at0*q1-slope*sqx-at0*sx)
	return float32(slope), float32(-at0), err
}

func packQ2_K(dst []byte, src []float32) {
	var scales, mins [16]float32
	for ; len(dst) >= 84; src, dst = src[superLen:], dst[84:] {
		b := (*[84]byte)(dst)
		for g := range 16 {
			scales[g], mins[g] = affineScale(src[16*g:16*g+16], 3)
		}
		d := putScale(b[80:], maxAbs(scales[:])/15)
		dmin := putScale(b[82:], maxAbs(mins[:])/15)
		clear(b[16:80])
		for g := range 16 {
			s := nearest(scales[g]*invert(d), 0, 15)
			m := nearest(mins[g]*invert(dmin), 0, 15)
			b[g] = byte(s | m<<4)
			inv, ml := invert(d*float32(s)), dmin*float32(m)
			q, shift := b[16+g/8*32+g%2*16:], g/2%4*2
			for l, v := range src[16*g : 16*g+16] {
				q[l] |= byte(nearest((v+ml)*inv, 0, 3)) << shift
			}
		}
	}
}

func packQ3_K(dst []byte, src []float32) {
	var scales [16]float32
	for ; len(dst) >= 110; src, dst = src[superLen:], dst[110:] {
		b := (*[110]byte)(dst)
		for g := range 16 {
			scales[g] = symmetricScale(src[16*g:16*g+16], 4)
		}
		d := putScale(b[108:], symmetricScale(scales[:], 32))
		clear(b[:108])
		for g := range 16 {
			s := nearest(scales[g]*invert(d), -32, 31)
			code := byte(s + 32)
			b[96+g%8] |= code & 15 << (g / 8 * 4)
			b[104+g%4] |= code >> 4 << (g / 4 * 2)
			inv := invert(d * float32(s))
			high, q := b[g%2*16:], b[32+g/8*32+g%2*16:]
			shift, bit := g/2%4*2, g/2
			for l, v := range src[16*g : 16*g+16] {
				c := byte(nearest(v*inv, -4, 3) + 4)
				q[l] |= c & 3 << shift
				high[l] |= c >> 2 << bit
			}
		}
	}
}

// packScaleMins writes the super-scales and 6-bit scales and minima of Q4_K and Q5_K into b's first 16 bytes and gives
// each group's effective scale and minimum.
func packScaleMins(b []byte, src []float32, n int32) (scales, mins [8]float32) {
	for g := range 8 {
		scales[g], mins[g] = affineScale(src[32*g:32*g+32], n)
	}
	d := putScale(b[0:], maxAbs(scales[:])/63)
	dmin := putScale(b[2:], maxAbs(mins[:])/63)
	packed := b[4:16]
	clear(packed)
	for g := range 8 {
		s := nearest(scales[g]*invert(d), 0, 63)
		m := nearest(mins[g]*invert(dmin), 0, 63)
		scales[g], mins[g] = d*float32(s), dmin*float32(m)
		if g < 4 {
			packed[g] |= byte(s)
			packed[g+4] |= byte(m)
		} else {
			packed[g+4] |= byte(s&15 | m&15<<4)
			packed[g-4] |= byte(s >> 4 << 6)
			packed[g] |= byte(m >> 4 << 6)
		}
	}
	return scales, mins
}

func packQ4_K(dst []byte, src []float32) {
	for ; len(dst) >= 144; src, dst = src[superLen:], dst[144:] {
		b := (*[144]byte)(dst)
		scales, mins := packScaleMins(b[:], src[:superLen], 15)
		for g := range 4 {
			inv1, inv2 := invert(scales[2*g]), invert(scales[2*g+1])
			x := (*[64]float32)(src[64*g:])
			for l := range 32 {
				lo := nearest((x[l]+mins[2*g])*inv1, 0, 15)
				hi := nearest((x[l+32]+mins[2*g+1])*inv2, 0, 15)
				b[16+32*g+l] = byte(lo | hi<<4)
			}
		}
	}
}

func packQ5_K(dst []byte, src []float32) {
	for ; len(dst) >= 176; src, dst = src[superLen:], dst[176:] {
		b := (*[176]byte)(dst)
		scales, mins := packScaleMins(b[:], src[:superLen], 31)
		high := (*[32]byte)(b[16:])
		clear(high[:])
		for g := range 4 {
			inv1, inv2 := invert(scales[2*g]), invert(scales[2*g+1])
			x := (*[64]float32)(src[64*g:])
			for l := range 32 {
				lo := nearest((x[l]+mins[2*g])*inv1, 0, 31)
				hi := nearest((x[l+32]+mins[2*g+1])*inv2, 0, 31)
				b[48+32*g+l] = byte(lo&15 | hi&15<<4)
				high[l] |= byte(lo>>4|hi>>4<<1) << (2 * g)
			}
		}
	}
}

func packQ6_K(dst []byte, src []float32) {
	var scales [16]float32
	for ; len(dst) >= 210; src, dst = src[superLen:], dst[210:] {
		b := (*[210]byte)(dst)
		for g := range 16 {
			scales[g] = symmetricScale(src[16*g:16*g+16], 32)
		}
		d := putScale(b[208:], symmetricScale(scales[:], 128))
		for g := range 16 {
			b[192+g] = byte(nearest(scales[g]*invert(d), -128, 127))
		}
		for half := range 2 {
			low := (*[64]byte)(b[64*half:])
			high := (*[32]byte)(b[128+32*half:])
			x := (*[128]float32)(src[128*half:])
			var inv [8]float32
			for g := range inv {
				inv[g] = invert(d * float32(int8(b[192+8*half+g])))
			}
			for l := range 32 {
				var c [4]byte // the four quarters that share a byte of high bits
				for k := range c {
					c[k] = byte(nearest(x[l+32*k]*inv[2*k+l/16], -32, 31) + 32)
				}
				low[l] = c[0]&15 | c[2]&15<<4
				low[l+32] = c[1]&15 | c[3]&15<<4
				high[l] = c[0]>>4 | c[1]>>4<<2 | c[2]>>4<<4 | c[3]>>4<<6
			}
		}
	}
}
