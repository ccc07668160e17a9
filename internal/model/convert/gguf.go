package convert

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
)

// Open opens a model to convert: a Hugging Face directory, a GGUF file, or the first part of a split one.
func Open(path string) (*Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err // names the path
	}
	if info.IsDir() {
		return openHF(path)
	}
	if err := RefusedFile(path); err != nil {
		return nil, err
	}
	return openGGUF(path)
}

func openGGUF(path string) (s *Source, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	s = &Source{Name: f.StringOr("general.name", nameOf(path)), close: f.Close,
		fileType: f.Uint32Or("general.file_type", 0), Files: f.Paths(),
		Context: int(f.Uint32Or("llama.context_length", 0))}
	if err := s.fromGGUF(f, path); err != nil {
		return nil, err
	}
	id := sha256.New()
	for _, p := range f.Paths() {
		if err := stamp(id, p); err != nil {
			return nil, err
		}
	}
	s.identity = fmt.Sprintf("%x", id.Sum(nil))
	s.meta = func(w *gguf.Writer) error { return copyMeta(w, f) }
	return s, nil
}

// fromGGUF checks shape and tensors, and stacks experts that are single tensors.
func (s *Source) fromGGUF(f *gguf.File, path string) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %w", ErrSource, path, fmt.Errorf(format, args...))
	}
	switch arch := f.StringOr("general.architecture", ""); arch {
	case "llama":
	case kernel.FileLayout:
		return bad("its matrices are in the order of the kernels: convert the file that it was packed from, or " +
			"what mixtral model pack --undo makes of it")
	default:
		return bad("general.architecture must be \"llama\", got %q", arch)
	}
	for _, n := range []struct {
		key string
		to  *int
	}{
		{"llama.block_count", &s.shape.layers}, {"llama.attention.head_count", &s.shape.heads},
		{"llama.attention.head_count_kv", &s.shape.kvHeads}, {"llama.expert_count", &s.shape.experts},
	} {
		v, err := f.UniformUint32(n.key)
		if errors.Is(err, gguf.ErrMissing) && n.to == &s.shape.kvHeads {
			v, err = uint32(s.shape.heads), nil // every head has its own
		}
		if err != nil {
			return bad("%w", err)
		}
		if v < 1 || v > 1<<10 {
			return bad("%s must be 1 to 1024, got %d", n.key, v)
		}
		*n.to = int(v)
	}
	s.shape.headDim = int(f.Uint32Or("llama.attention.key_length", f.Uint32Or("llama.embedding_length",
		0)/uint32(s.shape.heads)))
	found := map[string]*Tensor{}
	tied := true
	for _, x := range f.Tensors() {
		tied = tied && x.Name != "output.weight"
		if err := s.fileTensor(found, f, x, path); err != nil {
			return err
		}
	}
	var err error
	s.Tensors, err = complete(found, s.shape.layers, tied)
	return err
}

// fileTensor files one tensor of a GGUF file: a stacked one as the parts it consists of.
func (s *Source) fileTensor(found map[string]*Tensor, f *gguf.File, x gguf.Tensor, path string) error {
	where := ggufPlace(x.Name)
	kind, layer, ok := kindOf(where.name)
	p := part{name: x.Name, file: path, typ: x.Type, cols: x.Dims[0], rows: 1}
	if !ok {
		return p.errorf("it is not part of a Mixtral model")
	}
	dims := x.Dims
	for len(dims) > 1 && dims[len(dims)-1] == 1 {
		dims = dims[:len(dims)-1]
	}
	if len(dims) > 1 {
		p.rows = dims[1]
	}
	stacked := where.expert < 0 && (kind == Gate || kind == Up || kind == Down)
	switch {
	case stacked && (len(dims) != 3 || dims[2] != s.shape.experts):
		return p.errorf("must have one matrix for each of %d experts, got the shape %v", s.shape.experts, x.Dims)
	case !stacked && len(dims) > 2, kind == Norm && len(dims) != 1, kind != Norm && len(dims) < 2 && p.rows != 1:
		return p.errorf("shape %v", x.Dims)
	}
	if kind != Norm && len(dims) == 1 {
		dims = []int{dims[0], 1}
	}
	count := 1
	if stacked {
		count, dims = s.shape.experts, dims[:2]
	}
	each := len(x.Data) / count
	for e := range count {
		one, at := p, where
		data := x.Data[e*each : (e+1)*each]
		if stacked {
			at.expert = e
		}
		one.read = func(_ []byte, off int64, n int) ([]byte, error) { return data[off : off+int64(n)], nil }
		one.done = func() { f.Release(data) }
		if err := place1(found, at, kind, layer, dims, s.shape.experts, one); err != nil {
			return err
		}
		if t := found[where.name]; !sameMatrix(t, one) {
			return one.errorf("%d × %d, expert 0 of %s is another shape", one.rows, one.cols, t.Name)
		}
	}
	return nil
}

func sameMatrix(t *Tensor, p part) bool {
	return t.Dims[0] == p.cols && (len(t.Dims) == 1 || t.Dims[1] == p.rows)
}

// copyMeta keeps everything but what describes the old file's formats and parts.
func copyMeta(w *gguf.Writer, f *gguf.File) error {
	for _, key := range f.Keys() {
		switch {
		case key == "general.file_type", key == "general.quantization_version", key == "general.alignment",
			strings.HasPrefix(key, "split."), strings.HasPrefix(key, "quantize.imatrix."):
			continue
		}
		if err := w.Copy(f, key); err != nil {
			return err
		}
	}
	return nil
}

// unitName names a part of a tensor, such as "blk.3.ffn_down_exps.weight/5".
func unitName(t *Tensor, i int) string {
	if len(t.parts) == 1 {
		return t.Name
	}
	return t.Name + "/" + strconv.Itoa(i)
}
