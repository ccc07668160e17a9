package main

import (
	"slices"
	"strings"
)

// aboutMeasure, aboutTile and others of their kind are what the heads of files say; the generator's own comments have
// the details.
const aboutMeasure = "What the integer peak of the tier is measured with."

func aboutTile(format, tier string) string {
	float := strings.HasSuffix(format, "16") || format == "F32"
	k := strings.HasSuffix(format, "_K")
	var s string
	switch {
	case tier == "avx512":
		s = `
A tile is 32 rows × n columns, n = 1 … 6: a row a lane, so that a broadcast of four activations feeds two VPDPBUSD.
SI is the argument (type tile), BX the buffer, DI walks the weights, AX the activations, R8 … R13 are the columns.
Z0 … Z11 are sums of integers, Z12 … Z23 of floats, Z24 and Z25 weights, Z26 activations.`
	case format == "Q8_0" && tier == "avx2":
		s = `
A tile is 16 rows × n columns, n = 2 … 4. Products of bytes do not fit into 16 bits: VPMADDWD multiplies words.
Weights are unpacked to words in the buffer once for many columns; few columns are multiplied as their weights are
unpacked. SI is the argument (type tile), BX the buffer, DI walks the weights, AX the activations, R8 … R11 are the
columns. Y0 … Y3 are weights, Y4 and Y5 activations, Y6 and Y7 products, Y8 … Y15 sums.`
	case float:
		s = `
A tile is 32 rows × n columns, n = 1 … 3. SI is the argument (type tile), DI walks the weights, AX the activations,
R8 … R10 are the columns. Y0 … Y11 are sums, Y12 … Y14 activations, Y15 weights.`
	default:
		without := "A single column, and a group of few columns, are multiplied as their weights are unpacked."
		if slices.ContainsFunc(ysupers, func(s *ysuper) bool { return s.doc == format && !s.few() }) {
			without = "A single column is multiplied as its weights are unpacked."
		}
		s = `
A tile is 16 rows × n columns, n = 2 … 6, of weights that are unpacked in the buffer once for all columns. ` + without + `
SI is the argument (type tile), BX the buffer, DI walks the weights, AX the activations, R8 … R13 are the columns. Y0 …
Y11 are sums, Y12 and Y13 weights, Y14 activations, Y15 products.`
		if tier == "avx2" {
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
	return s + "\nA weight of " + format + " " + layouts[format]
}

// layouts says what a weight of a tile's format is.
var layouts = map[string]string{
	"Q8_0": "has eight bits.",
	"Q4_0": "has four bits, from which 8 is subtracted.",
	"Q5_0": "has four bits and a fifth in another plane. 16 is subtracted.",
	"Q2_K": "has two bits. 16 weights have a scale and a minimum of four bits each.",
	"Q3_K": "has two bits and a third in another plane. 4 is subtracted. 16 weights have a scale of six bits.",
	"Q4_K": "has four bits. 32 weights have a scale and a minimum of six bits each.",
	"Q5_K": "has four bits and a fifth in another plane. 32 weights have a scale and a minimum of six bits.",
	"Q6_K": "has four bits and two in another plane. 32 is subtracted. 16 weights have a scale of eight bits.",
	"F32":  "is a float32.",
	"F16":  "is a binary16 number.",
	"BF16": "is the upper half of a float32.",
}

// aboutGrid begins the heads of files of formats with grids.
const aboutGrid = "Formats with grids, a block of 32 rows × 256 weights at a time.\n"

const aboutPartYMM = aboutGrid + `
part… takes a block's planes apart, eight rows at a time: SI walks them, R10 the super-scales. It stores the high bits
of indices (DI), signs (R8) and scales (R9); of IQ2_XS also the low bits of indices (R11). Y15 is the super-scale
times the format's factor, Y14 half of it. What looks weights up is common to several formats, in other files.`

const aboutPartZMM = aboutGrid + `
part… takes a block's planes apart, sixteen rows at a time: SI walks them, R10 the super-scales. It stores the high
bits of indices (DI), signs (R8) and scales (R9); of IQ2_XS also the low bits of indices (R11). Z15 is the super-scale
times the format's factor; Z5, Z6 and Z10 … Z13 are tables.
dot… multiplies a panel with a single column, a step after the other: two vectors of indices, each of four indices of
sixteen rows, whose entries are two bytes each. Z0 … Z3, Z6 and Z7 are products, Z4, Z5 and Z23 lookups, Z8 … Z15
entries of two steps, Z16 … Z19 the grid, Z20 … Z22 the activations' scale and sums of floats, Z24 … Z27 values, Z28 …
Z31 signs' bits or numbers of tables. BX is the argument, R10 a gridHelp, DI the grid, SI walks the planes, R13 the
activations; R12 has these in the order of entries, R11 super-scales.`

const aboutLookYMM = aboutGrid + `
spread… looks weights up, an entry after the other, and stores them as quads; dot… multiplies them with a column.
R8 walks the indices' low bits, R9 their high bits, R10 the signs, R11 scales; R12 is the buffer of indices, DI the
grid, R13 the activations or the weights to store. Y8 has the sums of eight rows.`

const aboutLookZMM = aboutGrid + `
lookUp… finds the entries of all indices of a block in tables that VPERMI2B looks 64 bytes up in at once, two bytes
each; spread… makes quads of weights of these and the signs. SI is the argument (type gridBlock).`

// doc says what a step has.
func (d *gridDot) doc() string {
	step, scale := "a run of 32 rows", "32"
	if d.three {
		step = "a run of sixteen rows"
	}
	if d.fine {
		scale = "16"
	}
	return "A panel times a column. A step is " + step + "; a scale is for " + scale + " weights."
}
