package convert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/whole"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// llama.cpp's keys and suffixes. Its quantizer wants all three keys.
const (
	keyDatasets   = "imatrix.datasets"
	keyChunks     = "imatrix.chunk_count"
	keyChunkSize  = "imatrix.chunk_size"
	typeOfImatrix = "imatrix"
	sumSuffix     = ".in_sum2"
	countSuffix   = ".counts"
)

// maxImportance bounds the file: that of Mixtral-8x22B has 60 MB. What is read of it takes twice its size.
const maxImportance = 256 << 20

// ReadSums reads a file as llama.cpp's imatrix tool and WriteFile write it: GGUF, or the tool's older .dat. The older
// format does not say how many tokens a chunk has: chunkSize does.
func ReadSums(path string, chunkSize int) (*Sums, error) {
	data, err := readImportance(path)
	if err != nil {
		return nil, err
	}
	s, legacy, err := parseSums(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrImportance, path, err)
	}
	if legacy {
		s.ChunkSize = chunkSize
		for _, e := range s.entries {
			e.scale(float64(chunkSize))
		}
	}
	return s, nil
}

func readImportance(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxImportance {
		return nil, fmt.Errorf("%w: %s must be a regular file of at most %d MiB", ErrImportance, path,
			maxImportance>>20)
	}
	return bounded.File(path, maxImportance)
}

func (e *Sum) scale(factor float64) {
	for i := range e.squares {
		e.squares[i] *= factor
	}
	for i := range e.counts {
		e.counts[i] *= factor
	}
}

// parseSums reads either format. Of the older one counts are chunks, not tokens.
func parseSums(data []byte) (s *Sums, legacy bool, err error) {
	s = NewSums()
	legacy = !bytes.HasPrefix(data, []byte("GGUF"))
	if legacy {
		err = s.readLegacy(data)
	} else {
		err = s.readGGUF(data)
	}
	if err != nil {
		return nil, false, err
	}
	if len(s.entries) == 0 {
		return nil, false, errors.New("it has no entries")
	}
	for _, name := range slices.Sorted(maps.Keys(s.entries)) {
		e := s.entries[name]
		for i, v := range e.squares {
			if !(v >= 0) || math.IsInf(v, 0) {
				return nil, false, fmt.Errorf("tensor %s: value %d is %v", name, i, v)
			}
		}
		for i, v := range e.counts {
			if !(v >= 0) || math.IsInf(v, 0) {
				return nil, false, fmt.Errorf("tensor %s: count %d is %v", name, i, v)
			}
		}
	}
	return s, legacy, nil
}

func (s *Sums) readGGUF(data []byte) error {
	f, err := gguf.Parse(data)
	if err != nil {
		return err
	}
	s.Chunks, s.ChunkSize = int(f.Uint32Or(keyChunks, 0)), int(f.Uint32Or(keyChunkSize, 0))
	s.Datasets, _ = f.Strings(keyDatasets) // for people: not worth an error
	for _, t := range f.Tensors() {
		name, ok := strings.CutSuffix(t.Name, sumSuffix)
		if !ok {
			continue
		}
		c, ok := f.Tensor(name + countSuffix)
		if !ok || t.Type != quant.F32 || c.Type != quant.F32 {
			return fmt.Errorf("tensor %s: %s is missing, or one of them is not F32", t.Name, name+countSuffix)
		}
		if t.Elems() == 0 || c.Elems() == 0 || t.Elems()%c.Elems() != 0 {
			return fmt.Errorf("tensor %s: %d sums for %d counts", t.Name, t.Elems(), c.Elems())
		}
		s.entries[name] = &Sum{squares: floats(t.Data), counts: floats(c.Data)}
	}
	return nil
}

// floats widens little-endian float32.
func floats(data []byte) []float64 {
	v := make([]float64, len(data)/4)
	for i := range v {
		v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
	}
	return v
}

// readLegacy reads the older format: a count of entries, each a name, the number of chunks, the number of values, and
// means times that number of chunks; then the number of chunks and the text's name. All integers have 32 bits,
// little-endian.
func (s *Sums) readLegacy(data []byte) error {
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
		chunks, n := number(), number()
		if len(name) == 0 || chunks < 0 || n < 1 || n > len(data)/4 {
			return fmt.Errorf("entry %d of %d is cut short or malformed", i, entries)
		}
		s.entries[string(name)] = &Sum{squares: floats(next(4 * n)), counts: []float64{float64(chunks)}}
	}
	s.Chunks = max(number(), 0)
	if name := next(number()); len(name) > 0 {
		s.Datasets = []string{string(name)}
	}
	return nil
}

// WriteFile writes sums in the GGUF format that llama.cpp's imatrix tool reads and writes, under path when it is
// whole.
func (s *Sums) WriteFile(path string) error {
	if err := whole.Write(path, 0o644, func(f *os.File) error { return s.write(f) }); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}

func (s *Sums) write(out io.Writer) error {
	w := gguf.NewWriter(out)
	datasets := s.Datasets
	if datasets == nil {
		datasets = []string{}
	}
	err := errors.Join(w.Set("general.type", typeOfImatrix), w.Set(keyDatasets, datasets),
		w.Set(keyChunks, uint32(s.Chunks)), w.Set(keyChunkSize, uint32(s.ChunkSize)))
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(s.entries))
	for _, name := range names {
		e := s.entries[name]
		parts := len(e.counts)
		if err := errors.Join(w.Add(name+sumSuffix, quant.F32, len(e.squares)/parts, parts),
			w.Add(name+countSuffix, quant.F32, 1, parts)); err != nil {
			return err
		}
	}
	if err := w.WriteHeader(); err != nil {
		return err
	}
	for _, name := range names {
		e := s.entries[name]
		if err := errors.Join(w.WriteTensor(name+sumSuffix, narrow(e.squares)),
			w.WriteTensor(name+countSuffix, narrow(e.counts))); err != nil {
			return err
		}
	}
	return w.Close()
}

// narrow gives little-endian float32.
func narrow(v []float64) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
	}
	return b
}
