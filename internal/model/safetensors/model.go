package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// IndexName is the file that says which tensor is in which file.
const IndexName = "model.safetensors.index.json"

// Model is the tensors of one model, open for reading. It is safe for concurrent use until Close.
type Model struct {
	tensors []Tensor // by name
	files   []*os.File
}

// Open opens a file, or a directory: the files that its index names, or else all of its safetensors files. Names of
// tensors are unique in the result.
func Open(path string) (m *Model, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err // names the path
	}
	m = &Model{}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
			m = nil
		}
	}()
	if !info.IsDir() {
		return m, m.add(path, nil)
	}
	index, err := readIndex(filepath.Join(path, IndexName))
	if err != nil {
		return m, err
	}
	if index == nil {
		return m, m.addAll(path)
	}
	var names []string
	for name := range index {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := m.add(filepath.Join(path, name), index[name]); err != nil {
			return m, err
		}
	}
	return m, m.sort()
}

// Bounds of the index: Mixtral-8x22B's has 150 kB, and 3,600 values.
const (
	maxIndex  = 16 << 20
	mostNamed = 500_000
)

// readIndex gives the tensors that each file should hold; nil where there is no index.
func readIndex(path string) (map[string][]string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxIndex:
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrFormat, path, info.Size())
	}
	data, err := bounded.File(path, maxIndex)
	if err != nil {
		return nil, err
	}
	files, err := parseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return files, nil
}

// parseIndex reads the index and checks that files are names in its own directory.
func parseIndex(data []byte) (map[string][]string, error) {
	if err := bounded.JSON(data, mostNamed, maxDepth); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(index.Map) == 0 {
		return nil, fmt.Errorf("%w: weight_map is missing or empty", ErrFormat)
	}
	files := map[string][]string{}
	for tensor, file := range index.Map {
		if file == "" || file != filepath.Base(file) || strings.ContainsAny(file, `/\`+"\x00") ||
			strings.HasPrefix(file, ".") {
			return nil, fmt.Errorf("%w: weight_map: tensor %q is in %q, which is not a file name", ErrFormat,
				bounded.Short(tensor, maxQuoted), bounded.Short(file, maxQuoted))
		}
		files[file] = append(files[file], tensor)
	}
	return files, nil
}

// addAll opens a directory without an index. consolidated.safetensors holds the same model under other names.
func (m *Model) addAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".safetensors") && !strings.HasPrefix(name, "consolidated") &&
			!strings.HasPrefix(name, ".") {
			if err := m.add(filepath.Join(dir, name), nil); err != nil {
				return err
			}
		}
	}
	if len(m.files) == 0 {
		return fmt.Errorf("%w: %s holds no .safetensors file", ErrFormat, dir)
	}
	return m.sort()
}

// add opens one file. want, if not nil, names the tensors to take from it.
func (m *Model) add(path string, want []string) error {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && want != nil {
			return fmt.Errorf("%w: %s is named in %s and missing: %w", ErrRead, path, IndexName, err)
		}
		return err
	}
	m.files = append(m.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s: not a regular file", ErrFormat, path)
	}
	all, err := read(f, info.Size(), path)
	if err != nil {
		return err
	}
	if want == nil {
		m.tensors = append(m.tensors, all...)
		return nil
	}
	have := make(map[string]Tensor, len(all))
	for _, t := range all {
		have[t.Name] = t
	}
	for _, name := range want {
		t, ok := have[name]
		if !ok {
			return fmt.Errorf("%w: %s does not hold tensor %q, which %s promises", ErrFormat, path, name, IndexName)
		}
		m.tensors = append(m.tensors, t)
	}
	return nil
}

func (m *Model) sort() error {
	slices.SortFunc(m.tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(m.tensors); i++ {
		if a, b := m.tensors[i-1], m.tensors[i]; a.Name == b.Name {
			return fmt.Errorf("%w: tensor %q is in %s and in %s", ErrFormat, a.Name, a.File, b.File)
		}
	}
	return nil
}

// Tensors lists all tensors by name. The slice is shared: read only.
func (m *Model) Tensors() []Tensor { return m.tensors }

// Close closes the files.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	m.files = nil
	return errors.Join(errs...)
}
