package main

import "fmt"

// What the heads of files say; aboutWords ends them all.
const (
	aboutWords = `
Most vector instructions are unknown to Go's assembler: each is written as the word that encodes it, with its usual
notation beside it.`

	aboutGemv = `
A panel of 32 rows times one column, straight from the packed blocks.
R0 is the argument (gemvNEON), R1 the block, R2 the column, R3 the results of the panel, R4 and R6 count blocks and
panels, R5 is where scales are spread, R7 the block of activations. Registers from 16 on are weights and activations,
28 to 30 masks and shifts of the weights' fields.
`
	aboutUnpack = `
Packed blocks of a panel to signed bytes, in four groups of eight rows, 2 KiB apart.
R0 is the argument (unpackNEON), R1 the packed blocks, R2 where the bytes go, R5 where the scales go, R4 counts blocks
of 32. Registers 28 to 30 are masks and shifts of the weights' fields, 31 what is subtracted.
`
	aboutTile = `
Unpacked weights times groups of four columns, or a single one, eight rows at a time.
R0 is the argument (tileNEON), R1 the weights, R5 the scales, R6 the columns, R4 counts their groups. In a group R8 to
R11 are the columns' activations and R12 to R15 their results; R2 goes through the weights, R17 through eight rows'
scales, R19 to R22 through the activations. Every sum is of four rows and one column.`

	aboutFloat = `
Float weights, each k a plane of 32 rows, times one column or groups of four.
R0 is the argument (tileNEON), R1 the weights, R6 the columns, R4 counts groups; R19 to R22 go through activations, R12
to R15 are the results, R2 goes through the weights, R24 counts k. Registers from 16 on are weights, from 24 on
activations.`

	aboutRows = `
Blocks of formats with a grid to rows, which portable code looks up, and what it found to the order of tiles.
R0 is where the result goes, R1 what is read; R2 and R3 go through four rows of these.`

	aboutVec = `
Element-wise functions of whole vectors: their callers in Go do what is left. Arguments are in R0 and those that follow
it, in their order.`

	aboutExp = `
Functions with an exponential. Arguments are in R0 and those that follow it, in their order. Registers 16 to 28 are the
constants of expTable, 0 to 6 what an exponential is computed in.`

	aboutAttend = `
Attention of four heads at once.
R0 is the argument (attend), R1 keys or values, R2 counts positions, R3 is the bytes of a vector; R8 to R11 are the
queries or sums, R12 to R15 the scores.`
)

// layout says what a format's weight is, and how many share a scale.
func (s *super) layout() string {
	weight := fmt.Sprintf("%d bits", s.lowBits)
	switch {
	case s.curve:
		weight = "the number of one of 16 points"
	case s.highBits > 0:
		weight += fmt.Sprintf(" and %d above them in another plane", s.highBits)
	}
	if s.offset > 0 {
		weight += fmt.Sprintf(", less %d", s.offset)
	}
	scale := "an integer scale"
	if s.minima {
		scale += " and a minimum"
	}
	return fmt.Sprintf("A weight of %s is %s; %d weights have %s.", s.format, weight, 256/s.runs, scale)
}

func (c *classic) layout() string {
	weight := "four bits"
	switch {
	case c.planes == 8:
		weight = "a byte"
	case c.curve:
		weight = "the number of one of 16 points"
	case c.fifth:
		weight += " and a fifth in another plane"
	}
	if c.offset > 0 {
		weight += fmt.Sprintf(", less %d", c.offset)
	}
	scale := "a scale"
	if c.minima {
		scale += " and a minimum"
	}
	return fmt.Sprintf("A weight of %s is %s; 32 weights have %s in binary16.", c.format, weight, scale)
}
