package quant

// The K packers work on p.x, a super-block in units of its largest magnitude. They find the best scale (and minimum)
// of each group for itself, then the super-scales, and then for each group those small integers that leave the least
// error with these.

// grid is what a super-block's groups got: at most 16 of them.
type grid struct {
	scale, min [16]float32 // as found, then as stored
	s, m       [16]int32   // the integers under the super-scales
	sums       [16]moments
}

// affine fits groups of size elements with x ≈ d·s·q − dmin·m, codes q of 0 … n and integers s and m of 0 … most. It
// stores d and dmin, and leaves the rest in p.grid and p.codes.
func (p *Packer) affine(d, dmin []byte, src []float32, size int, n, most int32) {
	top, g := p.magnitude(src), &p.grid // minima are positive, so the unit must be
	p.normalise(src, top)
	unit, groups := invert(top), superLen/size
	for i := range groups {
		x, w := p.x[size*i:size*(i+1)], p.weight(size*i, size)
		g.sums[i] = weigh(x, w)
		g.scale[i], g.min[i] = p.line(x, w, g.sums[i], n)
	}
	du := putScale(d, extreme(g.scale[:groups])/float32(most)*top) * unit
	mu := putScale(dmin, extreme(g.min[:groups])/float32(most)*top) * unit
	for i := range groups {
		p.settle(i, size, du, mu, n, most)
	}
}

// settle chooses group i's integers under the super-scales du and mu, and its codes.
func (p *Packer) settle(i, size int, du, mu float32, n, most int32) {
	g, t := &p.grid, &p.trial
	du1 := invert(du)
	s0 := nearest(g.scale[i]*du1, 0, most)
	m0 := nearest(g.min[i]*invert(mu), 0, most)
	var ds, ms [3]int32
	for k := range int32(3) {
		ds[k], ms[k] = clampCode(s0+k-1, 0, most), clampCode(m0+k-1, 0, most)
	}
	// All nine pairs but one corner: eight lanes.
	for k := range Lanes {
		t.Inv[k] = du1 * reciprocal[ds[k%3]]
		t.Off[k] = mu * float32(ms[k/3]) * t.Inv[k]
	}
	t.Lo, t.Hi = 0, float32(n)
	p.arithmetic.Try(t, p.x[size*i:size*(i+1)], p.weight(size*i, size))
	best := 0
	var least float32
	for k := range Lanes {
		if e := g.sums[i].err(t, k, du*float32(ds[k%3]), mu*float32(ms[k/3])); k == 0 || e < least {
			best, least = k, e
		}
	}
	g.s[i], g.m[i] = ds[best%3], ms[best/3]
	p.code(size*i, size, t.Inv[best], t.Off[best], n)
}

// reciprocal is 1/s of the integers that scales are stored as, and 0 of 0: a zero scale makes every code the code of
// zero.
var reciprocal = func() (r [129]float32) {
	for s := 1; s < len(r); s++ {
		r[s] = 1 / float32(s)
	}
	return r
}()

// scaled fits groups of 16 elements with x ≈ d·s·q, codes q of −n … n−1 and integers s of lo … hi. It stores d, and
// leaves the rest in p.grid and, counted from −n, in p.codes.
func (p *Packer) scaled(d []byte, src []float32, n, lo, hi int32) {
	const size = 16
	top, g := p.arithmetic.Extreme(src), &p.grid
	p.normalise(src, top)
	for i := range 16 {
		x := p.x[size*i : size*(i+1)]
		g.scale[i] = p.symmetric(x, p.weight(size*i, size), p.arithmetic.Extreme(x), n)
	}
	// The largest scale becomes lo, which is the end with one more.
	du := putScale(d, extreme(g.scale[:])/float32(lo)*top) * invert(top)
	du1 := invert(du)
	t := &p.trial
	t.Lo, t.Hi = float32(-n), float32(n-1)
	t.Off = [Lanes]float32{}
	for i := range 16 {
		x, w := p.x[size*i:size*(i+1)], p.weight(size*i, size)
		s0 := nearest(g.scale[i]*du1, lo, hi)
		var s [Lanes]int32
		for k := range int32(Lanes) {
			s[k] = clampCode(s0+k-Lanes/2, lo, hi)
			t.Inv[k] = du1 * reciprocal[max(s[k], -s[k])]
			if s[k] < 0 {
				t.Inv[k] = -t.Inv[k]
			}
		}
		p.arithmetic.Try(t, x, w)
		best := 0
		var gain float32
		for k := range Lanes {
			ds := du * float32(s[k])
			if e := ds * (2*t.QX[k] - ds*t.QQ[k]); k == 0 || e > gain {
				best, gain = k, e
			}
		}
		g.s[i] = s[best]
		p.code(size*i, size, t.Inv[best], float32(n), 2*n-1)
	}
}

func packQ2_K(p *Packer, dst []byte, src []float32) {
	b := (*[84]byte)(dst)
	p.affine(b[80:82], b[82:84], src, 16, 3, 15)
	clear(b[16:80])
	for g := range 16 {
		b[g] = byte(p.grid.s[g] | p.grid.m[g]<<4)
		q, shift := b[16+g/8*32+g%2*16:], g/2%4*2
		for l, c := range p.codes[16*g : 16*g+16] {
			q[l] |= c << shift
		}
	}
}

func packQ3_K(p *Packer, dst []byte, src []float32) {
	b := (*[110]byte)(dst)
	p.scaled(b[108:110], src, 4, -32, 31)
	clear(b[:108])
	for g := range 16 {
		s := byte(p.grid.s[g] + 32)
		b[96+g%8] |= s & 15 << (g / 8 * 4)
		b[104+g%4] |= s >> 4 << (g / 4 * 2)
		high, q := b[g%2*16:], b[32+g/8*32+g%2*16:]
		shift, bit := g/2%4*2, g/2
		for l, c := range p.codes[16*g : 16*g+16] {
			q[l] |= c & 3 << shift
			high[l] |= c >> 2 << bit
		}
	}
}

// packScaleMins writes the 6-bit scales and minima of Q4_K and Q5_K.
func packScaleMins(packed *[12]byte, g *grid) {
	clear(packed[:])
	for i := range 8 {
		s, m := byte(g.s[i]), byte(g.m[i])
		if i < 4 {
			packed[i] |= s
			packed[i+4] |= m
		} else {
			packed[i+4] |= s&15 | m&15<<4
			packed[i-4] |= s >> 4 << 6
			packed[i] |= m >> 4 << 6
		}
	}
}

func packQ4_K(p *Packer, dst []byte, src []float32) {
	b := (*[144]byte)(dst)
	p.affine(b[0:2], b[2:4], src, 32, 15, 63)
	packScaleMins((*[12]byte)(b[4:]), &p.grid)
	for g := range 4 {
		q, c := (*[32]byte)(b[16+32*g:]), (*[64]byte)(p.codes[64*g:])
		for l := range q {
			q[l] = c[l] | c[l+32]<<4
		}
	}
}

func packQ5_K(p *Packer, dst []byte, src []float32) {
	b := (*[176]byte)(dst)
	p.affine(b[0:2], b[2:4], src, 32, 31, 63)
	packScaleMins((*[12]byte)(b[4:]), &p.grid)
	high := (*[32]byte)(b[16:])
	clear(high[:])
	for g := range 4 {
		q, c := (*[32]byte)(b[48+32*g:]), (*[64]byte)(p.codes[64*g:])
		for l := range q {
			q[l] = c[l]&15 | c[l+32]&15<<4
			high[l] |= (c[l]>>4 | c[l+32]>>4<<1) << (2 * g)
		}
	}
}

func packQ6_K(p *Packer, dst []byte, src []float32) {
	b := (*[210]byte)(dst)
	p.scaled(b[208:210], src, 32, -128, 127)
	for g := range 16 {
		b[192+g] = byte(int8(p.grid.s[g]))
	}
	for half := range 2 {
		low, high, c := (*[64]byte)(b[64*half:]), (*[32]byte)(b[128+32*half:]), (*[128]byte)(p.codes[128*half:])
		for l := range high { // the four quarters share a byte of high bits
			low[l] = c[l]&15 | c[l+64]&15<<4
			low[l+32] = c[l+32]&15 | c[l+96]&15<<4
			high[l] = c[l]>>4 | c[l+32]>>4<<2 | c[l+64]>>4<<4 | c[l+96]>>4<<6
		}
	}
}
