package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// ErrOrder is matched by errors about Writer calls in the wrong order, or data that do not match what was declared.
var ErrOrder = errors.New("gguf writer used wrongly")

// Writer writes a GGUF file front to back, holding one header in memory and no tensor: Set and Add what the file
// will hold, WriteHeader, then WriteTensor for each tensor in the order of Add, then Close.
type Writer struct {
	w       io.Writer
	pairs   bytes.Buffer
	keys    map[string]bool
	tensors []directory
	names   map[string]bool
	dataLen uint64 // padded bytes of all tensors
	align   int
	header  bool
	next    int
	err     error
}

// NewWriter gives a Writer of version 3, little-endian, aligned to 32 bytes.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, keys: map[string]bool{}, names: map[string]bool{}, align: defaultAlignment}
}

// Align has each tensor's data begin at a multiple of n, which is one of 8 and at most 1 MiB. It comes before Add.
func (w *Writer) Align(n int) error {
	if len(w.tensors) > 0 || w.header || w.keys[keyAlignment] || n < 8 || n%8 != 0 || n > 1<<20 {
		return fmt.Errorf("%w: Align(%d) twice, after Add, or not a multiple of 8", ErrOrder, n)
	}
	encoded, err := encodeValue(uint32(n))
	if err != nil {
		return err
	}
	w.align, w.keys[keyAlignment] = n, true
	w.pairs.Write(append(appendString(nil, keyAlignment), encoded...))
	return nil
}

// Set adds a metadata value: an integer of 8 to 64 bits, float32, float64, bool, string, or a slice of strings,
// float32, int32, uint32 or int64.
func (w *Writer) Set(key string, v any) error {
	switch {
	case w.header:
		return fmt.Errorf("%w: Set(%q) after WriteHeader", ErrOrder, key)
	case key == "" || len(key) > math.MaxUint16:
		return fmt.Errorf("%w: key of %d bytes", ErrOrder, len(key))
	case w.keys[key]:
		return fmt.Errorf("%w: key %q set twice", ErrOrder, key)
	case key == keyAlignment:
		return fmt.Errorf("%w: %s is set by Align", ErrOrder, key)
	}
	encoded, err := encodeValue(v)
	if err != nil {
		return fmt.Errorf("%w: key %q: %w", ErrOrder, key, err)
	}
	w.keys[key] = true
	w.pairs.Write(appendString(nil, key))
	w.pairs.Write(encoded)
	return nil
}

// Copy adds f's metadata value under the same key, as it is.
func (w *Writer) Copy(f *File, key string) error {
	v, ok := f.values[key]
	switch {
	case !ok:
		return fmt.Errorf("%w: %s", ErrMissing, key)
	case w.header || w.keys[key] || key == keyAlignment:
		return fmt.Errorf("%w: Copy(%q) after WriteHeader, of a key that is set, or of the alignment", ErrOrder, key)
	}
	le := binary.LittleEndian
	b := le.AppendUint32(appendString(nil, key), uint32(v.kind))
	switch v.kind {
	case kindArray:
		b = le.AppendUint64(le.AppendUint32(b, uint32(v.elem)), uint64(v.count))
	case kindString:
		b = le.AppendUint64(b, uint64(len(v.raw)))
	}
	w.keys[key] = true
	w.pairs.Write(append(b, v.raw...))
	return nil
}

// Add declares the next tensor; dims has ne0, the contiguous dimension, first.
func (w *Writer) Add(name string, t quant.Type, dims ...int) error {
	switch {
	case w.header:
		return fmt.Errorf("%w: Add(%q) after WriteHeader", ErrOrder, name)
	case name == "" || w.names[name]:
		return fmt.Errorf("%w: tensor name %q is empty or used twice", ErrOrder, name)
	case len(dims) == 0 || len(dims) > maxDims:
		return fmt.Errorf("%w: tensor %q has %d dimensions", ErrOrder, name, len(dims))
	}
	size, err := t.RowBytes(dims[0])
	if err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	for _, d := range dims {
		if d <= 0 {
			return fmt.Errorf("%w: tensor %q has dimensions %v", ErrOrder, name, dims)
		}
	}
	for _, d := range dims[1:] {
		if size > math.MaxInt/2/d {
			return fmt.Errorf("%w: tensor %q of %v is too large", ErrOrder, name, dims)
		}
		size *= d
	}
	w.names[name] = true
	w.tensors = append(w.tensors, directory{Tensor{Name: name, Type: t, Dims: slices.Clone(dims)}, w.dataLen, size})
	w.dataLen += uint64(align(size, w.align))
	return nil
}

// Size gives the length of the whole file as declared so far.
func (w *Writer) Size() int64 { return int64(len(w.encodeHeader())) + int64(w.dataLen) }

// Layout gives the header's bytes and where each tensor's data begins in the file, in the order of Add, for
// callers that write the data themselves, in any order. Gaps are zeros.
func (w *Writer) Layout() (header []byte, offsets []int64) {
	header = w.encodeHeader()
	for _, t := range w.tensors {
		offsets = append(offsets, int64(len(header))+int64(t.offset))
	}
	return header, offsets
}

// WriteHeader writes everything before the tensor data.
func (w *Writer) WriteHeader() error {
	if w.header {
		return fmt.Errorf("%w: WriteHeader twice", ErrOrder)
	}
	w.header = true
	return w.write(w.encodeHeader())
}

func (w *Writer) encodeHeader() []byte {
	le := binary.LittleEndian
	b := []byte(magic)
	b = le.AppendUint32(b, version)
	b = le.AppendUint64(b, uint64(len(w.tensors)))
	b = le.AppendUint64(b, uint64(len(w.keys)))
	b = append(b, w.pairs.Bytes()...)
	for _, t := range w.tensors {
		b = appendString(b, t.Name)
		b = le.AppendUint32(b, uint32(len(t.Dims)))
		for _, d := range t.Dims {
			b = le.AppendUint64(b, uint64(d))
		}
		b = le.AppendUint32(b, uint32(t.Type))
		b = le.AppendUint64(b, t.offset)
	}
	return append(b, make([]byte, align(len(b), w.align)-len(b))...)
}

// WriteTensor writes the next tensor's data, a []byte or an io.Reader that gives exactly its bytes.
func (w *Writer) WriteTensor(name string, data any) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.header:
		return fmt.Errorf("%w: WriteTensor(%q) before WriteHeader", ErrOrder, name)
	case w.next >= len(w.tensors):
		return fmt.Errorf("%w: WriteTensor(%q) after the last tensor", ErrOrder, name)
	case w.tensors[w.next].Name != name:
		return fmt.Errorf("%w: WriteTensor(%q) where %q is next", ErrOrder, name, w.tensors[w.next].Name)
	}
	t := w.tensors[w.next]
	var n int64
	switch d := data.(type) {
	case []byte:
		if n = int64(len(d)); n == int64(t.bytes) {
			w.err = w.write(d)
		}
	case io.Reader:
		// One byte more than declared is asked for, to notice a source that is too long.
		n, w.err = io.Copy(w.w, io.LimitReader(d, int64(t.bytes)+1))
	default:
		return fmt.Errorf("%w: tensor %q: data is %T", ErrOrder, name, data)
	}
	if w.err == nil && n != int64(t.bytes) {
		w.err = fmt.Errorf("%w: tensor %q got %d bytes and needs %d", ErrOrder, name, n, t.bytes)
	}
	if w.err != nil {
		return w.err
	}
	w.next++
	return w.write(make([]byte, align(t.bytes, w.align)-t.bytes))
}

// Close checks that every declared tensor was written. It does not close the underlying writer.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if !w.header || w.next < len(w.tensors) {
		return fmt.Errorf("%w: closed after %d of %d tensors", ErrOrder, w.next, len(w.tensors))
	}
	return nil
}

func (w *Writer) write(b []byte) error {
	if w.err == nil && len(b) > 0 {
		_, w.err = w.w.Write(b)
	}
	return w.err
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// encodeValue gives a value's type and bytes.
func encodeValue(v any) ([]byte, error) {
	le := binary.LittleEndian
	head := func(k kind) []byte { return le.AppendUint32(nil, uint32(k)) }
	array := func(k kind, n int) []byte {
		return le.AppendUint64(le.AppendUint32(head(kindArray), uint32(k)), uint64(n))
	}
	fixed := func(k kind, x any) ([]byte, error) { return binary.Append(head(k), le, x) }
	list := func(k kind, n int, x any) ([]byte, error) { return binary.Append(array(k, n), le, x) }
	switch x := v.(type) {
	case uint8:
		return fixed(kindUint8, x)
	case int8:
		return fixed(kindInt8, x)
	case uint16:
		return fixed(kindUint16, x)
	case int16:
		return fixed(kindInt16, x)
	case uint32:
		return fixed(kindUint32, x)
	case int32:
		return fixed(kindInt32, x)
	case uint64:
		return fixed(kindUint64, x)
	case int64:
		return fixed(kindInt64, x)
	case float32:
		return fixed(kindFloat32, x)
	case float64:
		return fixed(kindFloat64, x)
	case bool:
		return fixed(kindBool, x)
	case string:
		return appendString(head(kindString), x), nil
	case []string:
		b := array(kindString, len(x))
		for _, s := range x {
			b = appendString(b, s)
		}
		return b, nil
	case []float32:
		return list(kindFloat32, len(x), x)
	case []int32:
		return list(kindInt32, len(x), x)
	case []uint32:
		return list(kindUint32, len(x), x)
	case []int64:
		return list(kindInt64, len(x), x)
	}
	return nil, fmt.Errorf("no GGUF type for %T", v)
}
