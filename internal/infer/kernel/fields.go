package kernel

import "github.com/hxp-enterprise/mixtral/internal/infer/quant"

// field says where four quads of 32 rows are in a packed block: a bit field of each byte of four planes, and perhaps a
// second one that goes above it.
type field struct {
	low, high           int    // offsets of the planes
	lowShift, highShift uint   // of the fields, to the right
	lowMask, highMask   uint32 // after that
	up                  uint   // of the second field, to the left
	lowStep             int    // from quad to quad, of low; 0: a plane
	highStep, shiftStep int    // of high and highShift
}

// The fields of a word's four bytes.
const (
	low1 = 0x01010101
	low2 = 0x03030303
	low4 = 0x0f0f0f0f
	all8 = 0xffffffff
)

// fields lists a block's fields in the order of k, with the shift that takes −128·Σq to what a sum of products starts
// from: the formats' integers are unsigned, with an offset of 128 >> shift.
type fields struct {
	quads []field
	shift uint
}

var fieldsOf = map[quant.Type]fields{
	quant.Q8_0: {quads: []field{{low: halfPlane, lowMask: all8}, {low: halfPlane + 4*plane, lowMask: all8}}},
	quant.Q4_0: {quads: []field{{low: halfPlane, lowMask: low4}, {low: halfPlane, lowShift: 4, lowMask: low4}},
		shift: 4},
	quant.Q5_0: {quads: []field{
		{low: halfPlane + plane, lowMask: low4, high: halfPlane, highMask: low1, up: 4, shiftStep: 1},
		{low: halfPlane + plane, lowShift: 4, lowMask: low4, high: halfPlane, highShift: 4, highMask: low1, up: 4,
			shiftStep: 1},
	}, shift: 3},
	quant.Q4_1: {quads: []field{{low: plane, lowMask: low4}, {low: plane, lowShift: 4, lowMask: low4}}},
	quant.Q5_1: {quads: []field{
		{low: 2 * plane, lowMask: low4, high: plane, highMask: low1, up: 4, shiftStep: 1},
		{low: 2 * plane, lowShift: 4, lowMask: low4, high: plane, highShift: 4, highMask: low1, up: 4, shiftStep: 1},
	}},
	// numbers of points of the curve
	quant.IQ4_NL: {quads: []field{{low: halfPlane, lowMask: low4}, {low: halfPlane, lowShift: 4, lowMask: low4}}},
	quant.IQ4_XS: {quads: nibbleFields(2 * plane)},
	quant.Q2_K: {quads: superFields(1, func(t int) field {
		return field{low: (5 + t/4*8) * plane, lowShift: uint(t % 4 * 2), lowMask: low2}
	})},
	quant.Q3_K: {quads: superFields(3, func(t int) field {
		return field{low: halfPlane + (4+t/4)*plane, lowShift: uint(t % 4 * 2), lowMask: low2,
			high: halfPlane + 3*plane, highShift: uint(t), highMask: low1, up: 2}
	}), shift: 5},
	quant.Q4_K: {quads: superFields(1, func(t int) field {
		return field{low: (4 + t/2*8) * plane, lowShift: uint(t % 2 * 4), lowMask: low4}
	})},
	quant.Q5_K: {quads: superFields(5, func(t int) field {
		return field{low: (5 + t/2) * plane, lowShift: uint(t % 2 * 4), lowMask: low4, high: 4 * plane,
			highShift: uint(t), highMask: low1, up: 4}
	})},
	quant.Q6_K: {quads: superFields(3, func(t int) field {
		return field{low: halfPlane + (4+t/4*24+t%2)*plane, lowShift: uint(t % 4 / 2 * 4), lowMask: low4,
			high: halfPlane + (6+t/4*24)*plane, highShift: uint(t % 4 * 2), highMask: low2, up: 4}
	}), shift: 2},
}

// nibbleFields gives the sixteen fields of a super-block whose runs of 32 are each four planes from byte at on.
func nibbleFields(at int) []field {
	var all []field
	for g := range 8 {
		low := at + 4*g*plane
		all = append(all, field{low: low, lowMask: low4}, field{low: low, lowShift: 4, lowMask: low4})
	}
	return all
}

// superFields gives the sixteen fields of a super-block whose runs of 32, eight planes each, begin as run says. From
// quad to quad, step planes are passed.
func superFields(step int, run func(t int) field) []field {
	var all []field
	for t := range 8 {
		f := run(t)
		f.lowStep, f.highStep = step*plane, step*plane
		all = append(all, f)
		f.low += 4 * f.lowStep
		f.high += 4 * f.highStep
		all = append(all, f)
	}
	return all
}
