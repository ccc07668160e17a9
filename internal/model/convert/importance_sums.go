package convert

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"sync"
)

// Sums is an importance matrix in the making, or what a file of one holds: for each weight matrix, column by column,
// the sum of the squares of what the column was multiplied with, and of how many tokens it is the sum.
type Sums struct {
	Datasets  []string // the texts, in order
	Chunks    int      // of the texts
	ChunkSize int      // tokens of a chunk; 0 if unknown

	entries map[string]*Sum // by tensor; some share one
}

// Sum is that of the matrices that are multiplied with the same input. It is not safe for concurrent use.
type Sum struct {
	squares []float64 // a stretch of columns for each part
	counts  []float64 // tokens of each part: of each expert, or of the only matrix
}

// NewSums gives sums without entries.
func NewSums() *Sums { return &Sums{entries: map[string]*Sum{}} }

// Share adds zeros for tensors of so many columns that share their input. A tensor has one part, or one for each
// expert.
func (s *Sums) Share(cols, parts int, tensors ...string) *Sum {
	e := &Sum{squares: make([]float64, cols*parts), counts: make([]float64, parts)}
	for _, name := range tensors {
		s.entries[name] = e
	}
	return e
}

// Tensors is how many tensors have an entry.
func (s *Sums) Tensors() int { return len(s.entries) }

// Clear makes all sums zero again.
func (s *Sums) Clear() {
	s.Chunks, s.Datasets = 0, nil
	for _, e := range s.entries {
		clear(e.squares)
		clear(e.counts)
	}
}

// Round gives sums the precision that a file has. A run that goes on with what it has written, rounded, makes the same
// as one that reads it from there.
func (s *Sums) Round() {
	for _, e := range s.entries {
		for _, list := range [][]float64{e.squares, e.counts} {
			for i, v := range list {
				list[i] = float64(float32(v))
			}
		}
	}
}

// squaresEach is how many squares are worth a goroutine: some 100 µs of work.
const squaresEach = 1 << 18

// Add adds the squares of rows, the inputs of a part for one token each; it is an error if a sum is beyond what a
// file can hold. Their order decides over rounding, the number of CPUs does not.
func (e *Sum) Add(part int, rows [][]float32) error {
	cols := len(e.squares) / len(e.counts)
	sums := e.squares[part*cols:][:cols]
	e.counts[part] += float64(len(rows))
	workers := min(runtime.GOMAXPROCS(0), max(len(rows)*cols/squaresEach, 1))
	each := (cols + workers - 1) / workers
	if workers == 1 {
		addSquares(sums, rows, 0)
	} else {
		var group sync.WaitGroup
		for at := 0; at < cols; at += each {
			group.Go(func() { addSquares(sums[at:min(at+each, cols)], rows, at) })
		}
		group.Wait()
	}
	for i, v := range sums {
		if !(v <= math.MaxFloat32) {
			return fmt.Errorf("the squares of column %d sum up to %v", i, v)
		}
	}
	return nil
}

// addSquares adds the squares of each row's elements from at on. The square of a float32 is exact in float64.
func addSquares(sums []float64, rows [][]float32, at int) {
	for _, row := range rows {
		for i, v := range row[at:][:len(sums)] {
			sums[i] += float64(v) * float64(v)
		}
	}
}

// MergeSums adds up sums, as if their texts had been read one after the other. Chunks of different sizes count as
// chunks of the last one's.
func MergeSums(all ...*Sums) (*Sums, error) {
	m := NewSums()
	for _, s := range all {
		m.Datasets = append(m.Datasets, s.Datasets...)
		m.Chunks += s.Chunks
		if s.ChunkSize > 0 {
			m.ChunkSize = s.ChunkSize
		}
		for name, e := range s.entries {
			if m.entries[name] == nil {
				m.entries[name] = &Sum{squares: slices.Clone(e.squares), counts: slices.Clone(e.counts)}
				continue
			}
			if err := m.entries[name].merge(e); err != nil {
				return nil, fmt.Errorf("%w: tensor %s: %w", ErrImportance, name, err)
			}
		}
	}
	return m, nil
}

// merge adds o. The older format has one count for all experts.
func (e *Sum) merge(o *Sum) error {
	counts := o.counts
	switch {
	case len(e.squares) != len(o.squares):
		return fmt.Errorf("%d columns and %d: the matrices are of different models", len(e.squares), len(o.squares))
	case len(e.counts) == len(counts):
	case len(e.counts) == 1 && len(e.squares)%len(counts) == 0:
		e.counts = slices.Repeat(e.counts, len(counts))
	case len(counts) == 1:
		counts = slices.Repeat(counts, len(e.counts))
	default:
		return fmt.Errorf("%d experts and %d: the matrices are of different models", len(e.counts), len(counts))
	}
	for i, v := range o.squares {
		e.squares[i] += v
	}
	for i, v := range counts {
		e.counts[i] += v
	}
	return nil
}

// Gap is a tensor of which an importance matrix does not say everything.
type Gap struct {
	Tensor string
	Parts  []int // experts that no token of the text went to; nil: there is nothing about the tensor
}

// Unseen lists the tensors with experts that no token went to.
func (s *Sums) Unseen() []Gap {
	var all []Gap
	for _, name := range slices.SortedFunc(maps.Keys(s.entries), byLayer) {
		if parts := s.entries[name].unseen(); parts != nil {
			all = append(all, Gap{name, parts})
		}
	}
	return all
}

func (e *Sum) unseen() (parts []int) {
	for i, n := range e.counts {
		if n == 0 {
			parts = append(parts, i)
		}
	}
	return parts
}

// byLayer sorts names as files have them.
func byLayer(a, b string) int { return cmp.Or(order(a)-order(b), cmp.Compare(a, b)) }

// means gives the mean square of each column; of parts that no token went to, ones.
func (e *Sum) means() []float32 {
	cols := len(e.squares) / len(e.counts)
	means := make([]float32, len(e.squares))
	for i, v := range e.squares {
		means[i] = 1
		if n := e.counts[i/cols]; n > 0 {
			means[i] = float32(v / n)
		}
	}
	return means
}
