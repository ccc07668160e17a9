package convert

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/gguf"
	"github.com/hxp-enterprise/mixtral/internal/quant"
)

// Importance is how much each column of each matrix matters: the mean square of the activation it is multiplied with, over a
// calibration text.
type Importance struct {
	Chunks int // of the text; 0 if the file does not say

	name   string
	values map[string][]float32 // by tensor; for stacked experts one stretch each
	hash   string
}

// maxImportance bounds the file: that of Mixtral-8x22B has 60 MB.
const maxImportance = 1 << 30

// ReadImportance reads an importance matrix as llama.cpp's imatrix tool writes it: its GGUF format, or the older .dat.
func ReadImportance(path string) (*Importance, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxImportance {
		return nil, fmt.Errorf("%w: %s is no file of at most %d MiB", ErrImportance, path, maxImportance>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseImportance(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrImportance, path, err)
	}
	m.name = nameOf(path)
	return m, nil
}

func parseImportance(data []byte) (*Importance, error) {
	m := &Importance{values: map[string][]float32{}, hash: fmt.Sprintf("%x", sha256.Sum256(data))}
	read := m.readLegacy
	if bytes.HasPrefix(data, []byte("GGUF")) {
		read = m.readGGUF
	}
	if err := read(data); err != nil {
		return nil, err
	}
	for name, values := range m.values {
		for i, v := range values {
			if !(v >= 0) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("tensor %s: value %d is %v", name, i, v)
			}
		}
	}
	return m, nil
}

const (
	sumSuffix   = ".in_sum2"
	countSuffix = ".counts"
)

// readGGUF reads sums of squares (in_sum2) and how many tokens they are of (counts), one for each expert.
func (m *Importance) readGGUF(data []byte) error {
	f, err := gguf.Parse(data)
	if err != nil {
		return err
	}
	m.Chunks = int(f.Uint32Or("imatrix.chunk_count", 0))
	for _, t := range f.Tensors() {
		name, ok := strings.CutSuffix(t.Name, sumSuffix)
		if !ok {
			continue
		}
		c, ok := f.Tensor(name + countSuffix)
		if !ok || t.Type != quant.F32 || c.Type != quant.F32 {
			return fmt.Errorf("tensor %s: %s is missing, or one of them is not F32", t.Name, name+countSuffix)
		}
		sums, counts := make([]float32, t.Elems()), make([]float32, c.Elems())
		if err := quant.Unpack(t.Type, sums, t.Data); err != nil {
			return err
		}
		if err := quant.Unpack(c.Type, counts, c.Data); err != nil {
			return err
		}
		if len(sums)%len(counts) != 0 {
			return fmt.Errorf("tensor %s: %d sums for %d counts", t.Name, len(sums), len(counts))
		}
		cols := len(sums) / len(counts)
		for i := range sums {
			// An expert that no token of the text went to has no sums: all its columns count the same.
			if n := counts[i/cols]; n > 0 {
				sums[i] /= n
			} else {
				sums[i] = 1
			}
		}
		m.values[name] = sums
	}
	return m.some()
}

func (m *Importance) some() error {
	if len(m.values) == 0 {
		return fmt.Errorf("it has no entries")
	}
	return nil
}

// readLegacy reads the older format: a count of entries, each a name, the number of chunks, the number of values, and means times
// that number of chunks; all integers of 32 bits, little-endian.
func (m *Importance) readLegacy(data []byte) error {
	next := func(n int) []byte {
		if n < 0 || n > len(data) {
			return nil
		}
		b := data[:n]
		data = data[n:]
		return b
	}
	number := func() int {
		if b := next(4); b != nil {
			return int(int32(binary.LittleEndian.Uint32(b)))
		}
		return -1
	}
	entries := number()
	if entries < 1 {
		return fmt.Errorf("neither GGUF nor an imatrix.dat")
	}
	for i := range entries {
		name := next(number())
		calls, n := number(), number()
		if len(name) == 0 || calls < 0 || n < 1 || n > len(data)/4 {
			return fmt.Errorf("entry %d of %d is cut short or no entry", i, entries)
		}
		values, raw := make([]float32, n), next(4*n)
		for k := range values {
			values[k] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:])) / float32(max(calls, 1))
		}
		m.values[string(name)] = values
	}
	m.Chunks = max(number(), 0)
	return m.some()
}

// columns gives the importance of the columns of part i of t; nil where the matrix says nothing.
func (m *Importance) columns(t *Tensor, i int) ([]float32, error) {
	if m == nil || len(t.Dims) < 2 {
		return nil, nil
	}
	cols := t.Dims[0]
	v, ok := m.values[t.Name]
	if ok && len(v) == cols*len(t.parts) {
		return v[i*cols : (i+1)*cols], nil
	}
	if !ok && len(t.parts) > 1 { // made from a file with one tensor for each expert
		v, ok = m.values[strings.Replace(t.Name, "_exps.weight", fmt.Sprintf(".%d.weight", i), 1)]
	}
	if ok && len(v) != cols {
		return nil, fmt.Errorf("%w: %s: %d values for tensor %s of %d columns in %d parts", ErrImportance, m.name, len(v), t.Name, cols, len(t.parts))
	}
	return v, nil
}

// set records in the new file that it was made with the matrix, under llama.cpp's keys.
func (m *Importance) set(w *gguf.Writer) error {
	if err := w.Set("quantize.imatrix.file", m.name); err != nil {
		return err
	}
	if err := w.Set("quantize.imatrix.entries_count", int32(len(m.values))); err != nil {
		return err
	}
	return w.Set("quantize.imatrix.chunks_count", int32(m.Chunks))
}

// check makes sure that the matrix is one of this model.
func (m *Importance) check(tensors []Tensor) error {
	some := false
	for i := range tensors {
		for e := range tensors[i].parts {
			v, err := m.columns(&tensors[i], e)
			if err != nil {
				return err
			}
			some = some || v != nil
		}
	}
	if !some {
		return fmt.Errorf("%w: %s: it names no tensor of this model", ErrImportance, m.name)
	}
	return nil
}
