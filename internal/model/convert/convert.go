package convert

import (
	"errors"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

var (
	// ErrSource is matched by every error about a model that cannot be converted: what is missing, damaged or not
	// Mixtral.
	ErrSource = errors.New("cannot convert")
	// ErrRequantize is matched when weights that have lost precision already would lose more.
	ErrRequantize = errors.New("weights are quantised already")
	// ErrImportance is matched by errors about an importance matrix.
	ErrImportance = errors.New("bad importance matrix")
	// ErrOutput is matched by errors about the file to be written.
	ErrOutput = errors.New("cannot write")
)

// Source is a model to convert. Close it.
type Source struct {
	Name    string   // what people call it
	Tensors []Tensor // in the order of the new file
	Files   []string // paths of everything that was read, and that decides what the new file is
	Context int      // tokens that the model was trained for

	shape    shape
	fileType uint32                   // general.file_type of what is there
	meta     func(*gguf.Writer) error // sets everything but general.file_type and the like
	identity string                   // changes when the files do
	close    func() error
}

// Close releases the files.
func (s *Source) Close() error { return s.close() }

// Keys gives what one token's keys and values are: so many layers, heads and values of each head.
func (s *Source) Keys() (layers, heads, size int) {
	return s.shape.layers, s.shape.kvHeads, s.shape.headDim
}

// shape is what decides over formats, and what one token's keys and values take.
type shape struct{ layers, heads, kvHeads, experts, headDim int }

// Tensor is one tensor of the new file.
type Tensor struct {
	Name string
	Dims []int      // ne0, the contiguous dimension, first
	From quant.Type // of its first part
	Kind Kind

	layer int
	parts []part // equal parts along the last dimension: all of it, or one matrix for each expert
}

// Elems gives the number of elements.
func (t Tensor) Elems() int64 {
	n := int64(1)
	for _, d := range t.Dims {
		n *= int64(d)
	}
	return n
}

// part is a matrix of rows × cols in a file.
type part struct {
	name, file string // in the source, for errors
	typ        quant.Type
	rows, cols int
	// heads, if not 0, says that the rows are those of so many attention heads with the two halves of each head one
	// after the other, as Hugging Face's rotary embedding wants them. GGUF's pairs neighbours: row 2i of a head is
	// row i of the first half, row 2i+1 of the second.
	heads int
	// read gives n bytes from byte off on: in buf, or where they lie.
	read func(buf []byte, off int64, n int) ([]byte, error)
	done func() // nothing will be read any more; may be nil
}

// row gives the source's row for row r of the new file.
func (p *part) row(r int) int {
	if p.heads == 0 {
		return r
	}
	size := p.rows / p.heads
	head, i := r/size, r%size
	return head*size + i%2*(size/2) + i/2
}

// readRows gives the bytes of rows r0 … r1−1 of the new file, in the source's format.
func (p *part) readRows(buf []byte, r0, r1 int) ([]byte, error) {
	row, err := p.typ.RowBytes(p.cols)
	if err != nil {
		return nil, p.errorf("%w", err)
	}
	if p.heads == 0 {
		return p.read(buf, int64(r0)*int64(row), (r1-r0)*row)
	}
	for r := r0; r < r1; r++ {
		at := buf[(r-r0)*row : (r-r0+1)*row]
		b, err := p.read(at, int64(p.row(r))*int64(row), row)
		if err != nil {
			return nil, err
		}
		copy(at, b)
	}
	return buf[:(r1-r0)*row], nil
}

func (p *part) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s: tensor %s: %w", ErrSource, p.file, p.name, fmt.Errorf(format, args...))
}

// Kind is a tensor's place in the model.
type Kind int

// Kinds of tensor.
const (
	Norm Kind = iota
	Router
	Embedding
	Output
	Query
	Key
	Value
	Attended // attn_output
	Gate
	Up
	Down
)

// stems are the kinds' names in GGUF files; those of a layer stand between "blk.N." and ".weight".
var stems = map[string]Kind{
	"token_embd": Embedding, "output": Output, "output_norm": Norm, "attn_norm": Norm, "ffn_norm": Norm,
	"attn_q": Query, "attn_k": Key,
	"attn_v": Value, "attn_output": Attended, "ffn_gate_inp": Router, "ffn_gate_exps": Gate, "ffn_up_exps": Up,
	"ffn_down_exps": Down, ropeFactors: Norm,
}

// ropeFactors is the stem of the tensor that divides the frequencies of positions; few files have it.
const ropeFactors = "rope_freqs"
