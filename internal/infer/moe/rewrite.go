package moe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Rewriting is a model's file in the other order: packed if it was not, and the other way round. Nothing but the
// order changes: a file that is packed and unpacked has the weights and metadata it had.
type Rewriting struct {
	loader   *loader
	matrices map[string][]*job
	tensors  []rewritten
	writer   *gguf.Writer // that knows the size
}

// rewritten is a tensor of the new file.
type rewritten struct {
	name string
	from gguf.Tensor
	jobs []*job // none: the bytes as they are
}

// packedAlignment has every tensor begin at a page: a panel is then never in more pages or cache lines than it must
// be.
const packedAlignment = 4096

// NewRewriting plans. Its errors are those of Load.
func NewRewriting(f *gguf.File) (*Rewriting, error) {
	l, err := newLoader(f, &Model{})
	if err != nil {
		return nil, err
	}
	r := &Rewriting{loader: l, matrices: l.matrices()}
	for _, t := range f.Tensors() {
		jobs := r.matrices[t.Name]
		switch {
		case len(jobs) == 0:
			r.tensors = append(r.tensors, rewritten{name: t.Name, from: t})
		case l.packed && t.Name == tiedPanels: // token_embd.weight is there, too
		case l.packed:
			r.tensors = append(r.tensors, rewritten{plainName(t.Name), t, jobs})
		case t.Name == plainName(tiedPanels): // what is looked up stays
			r.tensors = append(r.tensors, rewritten{name: t.Name, from: t}, rewritten{tiedPanels, t, jobs})
		default:
			r.tensors = append(r.tensors, rewritten{panelName(t.Name), t, jobs})
		}
	}
	r.writer, err = r.declare(io.Discard)
	return r, err
}

// Size is the new file's, in bytes.
func (r *Rewriting) Size() int64 { return r.writer.Size() }

// Packs tells which way it goes.
func (r *Rewriting) Packs() bool { return !r.loader.packed }

// declare names what the new file holds.
func (r *Rewriting) declare(w io.Writer) (*gguf.Writer, error) {
	gw := gguf.NewWriter(w)
	if err := r.meta(gw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	for _, t := range r.tensors {
		dims := slices.Clone(t.from.Dims)
		if len(t.jobs) > 0 {
			rows := t.jobs[0].rows
			if r.Packs() {
				rows = paddedRows(rows)
			}
			if dims = []int{t.jobs[0].cols, rows}; len(t.from.Dims) > 2 && t.from.Dims[2] > 1 {
				dims = append(dims, len(t.jobs))
			}
		}
		if err := gw.Add(t.name, t.from.Type, dims...); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrModel, err)
		}
	}
	return gw, nil
}

// meta copies the metadata, but for what says how and where the weights are.
func (r *Rewriting) meta(w *gguf.Writer) error {
	f := r.loader.file
	architecture := plainArchitecture
	if r.Packs() {
		architecture = kernel.FileLayout
		if err := w.Align(packedAlignment); err != nil {
			return err
		}
	}
	for _, key := range f.Keys() {
		var err error
		switch {
		case key == keyArchitecture:
			err = w.Set(key, architecture)
		case key == keyLayout, key == "general.alignment", strings.HasPrefix(key, "split."):
		default:
			err = w.Copy(f, key)
		}
		if err != nil {
			return err
		}
	}
	if r.Packs() {
		return w.Set(keyLayout, uint32(kernel.LayoutVersion))
	}
	return nil
}

// Write writes the new file with so many workers; < 1 means one per CPU. It stops when ctx ends, and fails with
// gguf.ErrChanged if the old file was touched meanwhile.
func (r *Rewriting) Write(ctx context.Context, w io.Writer, workers int) (err error) {
	defer gguf.Catch(&err)()
	gw, err := r.declare(w)
	if err != nil {
		return err
	}
	if err := gw.WriteHeader(); err != nil {
		return err
	}
	crew := kernel.NewCrew(workers)
	defer crew.Close()
	for _, t := range r.tensors {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(t.jobs) == 0 {
			err = gw.WriteTensor(t.name, t.from.Data)
		} else {
			err = gw.WriteTensor(t.name, &turned{ctx: ctx, rewriting: r, crew: crew, jobs: t.jobs})
		}
		if err != nil {
			return fmt.Errorf("write tensor %s: %w", t.name, err)
		}
		r.loader.file.Release(t.from.Data)
	}
	return errors.Join(gw.Close(), r.loader.file.CheckUnchanged())
}

// turnedBytes is about how much is packed at a time: some huge pages, and a few hundred KB for each worker to take.
const turnedBytes = 16 << 20

// turned reads matrices in the other order.
type turned struct {
	ctx       context.Context
	rewriting *Rewriting
	crew      *kernel.Crew
	jobs      []*job
	row       int // of the first job
	buf, left []byte
}

func (t *turned) Read(p []byte) (int, error) {
	for len(t.left) == 0 {
		if len(t.jobs) == 0 {
			return 0, io.EOF
		}
		if err := t.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.left)
	t.left = t.left[n:]
	return n, nil
}

// fill turns the next rows.
func (t *turned) fill() error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	j := t.jobs[0]
	row := len(j.data) / j.rows
	if !t.rewriting.Packs() {
		row = len(j.data) / paddedRows(j.rows)
	}
	from := t.row
	to := min(from+max(turnedBytes/row/kernel.RowAlign, 1)*kernel.RowAlign, j.rows)
	if t.row = to; to == j.rows {
		t.jobs, t.row = t.jobs[1:], 0
	}
	size := (to - from) * row
	if t.rewriting.Packs() {
		size = paddedRows(to-from) * row
	}
	t.buf = slices.Grow(t.buf[:0], size)[:size]
	t.left = t.buf
	if t.rewriting.Packs() {
		return t.pack(j, from, to)
	}
	return t.unpack(j, from, to)
}

// pack packs rows, which become a matrix of their own: panels do not know their matrix.
func (t *turned) pack(j *job, from, to int) error {
	m, err := kernel.NewMatrix(j.typ, to-from, j.cols, t.buf)
	if err != nil {
		return err
	}
	row := len(j.data) / j.rows
	return t.each(to-from, func(a, b int) error {
		return m.Pack(j.typ, a, b, j.data[(from+a)*row:(from+b)*row])
	})
}

func (t *turned) unpack(j *job, from, to int) error {
	m, err := kernel.NewMatrix(j.typ, j.rows, j.cols, j.data)
	if err != nil {
		return err
	}
	row := m.RowBytes()
	return t.each(to-from, func(a, b int) error {
		return m.Unpack(from+a, from+b, t.buf[a*row:b*row])
	})
}

// each has the workers do pieces of so many rows.
func (t *turned) each(rows int, do func(from, to int) error) error {
	var failed atomic.Pointer[error]
	t.crew.Run(1, func(int) int { return pieces(rows, packRows) }, func(_, _, from, to int) {
		for ; from < to; from++ {
			if err := do(from*packRows, min((from+1)*packRows, rows)); err != nil {
				failed.Store(&err)
			}
		}
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Weights gives a tensor's weights as its format has them, rows one after the other in pieces of whole rows, whether
// the file is packed or not. It is for looking at all of a model.
func (r *Rewriting) Weights(t gguf.Tensor, each func(typ quant.Type, data []byte) error) (err error) {
	defer gguf.Catch(&err)()
	jobs := r.matrices[t.Name]
	if !r.loader.packed || len(jobs) == 0 {
		return each(t.Type, t.Data)
	}
	crew := kernel.NewCrew(1)
	defer crew.Close()
	read := turned{ctx: context.Background(), rewriting: r, crew: crew, jobs: jobs}
	for len(read.jobs) > 0 {
		if err := read.fill(); err != nil {
			return err
		}
		if err := each(t.Type, read.left); err != nil {
			return err
		}
	}
	return nil
}
