package synth

import (
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"

	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

const (
	// chunk is the unit of generation: a multiple of every format's block.
	chunk = 256
	// bankChunks is the number of ready-made chunks that large matrices are drawn from: 1 Mi values, enough that no
	// two rows of a matrix are alike, few enough to pack once for each format and scale.
	bankChunks = 1 << 12
	// bankFrom is the number of elements from which a matrix is drawn from the bank. Drawing every value of an 8x7B
	// model afresh takes a quarter of an hour; copying chunks runs at the disk's speed.
	bankFrom = 1<<20 + 1
	// flushElems bounds what a reader makes ahead.
	flushElems = 1 << 16
)

// source makes tensor data.
type source struct {
	seed   uint64
	unit   []float32 // the bank's values with variance 1; nil until needed
	bank   map[bankKey][]byte
	packer *quant.Packer
}

type bankKey struct {
	typ quant.Type
	std float32
}

func newSource(seed uint64) *source {
	return &source{seed: seed, bank: map[bankKey][]byte{}, packer: kernel.NewPacker()}
}

func (s *source) rng(name string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, name)
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// reader gives the tensor's bytes, part after part.
func (s *source) reader(t tensor) io.Reader {
	elems := 1
	for _, d := range t.dims {
		elems *= d
	}
	elems /= len(t.parts)
	readers := make([]io.Reader, len(t.parts))
	for i, part := range t.parts {
		// Rows of whole chunks only: whether the bank is used must not depend on the format.
		if elems >= bankFrom && t.dims[0]%chunk == 0 && t.mean == 0 && t.exact == nil {
			readers[i] = &bankReader{source: s, t: t, rng: s.rng(part), left: elems / chunk}
		} else {
			readers[i] = &freshReader{source: s, t: t, rng: s.rng(part), left: elems}
		}
	}
	return io.MultiReader(readers...)
}

// freshReader draws every value.
type freshReader struct {
	source  *source
	t       tensor
	rng     *rand.Rand
	left    int // elements
	at      int // the next element
	values  []float32
	pending []byte
	buf     []byte
}

func (r *freshReader) Read(p []byte) (int, error) {
	if len(r.pending) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if err := r.fill(min(r.left, flushElems)); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

func (r *freshReader) fill(n int) error {
	if r.values == nil {
		r.values = make([]float32, n)
	}
	size, err := r.t.typ.RowBytes(n)
	if err != nil {
		return fmt.Errorf("%s: %w", r.t.name, err)
	}
	if r.buf == nil {
		r.buf = make([]byte, size)
	}
	values := r.values[:n]
	for i := range values {
		if r.t.exact != nil {
			values[i] = r.t.exact((r.at+i)/r.t.dims[0], (r.at+i)%r.t.dims[0])
			continue
		}
		values[i] = r.t.mean + r.t.std*float32(r.rng.NormFloat64())
	}
	r.at += n
	r.left -= n
	r.pending = r.buf[:size]
	return r.source.packer.Pack(r.t.typ, r.pending, values, nil)
}

// bankReader copies chunks of the bank in random order.
type bankReader struct {
	source  *source
	t       tensor
	rng     *rand.Rand
	left    int    // chunks
	current []byte // what is left of the chunk being copied
	packed  []byte
}

func (r *bankReader) Read(p []byte) (int, error) {
	if r.packed == nil {
		packed, err := r.source.packed(r.t.typ, r.t.std)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", r.t.name, err)
		}
		r.packed = packed
	}
	n := 0
	for n < len(p) {
		if len(r.current) == 0 {
			if r.left == 0 {
				break
			}
			r.left--
			size := len(r.packed) / bankChunks
			at := r.rng.Uint64() % bankChunks * uint64(size)
			r.current = r.packed[at:][:size]
		}
		k := copy(p[n:], r.current)
		n, r.current = n+k, r.current[k:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// packed gives the bank in one format and scale.
func (s *source) packed(typ quant.Type, std float32) ([]byte, error) {
	key := bankKey{typ, std}
	if b, ok := s.bank[key]; ok {
		return b, nil
	}
	if s.unit == nil {
		s.unit = make([]float32, bankChunks*chunk)
		rng := s.rng("bank")
		for i := range s.unit {
			s.unit[i] = float32(rng.NormFloat64())
		}
	}
	size, err := typ.RowBytes(len(s.unit))
	if err != nil {
		return nil, err
	}
	scaled := make([]float32, len(s.unit))
	for i, v := range s.unit {
		scaled[i] = std * v
	}
	b := make([]byte, size)
	if err := s.packer.Pack(typ, b, scaled, nil); err != nil {
		return nil, err
	}
	s.bank[key] = b
	return b, nil
}

func invSqrt(n int) float32 { return float32(1 / math.Sqrt(float64(n))) }
