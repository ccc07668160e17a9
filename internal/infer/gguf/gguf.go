package gguf

import (
	"errors"
	"fmt"
	"sort"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

var (
	// ErrFormat is matched by every error about a file that is not a well-formed GGUF file.
	ErrFormat = errors.New("invalid GGUF file")
	// ErrUnsupported is matched by errors about well-formed files that use what this package does not read: another
	// version, big-endian order, a tensor type without a decoder.
	ErrUnsupported = errors.New("unsupported GGUF file")
	// ErrMissing is matched when a metadata key is absent.
	ErrMissing = errors.New("missing metadata key")
	// ErrType is matched when a metadata value has another type than asked for, or does not fit it.
	ErrType = errors.New("wrong metadata type")
	// ErrChanged is matched when a mapped file is no longer the file that was opened.
	ErrChanged = errors.New("model file has changed since it was opened")
)

const (
	magic            = "GGUF"
	version          = 3 // version 2 differs only in that big-endian files did not exist
	defaultAlignment = 32
	maxDims          = 4 // GGML_MAX_DIMS
	keyAlignment     = "general.alignment"
)

// Tensor is one named array of weights.
type Tensor struct {
	Name string
	Type quant.Type
	Dims []int  // ne0 first: the contiguous dimension, which for a weight matrix is its input
	Data []byte // points into the file; read-only, gone after Close
}

// Elems gives the number of elements.
func (t Tensor) Elems() int {
	n := 1
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// File is an open GGUF file. It is safe for concurrent use until Close.
type File struct {
	Version   int
	Alignment int

	keys    []string // in file order
	values  map[string]value
	tensors []Tensor
	byName  map[string]int
	size    int64
	sources []source // of a split model several
}

// Keys lists the metadata keys in file order.
func (f *File) Keys() []string { return append([]string(nil), f.keys...) }

// Tensors lists all tensors in file order. The slice is shared: read only.
func (f *File) Tensors() []Tensor { return f.tensors }

// Tensor finds a tensor by name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Size gives the file's length in bytes, of a split model that of all parts.
func (f *File) Size() int64 { return f.size }

// Parse reads a GGUF file held in memory. Tensor data point into data, which must not change afterwards.
func Parse(data []byte) (*File, error) {
	c := &cursor{data: data}
	tensors, pairs, fileVersion, err := c.header()
	if err != nil {
		return nil, err
	}
	f := &File{Version: fileVersion, Alignment: defaultAlignment, size: int64(len(data))}
	if err := f.readPairs(c, pairs); err != nil {
		return nil, err
	}
	if _, ok := f.values[keyAlignment]; ok {
		a, err := f.Uint32(keyAlignment)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if a == 0 || a%8 != 0 || a > 1<<20 {
			return nil, fmt.Errorf("%w: %s must be a positive multiple of 8 up to 1 MiB, got %d", ErrFormat,
				keyAlignment, a)
		}
		f.Alignment = int(a)
	}
	if err := f.readTensors(c, tensors); err != nil {
		return nil, err
	}
	return f, nil
}

// header reads magic, version and the two counts, and checks that the counts can fit the file.
func (c *cursor) header() (tensors, pairs, fileVersion int, err error) {
	if len(c.data) < len(magic) || string(c.data[:len(magic)]) != magic {
		return 0, 0, 0, fmt.Errorf("%w: does not start with %q", ErrFormat, magic)
	}
	c.off = len(magic)
	v := c.u32()
	nt, np := c.u64(), c.u64()
	if c.err != nil {
		return 0, 0, 0, fmt.Errorf("header: %w", c.err)
	}
	switch {
	case v == 2 || v == 3:
	case v == 2<<24 || v == 3<<24:
		return 0, 0, 0, fmt.Errorf("%w: big-endian", ErrUnsupported)
	default:
		return 0, 0, 0, fmt.Errorf("%w: the version must be 2 or 3, got %d", ErrUnsupported, v)
	}
	const (
		minTensor = 8 + 4 + 8 + 4 + 8 // name length, dimensions, one dimension, type, offset
		minPair   = 8 + 4 + 1         // key length, type, smallest value
	)
	left := uint64(len(c.data) - c.off)
	if nt > left/minTensor {
		return 0, 0, 0, fmt.Errorf("%w: %d tensors in %d bytes", ErrFormat, nt, len(c.data))
	}
	if np > left/minPair {
		return 0, 0, 0, fmt.Errorf("%w: %d metadata keys in %d bytes", ErrFormat, np, len(c.data))
	}
	return int(nt), int(np), int(v), nil
}

// directory is a tensor's entry before its data is located.
type directory struct {
	Tensor
	offset uint64
	bytes  int
}

func (f *File) readTensors(c *cursor, n int) error {
	entries := make([]directory, 0, n)
	f.byName = make(map[string]int, n)
	for i := range n {
		e, err := c.tensor()
		if err != nil {
			return fmt.Errorf("tensor %d of %d: %w", i, n, err)
		}
		if _, dup := f.byName[e.Name]; dup {
			return fmt.Errorf("%w: tensor %q appears twice", ErrFormat, e.Name)
		}
		if e.offset%uint64(f.Alignment) != 0 {
			return fmt.Errorf("%w: tensor %q at offset %d, not a multiple of the alignment %d", ErrFormat, e.Name,
				e.offset, f.Alignment)
		}
		f.byName[e.Name] = i
		entries = append(entries, e)
	}
	start := align(c.off, f.Alignment)
	if n > 0 && start > len(c.data) {
		return fmt.Errorf("%w: ends before the tensor data, which would start at byte %d", ErrFormat, start)
	}
	f.tensors = make([]Tensor, n)
	for i, e := range entries {
		room := uint64(len(c.data) - start)
		if e.offset > room || uint64(e.bytes) > room-e.offset {
			return fmt.Errorf("%w: tensor %q takes bytes %d to %d of %d bytes of tensor data: the file is cut "+
				"short or wrong",
				ErrFormat, e.Name, e.offset, e.offset+uint64(e.bytes), room)
		}
		at := start + int(e.offset)
		e.Data = c.data[at : at+e.bytes : at+e.bytes]
		f.tensors[i] = e.Tensor
	}
	return checkOverlap(entries)
}

func checkOverlap(entries []directory) error {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return entries[order[a]].offset < entries[order[b]].offset })
	for k := 1; k < len(order); k++ {
		a, b := &entries[order[k-1]], &entries[order[k]]
		if a.offset+uint64(a.bytes) > b.offset {
			return fmt.Errorf("%w: tensors %q and %q overlap", ErrFormat, a.Name, b.Name)
		}
	}
	return nil
}

// tensor reads one directory entry and checks that its size is whole blocks and no overflow.
func (c *cursor) tensor() (directory, error) {
	var e directory
	e.Name = c.str()
	dims := c.u32()
	if c.err != nil {
		return e, c.err
	}
	if e.Name == "" {
		return e, fmt.Errorf("%w: empty name", ErrFormat)
	}
	if dims == 0 || dims > maxDims {
		return e, fmt.Errorf("%w: %q must have 1 to %d dimensions, got %d", ErrFormat, e.Name, maxDims, dims)
	}
	e.Dims = make([]int, dims)
	for i := range e.Dims {
		d := c.u64()
		if c.err == nil && (d == 0 || d > 1<<40) {
			return e, fmt.Errorf("%w: %q has dimension %d of size %d", ErrFormat, e.Name, i, d)
		}
		e.Dims[i] = int(d)
	}
	e.Type = quant.Type(c.u32())
	e.offset = c.u64()
	if c.err != nil {
		return e, fmt.Errorf("%q: %w", e.Name, c.err)
	}
	if !e.Type.Supported() {
		return e, fmt.Errorf("%w: tensor %q is in %s", ErrUnsupported, e.Name, e.Type)
	}
	row, err := e.Type.RowBytes(e.Dims[0])
	if err != nil {
		return e, fmt.Errorf("%w: %q: %w", ErrFormat, e.Name, err)
	}
	e.bytes = row
	for _, d := range e.Dims[1:] {
		if e.bytes > len(c.data)/d {
			return e, fmt.Errorf("%w: %q of %v elements in %v is larger than the file (%d bytes)", ErrFormat, e.Name,
				e.Dims, e.Type, len(c.data))
		}
		e.bytes *= d
	}
	return e, nil
}

func align(n, to int) int { return (n + to - 1) / to * to }
