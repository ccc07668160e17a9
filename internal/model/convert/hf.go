package convert

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/safetensors"
)

// openHF opens a directory as Hugging Face repositories have them: config.json, safetensors files, and the tokenizer.
func openHF(dir string) (s *Source, err error) {
	if err := Refused(dir); err != nil {
		return nil, err
	}
	c, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	tok, err := readTokenizer(dir, &c)
	if err != nil {
		return nil, err
	}
	m, err := safetensors.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Close())
		}
	}()
	if err = refusedTensors(dir, m); err != nil {
		return nil, err
	}
	s = &Source{Name: nameOf(dir), shape: shape{c.Layers, c.Heads, c.KVHeads, c.Experts, c.HeadDim},
		Context: c.Context, close: m.Close}
	if s.Tensors, err = hfTensors(&c, m); err != nil {
		return nil, err
	}
	s.Files = hfFiles(dir, m)
	id := sha256.New()
	for _, t := range m.Tensors() {
		if err := stamp(id, t.File); err != nil {
			return nil, err
		}
		fmt.Fprintf(id, "%s %s %v\n", t.Name, t.DType, t.Shape)
	}
	s.fileType = map[quant.Type]uint32{quant.F16: mixes["f16"].fileType,
		quant.BF16: mixes["bf16"].fileType}[s.Tensors[0].From]
	s.identity = fmt.Sprintf("%x", id.Sum(nil))
	s.meta = func(w *gguf.Writer) error { return hfMeta(w, s.Name, &c, tok) }
	return s, nil
}

// beside are the files next to the weights that decide what the new file is.
var beside = []string{"config.json", "tokenizer.model", "tokenizer.json", "tokenizer_config.json",
	"added_tokens.json", "special_tokens_map.json", "generation_config.json", "chat_template.jinja",
	"chat_template.json", toolTemplate, safetensors.IndexName}

// hfFiles gives the paths of a directory's files that are read.
func hfFiles(dir string, m *safetensors.Model) (paths []string) {
	for _, t := range m.Tensors() {
		if !slices.Contains(paths, t.File) {
			paths = append(paths, t.File)
		}
	}
	for _, name := range beside {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	slices.Sort(paths)
	return paths
}

// nameOf is what people call a directory or file, links resolved.
func nameOf(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return filepath.Base(path)
}

// stamp writes what changes when a file does.
func stamp(h hash.Hash, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %d %d\n", filepath.Base(path), info.Size(), info.ModTime().UnixNano())
	return nil
}

// hfTensors files every array under its new name and checks that the model is whole.
func hfTensors(c *hfConfig, m *safetensors.Model) ([]Tensor, error) {
	found := map[string]*Tensor{}
	for _, x := range m.Tensors() {
		if m := hfPackedName.FindStringSubmatch(x.Name); m != nil {
			if err := unpackExperts(found, c, x, m[1], hfPacked[m[2]]); err != nil {
				return nil, err
			}
			continue
		}
		where, skip, ok := hfPlace(x.Name)
		switch {
		case skip:
			continue
		case !ok:
			return nil, fmt.Errorf("%w: %s: tensor %s is not part of a Mixtral model", ErrSource, x.File, x.Name)
		}
		kind, layer, _ := kindOf(where.name)
		p, err := hfPart(c, x, kind)
		if err != nil {
			return nil, err
		}
		if err := place1(found, where, kind, layer, c.dims(kind), c.Experts, p); err != nil {
			return nil, err
		}
	}
	return complete(found, c.Layers, c.Tied)
}

// unpackExperts files the parts of an array that holds matrices of all experts.
func unpackExperts(found map[string]*Tensor, c *hfConfig, x safetensors.Tensor, number string, stems []string) error {
	layer, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	kind, _, _ := kindOf(blockTensor(layer, stems[0]))
	dims := c.dims(kind)
	cols, rows := dims[0], dims[1]
	p := part{name: x.Name, file: x.File, cols: cols, rows: rows}
	typ, ok := x.Type()
	if !ok {
		return p.errorf("dtype %s is not supported (F32, F16 and BF16 are)", x.DType)
	}
	if want := []int{c.Experts, len(stems) * rows, cols}; !slices.Equal(x.Shape, want) {
		return p.errorf("the shape must be %v by config.json, got %v", want, x.Shape)
	}
	p.typ = typ
	size := int64(rows) * int64(cols) * int64(typ.BlockBytes())
	for e := range c.Experts {
		for i, stem := range stems {
			base := int64(e*len(stems)+i) * size
			p.read = func(buf []byte, off int64, n int) ([]byte, error) {
				_, err := x.ReadAt(buf[:n], base+off)
				return buf[:n], err
			}
			where := place{blockTensor(layer, stem), e}
			kind, _, _ := kindOf(where.name)
			if err := place1(found, where, kind, layer, dims, c.Experts, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// hfPart checks an array's type and shape.
func hfPart(c *hfConfig, x safetensors.Tensor, kind Kind) (part, error) {
	dims := c.dims(kind)
	want := slices.Clone(dims)
	slices.Reverse(want)
	p := part{name: x.Name, file: x.File, cols: dims[0], rows: 1}
	typ, ok := x.Type()
	if !ok {
		return p, p.errorf("dtype %s is not supported (F32, F16 and BF16 are)", x.DType)
	}
	if !slices.Equal(x.Shape, want) {
		return p, p.errorf("the shape must be %v by config.json, got %v", want, x.Shape)
	}
	p.typ = typ
	if len(dims) > 1 {
		p.rows = dims[1]
	}
	switch kind {
	case Query:
		p.heads = c.Heads
	case Key:
		p.heads = c.KVHeads
	}
	p.read = func(buf []byte, off int64, n int) ([]byte, error) {
		_, err := x.ReadAt(buf[:n], off)
		return buf[:n], err
	}
	return p, nil
}

// place1 files a part. dims are those of a part; experts is the number that a stacked tensor needs.
func place1(found map[string]*Tensor, where place, kind Kind, layer int, dims []int, experts int, p part) error {
	t := found[where.name]
	if t == nil {
		t = &Tensor{Name: where.name, Dims: slices.Clone(dims), From: p.typ, Kind: kind, layer: layer}
		if where.expert >= 0 {
			t.Dims = append(t.Dims, experts)
			t.parts = make([]part, experts)
		} else {
			t.parts = make([]part, 1)
		}
		found[where.name] = t
	}
	at := max(where.expert, 0)
	switch {
	case where.expert >= experts:
		return p.errorf("expert %d of %d", where.expert, experts)
	case at >= len(t.parts) || t.parts[at].read != nil:
		return p.errorf("it appears twice")
	}
	t.parts[at] = p
	return nil
}

// complete checks that nothing is missing and orders tensors for the file.
func complete(found map[string]*Tensor, layers int, tied bool) ([]Tensor, error) {
	need := []string{"token_embd.weight", "output_norm.weight"}
	if !tied {
		need = append(need, "output.weight")
	} else {
		delete(found, "output.weight")
	}
	if name := ropeFactors + ".weight"; found[name] != nil {
		need = append(need, name)
	}
	for l := range layers {
		for stem, kind := range stems {
			if kind != Embedding && kind != Output && stem != "output_norm" && stem != ropeFactors {
				need = append(need, blockTensor(l, stem))
			}
		}
	}
	sort.Strings(need)
	for _, name := range need {
		t := found[name]
		if t == nil {
			return nil, fmt.Errorf("%w: no weights for %s", ErrSource, name)
		}
		for e := range t.parts {
			if t.parts[e].read == nil {
				return nil, fmt.Errorf("%w: no weights for expert %d of %s", ErrSource, e, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, named := slices.BinarySearch(need, name); !named {
			t := found[name]
			return nil, t.parts[0].errorf("it belongs to layer %d of %d", t.layer, layers)
		}
	}
	all := make([]Tensor, 0, len(found))
	for _, t := range found {
		all = append(all, *t)
	}
	sort.Slice(all, func(i, j int) bool {
		if a, b := order(all[i].Name), order(all[j].Name); a != b {
			return a < b
		}
		if all[i].Kind != all[j].Kind {
			return all[i].Kind < all[j].Kind
		}
		return all[i].Name < all[j].Name
	})
	return all, nil
}

// hfMeta sets the keys that GGUF readers want of a Mixtral.
// metadata is a key of a GGUF file.
type metadata struct {
	key   string
	value any
}

func hfMeta(w *gguf.Writer, name string, c *hfConfig, tok *vocabulary) error {
	keys := []metadata{
		{"general.architecture", "llama"}, // the name under which GGUF files hold Mixtral
		{"general.name", name},
		{"llama.block_count", uint32(c.Layers)},
		{"llama.context_length", uint32(c.Context)},
		{"llama.embedding_length", uint32(c.Dim)},
		{"llama.feed_forward_length", uint32(c.FFN)},
		{"llama.attention.head_count", uint32(c.Heads)},
		{"llama.attention.head_count_kv", uint32(c.KVHeads)},
		{"llama.attention.key_length", uint32(c.HeadDim)},
		{"llama.attention.value_length", uint32(c.HeadDim)},
		{"llama.attention.layer_norm_rms_epsilon", float32(c.NormEps)},
		{"llama.rope.freq_base", float32(c.RopeTheta)},
		{"llama.rope.dimension_count", uint32(c.HeadDim)},
		{"llama.expert_count", uint32(c.Experts)},
		{"llama.expert_used_count", uint32(c.ExpertsUsed)},
		{"llama.vocab_size", uint32(c.Vocab)},
	}
	keys = append(keys, c.scaling().keys()...)
	for _, kv := range keys {
		if err := w.Set(kv.key, kv.value); err != nil {
			return err
		}
	}
	return tok.set(w)
}

// lossless tells whether a conversion keeps every bit.
func lossless(from, to quant.Type) bool {
	return from == to || to == quant.F32 && (from == quant.F16 || from == quant.BF16)
}
