package main

import "strings"

// about is what the head of each file says; the generator's own comments have the details.
func (o *output) about() string {
	float := strings.HasSuffix(o.name, "16") || o.name == "F32"
	k := strings.HasSuffix(o.name, "_K")
	zmm := o.tier == "avx512"
	var s string
	switch {
	case o.name == "grid":
		return aboutGrid[o.tier]
	case o.name == "spread":
		return aboutSpread
	case o.name == "single":
		return aboutSingle
	case o.name == "":
		return "What the integer peak of the tier is measured with."
	case zmm:
		s = `
A tile is 32 rows × n columns, n = 1 … 6: a row a lane, so that a broadcast of four activations feeds two VPDPBUSD.
SI is the argument (type tile), BX the buffer, DI walks the weights, AX the activations, R8 … R13 are the columns.
Z0 … Z11 are sums of integers, Z12 … Z23 of floats, Z24 and Z25 weights, Z26 activations.`
	case o.name == "Q8_0" && o.tier == "avx2":
		s = `
A tile is 16 rows × n columns, n = 2 … 4. Products of bytes do not fit into 16 bits: VPMADDWD multiplies words. Weights
are unpacked to words in the buffer once for many columns; few columns are multiplied as their weights are unpacked. SI
is the argument (type tile), BX the buffer, DI walks the weights, AX the activations, R8 … R11 are the columns. Y0 … Y3
are weights, Y4 and Y5 activations, Y6 and Y7 products, Y8 … Y15 sums.`
	case float:
		s = `
A tile is 32 rows × n columns, n = 1 … 3. SI is the argument (type tile), DI walks the weights, AX the activations,
R8 … R10 are the columns. Y0 … Y11 are sums, Y12 … Y14 activations, Y15 weights.`
	default:
		s = `
A tile is 16 rows × n columns, n = 2 … 6, of weights that are unpacked in the buffer once for all columns. A single
column is multiplied as its weights are unpacked. SI is the argument (type tile), BX the buffer, DI walks the
weights, AX the activations, R8 … R13 are the columns. Y0 … Y11 are sums, Y12 and Y13 weights, Y14 activations, Y15
products.`
		if o.tier == "avx2" {
			s += `
VPMADDUBSW multiplies and adds pairs; its 16-bit results are added as long as they fit, and VPMADDWD widens them.`
		} else {
			s += `
Go's assembler does not know VPDPBUSD in its VEX form: BYTE has the encoding, the comment the instruction.`
		}
	}
	switch {
	case float:
		s += "\nWeights are multiplied as float32, k by k."
	case k:
		s += `
A super-block of 256 k has eight runs of 32, with one or two scales each. Its scales are expanded into the buffer;
minima, or the integers' offset, are multiplied with sums of activations. All groups of columns go through a
super-block before the next.`
	default:
		s += `
A block of 32 k starts with 32 scales in binary16. All groups of columns go through a chunk of blocks before the next.`
	}
	return s
}
