package moe

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Options tune a model.
type Options struct {
	Workers int // threads that compute; < 1 means one per CPU
}

// layer is one transformer block, with the tensors' GGUF names.
type layer struct {
	attnNorm, ffnNorm []float32        // attn_norm, ffn_norm
	q, k, v, o        *kernel.Matrix   // attn_q, attn_k, attn_v, attn_output
	router            [][]float32      // ffn_gate_inp, one row for each expert
	gate, up, down    []*kernel.Matrix // ffn_gate, ffn_up, ffn_down: one for each expert

	attnIn, attnOut *kernel.Acts // the inputs of q, k and v, and of o
	ffnIn, hidden   *kernel.Acts // the inputs of gate and up, and of down
}

// Model is a loaded Mixtral. Its weights are copies in the order of the kernels, or the file's own bytes, which it
// holds: those of a packed file, and those of which there is no copy yet. The file may be closed once Load has
// returned.
type Model struct {
	cfg   Config
	info  Info
	arena *kernel.Arena // of copies
	later *later        // packs the copies; nil: Load has
	hold  *gguf.Hold    // of a packed file
	crew  *kernel.Crew

	embed     []byte // token_embd, rows in the file's format
	embedType quant.Type
	embedRow  int // bytes of a row
	layers    []layer
	outNorm   []float32 // output_norm
	output    *kernel.Matrix
	outIn     *kernel.Acts // the input of output

	run   sync.Mutex // one pass at a time, or work between passes
	state            // of one forward pass
}

// Load reads a model. Its errors match ErrModel where the file is at fault, and name the tensor or key.
func Load(f *gguf.File, o Options) (*Model, error) {
	m := &Model{}
	l, err := newLoader(f, m)
	if err != nil {
		return nil, err
	}
	m.crew = kernel.NewCrew(o.Workers)
	if err := l.load(m); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.embed, m.info = l.embed, l.info()
	m.prepare(l.types())
	m.later.start()
	return m, nil
}

// Config gives the model's shape.
func (m *Model) Config() Config { return m.cfg }

// Info gives the model's figures.
func (m *Model) Info() Info { return m.info }

// Workers is the number of threads that compute.
func (m *Model) Workers() int { return m.crew.Workers() }

// NewStorage makes a small KV cache of this model's shape, in binary16, on Go's heap.
func (m *Model) NewStorage(blocks int) *kvcache.Storage {
	return kvcache.NewStorage(m.cfg.KVLayout(quant.KVF16, blocks), nil)
}

// KVLayout is the shape of a KV cache of so many blocks.
func (c Config) KVLayout(t quant.KVType, blocks int) kvcache.Layout {
	return kvcache.Layout{Layers: c.Layers, KVHeads: c.KVHeads, HeadDim: c.HeadDim, BlockTokens: kernel.BlockTokens,
		Blocks: blocks, Type: t}
}

// Settle waits until the weights are in the pages that they will stay in, which a measurement of speed may want to.
func (m *Model) Settle() {
	m.later.settle()
	if m.arena != nil {
		m.arena.Settle()
	}
}

// Close stops the workers and frees the weights. No Forward may be under way; a second Close is harmless.
func (m *Model) Close() error {
	errs := []error{m.later.close()}
	m.crew.Close()
	if m.arena != nil {
		errs = append(errs, m.arena.Close())
	}
	if m.hold != nil {
		errs = append(errs, m.hold.Close())
	}
	return errors.Join(errs...)
}

// loader turns tensors into packed matrices: plan finds and checks them all, then pack copies in parallel, packLater
// has them be copied when they are used, or adopt leaves them where they are.
type loader struct {
	file   *gguf.File
	packed bool // the file is
	cfg    Config
	size   int64
	todo   []*job
	used   map[string]bool // tensors that were asked for

	embed []byte // token_embd, in the arena or the file
}

// newLoader plans for a model.
func newLoader(f *gguf.File, m *Model) (made *loader, err error) {
	defer gguf.Catch(&err)()
	cfg, err := readConfig(f)
	if err != nil {
		return nil, err
	}
	l := &loader{file: f, packed: IsPacked(f), cfg: cfg, used: map[string]bool{}}
	return l, l.plan(m)
}

func (l *loader) load(m *Model) (err error) {
	defer gguf.Catch(&err)()
	if l.packed {
		m.hold = l.file.Hold()
		return l.adopt(m.crew)
	}
	if m.arena, err = kernel.NewArena(l.size); err != nil {
		return err
	}
	if l.size >= laterFrom && l.file.CanBeHeld() {
		return l.packLater(m)
	}
	return l.pack(m.arena, m.crew)
}

// job is one matrix to be packed, or that is packed.
type job struct {
	name string
	typ  quant.Type
	data []byte
	rows int
	cols int
	to   **kernel.Matrix // nil for the embedding: it is looked up row by row, so it is copied as it is
	mat  *kernel.Matrix
	copy []byte
	left atomic.Int64 // pieces still to be packed

	expert, output bool // what it is part of
}

// plan resolves every tensor the model needs.
func (l *loader) plan(m *Model) error {
	c := &l.cfg
	embed, err := l.tensor("token_embd.weight", c.Dim, -1)
	if err != nil {
		return err
	}
	c.Vocab = embed.Dims[1]
	if c.Vocab > maxVocab {
		return fmt.Errorf("%w: tensor token_embd.weight must have at most %d tokens, got %d", ErrModel, maxVocab,
			c.Vocab)
	}
	m.cfg = *c
	m.embedType = embed.Type
	if m.embedRow, err = embed.Type.RowBytes(c.Dim); err != nil {
		return fmt.Errorf("%w: tensor token_embd.weight: %w", ErrModel, err)
	}
	l.size += kernel.ArenaSize(int64(len(embed.Data)))
	l.todo = append(l.todo, &job{name: "token_embd.weight", typ: embed.Type, data: embed.Data, rows: c.Vocab,
		cols: c.Dim})

	out := l.name("output")
	if _, ok := l.file.Tensor(out); !ok {
		out = l.name("token_embd") // tied embeddings
	}
	if err := l.matrix(&m.output, out, c.Dim, c.Vocab); err != nil {
		return err
	}
	l.todo[len(l.todo)-1].output = true
	if m.outNorm, err = l.floats("output_norm.weight", c.Dim); err != nil {
		return err
	}
	m.layers = make([]layer, c.Layers)
	for i := range m.layers {
		if err := l.layer(&m.layers[i], i); err != nil {
			return err
		}
	}
	factors, err := l.ropeFactors()
	if err != nil {
		return err
	}
	m.freq = c.Rope.frequencies(c.HeadDim, factors)
	return l.checkTensors()
}

func (l *loader) layer(y *layer, i int) error {
	c := &l.cfg
	part := func(s string) string { return fmt.Sprintf("blk.%d.%s", i, s) }
	var err error
	if y.attnNorm, err = l.floats(part("attn_norm.weight"), c.Dim); err != nil {
		return err
	}
	if y.ffnNorm, err = l.floats(part("ffn_norm.weight"), c.Dim); err != nil {
		return err
	}
	for _, t := range []struct {
		to       **kernel.Matrix
		part     string
		in, rows int
	}{
		{&y.q, "attn_q", c.Dim, c.Heads * c.HeadDim},
		{&y.k, "attn_k", c.Dim, c.KVHeads * c.HeadDim},
		{&y.v, "attn_v", c.Dim, c.KVHeads * c.HeadDim},
		{&y.o, "attn_output", c.Heads * c.HeadDim, c.Dim},
	} {
		if err := l.matrix(t.to, l.name(part(t.part)), t.in, t.rows); err != nil {
			return err
		}
	}
	router, err := l.floats(part("ffn_gate_inp.weight"), c.Dim, c.Experts)
	if err != nil {
		return err
	}
	for e := range c.Experts {
		y.router = append(y.router, router[e*c.Dim:(e+1)*c.Dim])
	}
	if y.gate, err = l.experts(i, "ffn_gate", c.Dim, c.FFN); err != nil {
		return err
	}
	if y.up, err = l.experts(i, "ffn_up", c.Dim, c.FFN); err != nil {
		return err
	}
	y.down, err = l.experts(i, "ffn_down", c.FFN, c.Dim)
	return err
}

// experts finds one kind of expert matrices in either layout: a single tensor of three dimensions ("ffn_gate_exps"),
// or one tensor for each expert ("ffn_gate.3"), as files made before April 2024 have.
func (l *loader) experts(i int, kind string, in, rows int) ([]*kernel.Matrix, error) {
	all := make([]*kernel.Matrix, l.cfg.Experts)
	whole := l.name(fmt.Sprintf("blk.%d.%s_exps", i, kind))
	if _, ok := l.file.Tensor(whole); !ok {
		single := func(e int) string { return l.name(fmt.Sprintf("blk.%d.%s.%d", i, kind, e)) }
		if _, ok := l.file.Tensor(single(0)); !ok {
			return nil, fmt.Errorf("%w: tensor %s is missing (and so is %s)", ErrModel, whole, single(0))
		}
		for e := range all {
			if err := l.matrix(&all[e], single(e), in, rows); err != nil {
				return nil, err
			}
			l.todo[len(l.todo)-1].expert = true
		}
		return all, nil
	}
	t, err := l.tensor(whole, in, l.rowsInFile(rows), l.cfg.Experts)
	if err != nil {
		return nil, err
	}
	each := len(t.Data) / len(all)
	for e := range all {
		if err := l.add(&all[e], whole, t.Type, rows, in, t.Data[e*each:(e+1)*each]); err != nil {
			return nil, err
		}
		l.todo[len(l.todo)-1].expert = true
	}
	return all, nil
}

// tensor finds a tensor and checks its shape; −1 accepts any size.
func (l *loader) tensor(name string, dims ...int) (gguf.Tensor, error) {
	t, ok := l.file.Tensor(name)
	l.used[name] = true
	if !ok {
		return t, fmt.Errorf("%w: tensor %s is missing", ErrModel, name)
	}
	have := t.Dims
	for len(have) > len(dims) && have[len(have)-1] == 1 {
		have = have[:len(have)-1]
	}
	same := len(have) == len(dims)
	for i := 0; same && i < len(dims); i++ {
		same = have[i] == dims[i] || dims[i] < 0
	}
	if !same {
		return t, fmt.Errorf("%w: tensor %s must have the shape %v, got %v", ErrModel, name, dims, t.Dims)
	}
	if !t.Type.Supported() {
		return t, fmt.Errorf("%w: tensor %s has unsupported %v", ErrModel, name, t.Type)
	}
	return t, nil
}

// matrix plans a tensor of rows × in weights.
func (l *loader) matrix(to **kernel.Matrix, name string, in, rows int) error {
	t, err := l.tensor(name, in, l.rowsInFile(rows))
	if err != nil {
		return err
	}
	return l.add(to, name, t.Type, rows, in, t.Data)
}

func (l *loader) add(to **kernel.Matrix, name string, typ quant.Type, rows, cols int, data []byte) error {
	n, err := kernel.PackedSize(typ, rows, cols)
	if err != nil {
		return fmt.Errorf("%w: tensor %s: %w", ErrModel, name, err)
	}
	l.size += kernel.ArenaSize(n)
	l.todo = append(l.todo, &job{name: name, typ: typ, data: data, rows: rows, cols: cols, to: to})
	return nil
}

// types gives the file's format of each packed matrix.
func (l *loader) types() map[*kernel.Matrix]quant.Type {
	types := make(map[*kernel.Matrix]quant.Type, len(l.todo))
	for _, j := range l.todo {
		types[j.mat] = j.typ
	}
	return types
}

// floats reads a small tensor of any format as float32.
func (l *loader) floats(name string, dims ...int) ([]float32, error) {
	t, err := l.tensor(name, dims...)
	if err != nil {
		return nil, err
	}
	n := 1
	for _, d := range dims {
		n *= d
	}
	if err := l.file.Populate(t.Data); err != nil {
		return nil, err
	}
	v := kernel.AlignedFloats(n)
	if err := quant.Unpack(t.Type, v, t.Data); err != nil {
		return nil, fmt.Errorf("%w: tensor %s: %w", ErrModel, name, err)
	}
	return v, nil
}

// packRows is how many rows a worker packs at once: some hundred KB.
const packRows = 8 * kernel.RowAlign

// piece is some rows of a job.
type piece struct {
	*job
	from, to int
}

// pack copies all planned tensors into the arena, every worker taking pieces of rows.
func (l *loader) pack(arena *kernel.Arena, crew *kernel.Crew) error {
	var todo []piece
	for _, j := range l.todo {
		if err := l.place(j, arena); err != nil {
			return err
		}
		j.left.Store(int64(pieces(j.rows, packRows)))
		for r := 0; r < j.rows; r += packRows {
			todo = append(todo, piece{j, r, min(r+packRows, j.rows)})
		}
	}
	var failed atomic.Pointer[error]
	crew.Run(1, func(int) int { return len(todo) }, func(_, _, from, to int) {
		for _, p := range todo[from:to] {
			if failed.Load() == nil {
				arena.Back(p.target())
				if err := p.pack(); err != nil {
					err = fmt.Errorf("%w: tensor %s: %w", ErrModel, p.name, err)
					failed.Store(&err)
				}
			}
			if p.left.Add(-1) == 0 {
				l.file.Release(p.data) // or the process would hold two copies of the weights while it loads
			}
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	arena.Join()
	return nil
}

// place gives a job its part of the arena.
func (l *loader) place(j *job, arena *kernel.Arena) error {
	if j.to == nil {
		j.copy = arena.Alloc(len(j.data))
		l.embed = j.copy
		return nil
	}
	n, err := kernel.PackedSize(j.typ, j.rows, j.cols)
	if err != nil {
		return err
	}
	j.mat, err = kernel.NewMatrix(j.typ, j.rows, j.cols, arena.Alloc(int(n)))
	*j.to = j.mat
	return err
}

// target is where the piece goes.
func (p piece) target() []byte {
	if p.copy != nil {
		row := len(p.data) / p.rows
		return p.copy[p.from*row : p.to*row]
	}
	return p.mat.From(p.from, (p.to-p.from)*p.mat.RowBytes())
}

func (p piece) pack() error {
	row := len(p.data) / p.rows
	if p.copy != nil {
		copy(p.copy[p.from*row:p.to*row], p.data[p.from*row:])
		return nil
	}
	return p.mat.Pack(p.typ, p.from, p.to, p.data[p.from*row:p.to*row])
}
