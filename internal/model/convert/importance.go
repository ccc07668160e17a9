package convert

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// Importance is how much each column of each matrix matters: the mean square of the activation it is multiplied with,
// over a calibration text.
type Importance struct {
	Chunks int // of the text; 0 if the file does not say

	name     string
	datasets []string
	values   map[string][]float32 // by tensor; for stacked experts one stretch each
	unseen   map[string][]int     // stretches of values that say nothing
	hash     string
}

// ReadImportance reads an importance matrix as ReadSums does.
func ReadImportance(path string) (*Importance, error) {
	data, err := readImportance(path)
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
	s, _, err := parseSums(data)
	if err != nil {
		return nil, err
	}
	m := &Importance{Chunks: s.Chunks, datasets: s.Datasets, values: map[string][]float32{},
		unseen: map[string][]int{}, hash: fmt.Sprintf("%x", sha256.Sum256(data))}
	for name, e := range s.entries {
		m.values[name] = e.means()
		if parts := e.unseen(); parts != nil {
			m.unseen[name] = parts
		}
	}
	return m, nil
}

// columns gives the importance of the columns of part i of t; nil where the matrix says nothing, and all columns
// count the same.
func (m *Importance) columns(t *Tensor, i int) ([]float32, error) {
	if m == nil || len(t.Dims) < 2 {
		return nil, nil
	}
	cols, name, at := t.Dims[0], t.Name, i
	v, ok := m.values[name]
	if !ok && len(t.parts) > 1 { // made from a file with one tensor for each expert
		name, at = strings.Replace(t.Name, "_exps.weight", fmt.Sprintf(".%d.weight", i), 1), 0
		v, ok = m.values[name]
	}
	if ok && len(v) == cols*len(t.parts) && name == t.Name {
		v = v[i*cols : (i+1)*cols]
	}
	if ok && len(v) != cols {
		return nil, fmt.Errorf("%w: %s: %d values for tensor %s of %d columns in %d parts", ErrImportance, m.name,
			len(v), t.Name, cols, len(t.parts))
	}
	if slices.Contains(m.unseen[name], at) {
		return nil, nil
	}
	return v, nil
}

// Gaps lists what the matrix says nothing about and is quantised without it: experts of its text's blind spots, and
// matrices of layers. That it is silent about embedding and output is usual.
func (m *Importance) Gaps(s *Source) ([]Gap, error) {
	var all []Gap
	for i := range s.Tensors {
		t := &s.Tensors[i]
		if t.Kind == Norm || t.Kind == Router || t.Kind == Embedding || t.Kind == Output {
			continue
		}
		var parts []int
		for e := range t.parts {
			v, err := m.columns(t, e)
			if err != nil {
				return nil, err
			}
			if v == nil {
				parts = append(parts, e)
			}
		}
		switch {
		case len(parts) == len(t.parts):
			all = append(all, Gap{t.Name, nil})
		case parts != nil:
			all = append(all, Gap{t.Name, parts})
		}
	}
	return all, nil
}

// set records in the new file that it was made with the matrix, under llama.cpp's keys.
func (m *Importance) set(w *gguf.Writer) error {
	if err := w.Set("quantize.imatrix.file", m.name); err != nil {
		return err
	}
	if len(m.datasets) > 0 { // the key has room for one
		if err := w.Set("quantize.imatrix.dataset", m.datasets[0]); err != nil {
			return err
		}
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
