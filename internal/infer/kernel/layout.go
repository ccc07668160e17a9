package kernel

import (
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// A packed matrix is cut into panels of 32 rows. A panel holds the file's own blocks, interleaved: where a row's block
// has a 32-bit word, the panel has a plane of 32 such words, one for each row (two cache lines). One vector lane then
// belongs to one row, sums need no horizontal additions, and the words of four 8-bit, eight 4-bit or sixteen 2-bit
// weights are what VPDPBUSD multiplies. Nothing is widened: a panel is exactly as long as the rows it was packed from,
// so one copy of the weights is enough.
//
//	Q8_0  half-plane d, 8 planes of integers with the sign bit flipped (q+128)
//	Q4_0  half-plane d, 4 planes: low nibbles of plane j are quad j, high nibbles quad j+4
//	Q5_0  half-plane d, 1 plane of fifth bits (bit j of byte i: element 4j+i), 4 planes as Q4_0
//	Q2_K  1 plane (d, dmin), 4 planes of (scale, min) nibbles, 16 planes of 2-bit weights
//	Q3_K  half-plane d, 3 planes of 6-bit scales, 8 × (1 plane of third bits, 2 planes of 2-bit weights)
//	Q4_K  1 plane (d, dmin), 3 planes of 6-bit scales and mins, 32 planes of nibbles
//	Q5_K  1 plane (d, dmin), 3 planes of 6-bit scales and mins, 8 × (1 plane of fifth bits, 4 planes of nibbles)
//	Q6_K  half-plane d, 4 planes of int8 scales, 16 × (2 planes of low nibbles, 1 plane of upper 2 bits)
//	Q4_1  1 plane (d, m), 4 planes as Q4_0;  Q5_1: with a plane of fifth bits as Q5_0 between
//	IQ4_NL as Q4_0;  IQ4_XS: 1 plane (d, high bits of scales), 1 plane of their low nibbles, 32 planes of nibbles
//	IQ3, IQ2, IQ1: half-plane d (but for IQ1_M), a plane for each word that follows
//	F32   for each k a plane;  F16, BF16: for each k a half-plane
//
// Planes of a super-block are in the order in which a single column wants them, where the file has another: the scales
// come first, then with each quad all that belongs to it. Reading is then one stream, which processors fetch ahead by
// themselves: where one column read the planes of Q6_K in three streams, it got 70 % of the memory's bandwidth.
//
// A quad is four neighbouring k. A half-plane is 32 binary16 (or bfloat16) numbers, one cache line. Why 32 rows: a
// broadcast of four activations then feeds two VPDPBUSD, so loads are no bottleneck (see tile_amd64.go).
const (
	panelRows = 32
	plane     = 4 * panelRows
	halfPlane = 2 * panelRows

	// RowAlign divides every row number that splits a matrix among workers.
	RowAlign = panelRows
)

// layout says where a format's block goes. Parts of a source block: one binary16 number (or none), and words.
type layout struct {
	act     actKind
	half    int    // offset of the binary16 scale in the source block; −1: it is not apart
	words   int    // offset of the 32-bit words in the source block
	n       int    // how many words
	parts   []part // in which order their planes are; nil: in the words' own
	xor     uint32 // flips bits of every word
	toHalf  int    // offset of the half-plane in the packed block
	toWords int    // offset of the first plane
	fifth   int    // offset of the plane of fifth bits; 0: there is none
	unit    float32
	grid    bool // weights are chosen from a grid
	spread  bool // spread out to bytes before it is multiplied: see spread.go
}

// part is a part of a block: words from … from+n−1 become planes to, to+step, and so on.
type part struct{ from, n, to, step int }

// order gives the block's parts.
func (l *layout) order() []part {
	if l.parts != nil {
		return l.parts
	}
	return []part{{0, l.n, 0, 1}}
}

// layouts of the block formats. unit is what the unsigned integers of the kernels have to be multiplied with: formats
// with an offset are shifted up until the offset is 128 in all of them (Q4_0: 16·(q−8), Q6_K: 4·(q−32)), so that one
// correction, −128·Σx, serves all.
var layouts = map[quant.Type]layout{
	quant.Q8_0: {act: act32, half: 0, words: 2, n: 8, xor: 0x80808080, toHalf: 0, toWords: halfPlane, unit: 1},
	quant.Q4_0: {act: act32, half: 0, words: 2, n: 4, toHalf: 0, toWords: halfPlane, unit: 1. / 16},
	quant.Q5_0: {act: act32, half: 0, words: 2, n: 5, toHalf: 0, toWords: halfPlane, fifth: halfPlane, unit: 1. / 8},
	quant.Q2_K: {act: act256, half: -1, n: 21, unit: 1,
		parts: []part{{20, 1, 0, 1}, {0, 4, 1, 1}, {4, 8, 5, 1}, {12, 8, 13, 1}}},
	quant.Q3_K: {act: act256, half: 108, n: 27, toWords: halfPlane, unit: 1. / 32,
		parts: []part{{24, 3, 0, 1}, {0, 8, 3, 3}, {8, 8, 4, 3}, {16, 8, 5, 3}}},
	quant.Q4_K: {act: act256, half: -1, n: 36, unit: 1},
	quant.Q5_K: {act: act256, half: -1, n: 44, unit: 1,
		parts: []part{{0, 4, 0, 1}, {4, 8, 4, 5}, {12, 8, 5, 5}, {20, 8, 6, 5}, {28, 8, 7, 5}, {36, 8, 8, 5}}},
	quant.Q6_K: {act: act256, half: 208, n: 52, toWords: halfPlane, unit: 1. / 4,
		parts: []part{{48, 4, 0, 1}, {0, 8, 4, 3}, {8, 8, 5, 3}, {16, 8, 28, 3}, {24, 8, 29, 3},
			{32, 8, 6, 3}, {40, 8, 30, 3}}},
	quant.Q4_1: {act: act32, half: -1, n: 5, unit: 1, spread: true},
	quant.Q5_1: {act: act32, half: -1, n: 6, fifth: plane, unit: 1, spread: true},

	quant.IQ4_NL:  {act: act32, half: 0, words: 2, n: 4, toWords: halfPlane, unit: 1, spread: true},
	quant.IQ4_XS:  {act: act256, half: -1, n: 34, unit: 1, spread: true},
	quant.IQ3_S:   gridLayout(27),
	quant.IQ3_XXS: gridLayout(24),
	quant.IQ2_S:   gridLayout(20),
	quant.IQ2_XS:  gridLayout(18),
	quant.IQ2_XXS: gridLayout(16),
	quant.IQ1_M:   {act: act256, half: -1, n: 14, unit: 1, spread: true, grid: true},
	quant.IQ1_S:   gridLayout(12),

	quant.F32:  {act: actF32, half: -1, n: 1, unit: 1},
	quant.F16:  {act: actF32, half: 0, unit: 1},
	quant.BF16: {act: actF32, half: 0, unit: 1},
}

// gridLayout is that of a format whose blocks are a binary16 scale and n words.
func gridLayout(n int) layout {
	return layout{act: act256, half: 0, words: 2, n: n, toWords: halfPlane, unit: 1, spread: true, grid: true}
}

// Matrix is a weight matrix of Rows outputs and Cols inputs, packed for products with batches of activations. The
// values are exactly those of the format it was packed from. It is read-only after Pack and safe for concurrent use;
// one that is packed later (PackLater) is safe for concurrent products.
type Matrix struct {
	Rows, Cols int
	typ        quant.Type
	layout     layout
	block      int // bytes of a packed block of 32 rows
	panel      int // bytes of a panel
	data       []byte
	from       *pending // where rows are that are not packed yet; nil: all are
}

// PackedSize gives the bytes that Pack writes for a rows × cols matrix of format t: the size of the rows themselves,
// padded to a multiple of RowAlign.
func PackedSize(t quant.Type, rows, cols int) (int64, error) {
	if _, ok := layouts[t]; !ok {
		return 0, fmt.Errorf("kernel: %w: %v", quant.ErrType, t)
	}
	if rows < 1 || cols < 1 {
		return 0, fmt.Errorf("kernel: matrix of %d × %d", rows, cols)
	}
	row, err := t.RowBytes(cols)
	if err != nil {
		return 0, err
	}
	panels := (int64(rows) + panelRows - 1) / panelRows
	return panels * panelRows * int64(row), nil
}

// NewMatrix describes a rows × cols matrix of format t whose packed form will be in dst, PackedSize bytes long. dst
// should begin at a multiple of 64.
func NewMatrix(t quant.Type, rows, cols int, dst []byte) (*Matrix, error) {
	size, err := PackedSize(t, rows, cols)
	if err != nil {
		return nil, err
	}
	if int64(len(dst)) != size {
		return nil, fmt.Errorf("kernel: %d bytes for a packed matrix of %d", len(dst), size)
	}
	row, err := t.RowBytes(cols)
	if err != nil {
		return nil, err
	}
	return &Matrix{Rows: rows, Cols: cols, typ: t, layout: layouts[t], block: panelRows * t.BlockBytes(),
		panel: panelRows * row, data: dst}, nil
}

// act is the form in which the matrix wants its activations on the tier in use.
func (m *Matrix) act() actKind {
	if m.typ == quant.Q8_0 {
		return active.actQ8
	}
	return m.layout.act
}

// panelAt gives the panels from the one that row r, a multiple of panelRows, begins.
func (m *Matrix) panelAt(r int) []byte { return m.data[r/panelRows*m.panel:] }

// From gives up to n bytes of weights that are read first by who begins with row r, a multiple of RowAlign: for Fetch.
func (m *Matrix) From(r, n int) []byte {
	b := m.panelAt(r)
	return b[:min(n, len(b))]
}

// PaddedRows is Rows rounded up to whole panels: products write that many values.
func (m *Matrix) PaddedRows() int { return (m.Rows + panelRows - 1) / panelRows * panelRows }

// Bytes is the size of the packed weights.
func (m *Matrix) Bytes() int64 { return int64(len(m.data)) }

// RowBytes is the packed size of a row, for cutting work into equal pieces.
func (m *Matrix) RowBytes() int { return m.panel / panelRows }
