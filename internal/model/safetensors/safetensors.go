package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

var (
	// ErrFormat is matched by every error about a file or an index that is not well-formed.
	ErrFormat = errors.New("invalid safetensors file")
	// ErrRead is matched when weights cannot be read that should be there.
	ErrRead = errors.New("cannot read weights")
)

// Bounds of a header: those of 75,000 tensors; Mixtral-8x22B has 1,800 in all. The format's own library takes 100 MB.
// A value of a byte may become one of a hundred.
const (
	maxHeader = 16 << 20
	maxValues = 1_000_000
	maxDepth  = 8
	maxQuoted = 200 // bytes of a name that an error shows
)

// dtypes are the format's element types: bytes, and what this service calls them if it computes with them.
var dtypes = map[string]struct {
	size  int64
	quant quant.Type
	ok    bool
}{
	"F64": {size: 8}, "F32": {4, quant.F32, true}, "F16": {2, quant.F16, true}, "BF16": {2, quant.BF16, true},
	"I64": {size: 8}, "I32": {size: 4}, "I16": {size: 2}, "I8": {size: 1}, "U64": {size: 8}, "U32": {size: 4},
	"U16": {size: 2}, "U8": {size: 1},
	"BOOL": {size: 1}, "F8_E4M3": {size: 1}, "F8_E5M2": {size: 1}, "F8_E8M0": {size: 1},
}

// Tensor is one array.
type Tensor struct {
	Name  string
	DType string // such as "BF16"
	Shape []int  // outermost first, as PyTorch has it
	File  string // path of its file

	at     int64 // of its data, in the file
	size   int64
	source io.ReaderAt
}

// Type gives the format of the elements; false for those that hold no weights that could be converted.
func (t Tensor) Type() (quant.Type, bool) {
	d := dtypes[t.DType]
	return d.quant, d.ok
}

// Size gives the bytes of the data.
func (t Tensor) Size() int64 { return t.size }

// ReadAt fills p with the data from byte off on.
func (t Tensor) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || int64(len(p)) > t.size-off {
		return 0, fmt.Errorf("%w: tensor %s has %d bytes, not %d from %d on", ErrRead, t.Name, t.size, len(p), off)
	}
	n, err := t.source.ReadAt(p, t.at+off)
	if n == len(p) {
		return n, nil
	}
	return n, fmt.Errorf("%w: %s: tensor %s: %w", ErrRead, t.File, t.Name, err)
}

// Parse reads a header. The tensors' data begins at base and is size bytes long.
func Parse(header []byte, base, size int64) ([]Tensor, error) {
	if err := bounded.JSON(header, maxValues, maxDepth); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	d := json.NewDecoder(bytes.NewReader(header))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("%w: the header is not a JSON object", ErrFormat)
	}
	var all []Tensor
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
		}
		name, _ := key.(string)
		if seen[name] {
			return nil, fmt.Errorf("%w: tensor %q appears twice", ErrFormat, bounded.Short(name, maxQuoted))
		}
		seen[name] = true
		if name == "__metadata__" {
			var ignored map[string]string
			if err := d.Decode(&ignored); err != nil {
				return nil, fmt.Errorf("%w: __metadata__: %w", ErrFormat, err)
			}
			continue
		}
		t, err := parseTensor(d, name, size)
		if err != nil {
			return nil, fmt.Errorf("%w: tensor %q: %w", ErrFormat, bounded.Short(name, maxQuoted), err)
		}
		t.at += base
		all = append(all, t)
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	if rest := bytes.TrimRight(header[d.InputOffset():], " \n\r\t\x00"); len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes follow the header's object", ErrFormat, len(rest))
	}
	return all, checkCover(all, base, size)
}

func parseTensor(d *json.Decoder, name string, size int64) (Tensor, error) {
	t := Tensor{Name: name}
	var entry struct {
		DType   string  `json:"dtype"`
		Shape   []int64 `json:"shape"`
		Offsets []int64 `json:"data_offsets"`
	}
	if err := d.Decode(&entry); err != nil {
		return t, err
	}
	if name == "" {
		return t, errors.New("empty name")
	}
	dtype, ok := dtypes[entry.DType]
	switch {
	case !ok:
		return t, fmt.Errorf("unknown dtype %q", bounded.Short(entry.DType, maxQuoted))
	case len(entry.Offsets) != 2:
		return t, fmt.Errorf("data_offsets must have 2 numbers, got %d", len(entry.Offsets))
	case len(entry.Shape) > 16:
		return t, fmt.Errorf("shape has %d dimensions", len(entry.Shape))
	}
	from, to := entry.Offsets[0], entry.Offsets[1]
	if from < 0 || to < from || to > size {
		return t, fmt.Errorf("data_offsets %d to %d in %d bytes of data: the file is cut short or wrong", from, to,
			size)
	}
	want := dtype.size
	for _, n := range entry.Shape {
		if n < 0 || n > math.MaxInt32 || n > 0 && want > math.MaxInt64/n {
			return t, fmt.Errorf("shape %v is impossible", entry.Shape)
		}
		want *= n
		t.Shape = append(t.Shape, int(n))
	}
	if want != to-from {
		return t, fmt.Errorf("shape %v of %s takes %d bytes, data_offsets give it %d", entry.Shape, entry.DType, want,
			to-from)
	}
	t.DType, t.at, t.size = entry.DType, from, to-from
	return t, nil
}

// checkCover holds tensors to the format's rule that they cover the data without overlap or hole.
func checkCover(all []Tensor, base, size int64) error {
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b Tensor) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return int(min(max(a.size-b.size, -1), 1))
	})
	at := base
	for _, t := range order {
		if t.at != at {
			return fmt.Errorf("%w: tensor %q begins at byte %d of the data, the one before it ends at %d", ErrFormat,
				bounded.Short(t.Name, maxQuoted), t.at-base, at-base)
		}
		at += t.size
	}
	if at != base+size {
		return fmt.Errorf("%w: %d bytes of data, tensors cover %d", ErrFormat, size, at-base)
	}
	return nil
}

// read parses a whole file of the given size.
func read(r io.ReaderAt, size int64, path string) ([]Tensor, error) {
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %s: shorter than its 8-byte prefix", ErrFormat, path)
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader || int64(n) > size-8 {
		return nil, fmt.Errorf("%w: %s: a header of %d bytes in a file of %d", ErrFormat, path, n, size)
	}
	header := make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil {
		return nil, fmt.Errorf("%w: %s: header: %w", ErrFormat, path, err)
	}
	all, err := Parse(header, 8+int64(n), size-8-int64(n))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range all {
		all[i].File, all[i].source = path, r
	}
	return all, nil
}
