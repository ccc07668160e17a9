package quant

import (
	"fmt"
	"math"
	"sync"
)

// Packer packs rows as Pack does, and knows two things more: how much each column matters, and faster inner loops. It
// holds scratch, so it is for one goroutine.
type Packer struct {
	arithmetic Arithmetic

	trial Trial
	// a block in units of its element of largest magnitude, so that no sum over- or underflows
	x      [superLen]float32
	w      [superLen]float32 // the weights of its elements
	codes  [superLen]byte
	grid   grid
	column []float32 // the weights of a row's columns; nil: ones
}

// NewPacker gives a packer; a nil Arithmetic means Portable.
func NewPacker(a Arithmetic) *Packer {
	if a == nil {
		a = Portable{}
	}
	return &Packer{arithmetic: a}
}

var packers = sync.Pool{New: func() any { return NewPacker(nil) }}

// leastImportance keeps columns alive that the calibration text never used: their weights get what precision costs
// nothing elsewhere.
const leastImportance = 1e-3

// Pack encodes src, whole rows, into dst: see the function Pack. importance, if not nil, has an entry for each column
// of a row, ≥ 0 and finite: how much a squared error there counts, such as the mean square of the activation that the
// column is multiplied with. It is scaled to a mean of 1.
func (p *Packer) Pack(t Type, dst []byte, src, importance []float32) error {
	f, err := check(t, len(dst), len(src))
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if !t.Writable() {
		return fmt.Errorf("pack: %w: %s can be read, not written", ErrType, f.name)
	}
	if !f.any {
		if i := notFinite(src); i >= 0 {
			return fmt.Errorf("pack: %w: element %d is %v", ErrNotFinite, i, src[i])
		}
	}
	if f.pack != nil {
		f.pack(dst, src)
		return nil
	}
	if err := p.weights(importance, len(src), f.elems); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	for at := 0; at < len(src); at += f.elems {
		if p.column != nil {
			copy(p.w[:f.elems], p.column[at%len(p.column):])
		}
		f.block(p, dst[at/f.elems*f.bytes:][:f.bytes], src[at:at+f.elems])
	}
	return nil
}

// weights sets p up for one row's importance.
func (p *Packer) weights(importance []float32, n, block int) error {
	p.column = p.column[:0]
	sum := 0.0
	for i, v := range importance {
		if !(v >= 0) || v-v != 0 {
			return fmt.Errorf("%w: importance of column %d is %v", ErrNotFinite, i, v)
		}
		sum += float64(v)
	}
	if sum == 0 { // none given, or all alike
		p.column = nil
		return nil
	}
	if len(importance)%block != 0 || n%len(importance) != 0 {
		return fmt.Errorf("%w: importance of %d columns for %d elements in blocks of %d", ErrLength, len(importance),
			n, block)
	}
	scale := float64(len(importance)) / sum
	for _, v := range importance {
		p.column = append(p.column, max(float32(float64(v)*scale), leastImportance))
	}
	return nil
}

// weight gives the weights of count elements of the block from at on; nil for ones.
func (p *Packer) weight(at, count int) []float32 {
	if p.column == nil {
		return nil
	}
	return p.w[at : at+count]
}

// notFinite gives the index of the first NaN or infinity, or −1.
func notFinite(x []float32) int {
	const exponent = 0x7f800000
	any := uint32(0)
	for _, v := range x {
		// carries into the top bit from the exponent on that only they have
		any |= math.Float32bits(v)&^(1<<31) + (1<<31 - exponent)
	}
	if any>>31 == 0 {
		return -1
	}
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// normalise fills p.x with a block in units of top, its largest magnitude or its element of that magnitude: 1 at most.
func (p *Packer) normalise(src []float32, top float32) {
	p.arithmetic.Scale(p.x[:len(src)], src, invert(top))
}

// code fills p.codes from at on with round(x·inv + off) within 0 … n.
func (p *Packer) code(at, count int, inv, off float32, n int32) {
	x, codes := p.x[at:at+count], p.codes[at:at+count]
	const safe = 1 << 20 // with |x| ≤ 1 every sum stays where roundSmall works
	if inv > -safe && inv < safe && off > -safe && off < safe {
		p.arithmetic.Code(codes, x, inv, off, n)
		return
	}
	for i, v := range x { // a scale that binary16 could not hold
		y := float32(v*inv) + off
		if !(y > 0) {
			y = 0
		}
		codes[i] = byte(roundSmall(min(y, float32(n))))
	}
}
