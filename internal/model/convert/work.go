package convert

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// chunkElems is about how many elements a worker converts at once: 1 MB of float32, which stays in its cache.
const chunkElems = 1 << 18

// unit is what the journal records: one matrix.
type unit struct {
	tensor, part int
	name         string
	at           int64 // in the new file
	rowBytes     int
	chunkRows    int
	importance   []float32

	sums   []uint32 // of each chunk's bytes
	left   atomic.Int32
	errors Errors // under work.mu
	done   bool   // by an earlier run
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is that of the chunks' sums.
func (u *unit) sum() uint32 {
	b := make([]byte, 0, 4*len(u.sums))
	for _, s := range u.sums {
		b = binary.LittleEndian.AppendUint32(b, s)
	}
	return crc32.Checksum(b, castagnoli)
}

// cut divides the tensors into units.
func (p *plan) cut() error {
	for i := range p.source.Tensors {
		t := &p.source.Tensors[i]
		row, err := p.types[i].RowBytes(t.Dims[0])
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSource, err)
		}
		for e := range t.parts {
			rows := t.parts[e].rows
			columns, err := p.options.Importance.columns(t, e)
			if err != nil {
				return err
			}
			u := &unit{tensor: i, part: e, name: unitName(t, e), at: p.offsets[i] + int64(e)*int64(rows)*int64(row),
				rowBytes: row, importance: columns}
			u.chunkRows = min(max(chunkElems/t.Dims[0], 1), rows)
			u.sums = make([]uint32, (rows+u.chunkRows-1)/u.chunkRows)
			u.left.Store(int32(len(u.sums)))
			p.units = append(p.units, u)
		}
	}
	return nil
}

// work is a conversion under way.
type work struct {
	*plan
	out     *os.File
	journal *journal

	total   int64 // elements
	resumed int64

	progress sync.Mutex // of done, and one report at a time
	done     int64      // elements

	mu sync.Mutex // of the units' errors and of the journal
}

// begin sizes the partial file, writes its header and takes over what an earlier run has finished and the disk still
// holds.
func (w *work) begin(finished map[string]done) error {
	if err := w.out.Truncate(w.size); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if _, err := w.out.WriteAt(w.header, 0); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	for _, u := range w.units {
		n := int64(w.partOf(u).rows) * int64(w.partOf(u).cols)
		w.total += n
		d, ok := finished[u.name]
		if !ok {
			continue
		}
		if err := w.read(u); err != nil {
			return err
		}
		if u.sum() != d.Sum {
			continue // damaged since: made again
		}
		u.done, u.errors = true, d.Errors
		w.resumed += n
	}
	w.say(w.resumed)
	return nil
}

func (w *work) partOf(u *unit) *part { return &w.source.Tensors[u.tensor].parts[u.part] }

// read sums a unit's bytes as they are in the partial file.
func (w *work) read(u *unit) error {
	rows := w.partOf(u).rows
	buf := make([]byte, u.chunkRows*u.rowBytes)
	for c := range u.sums {
		b := buf[:(min((c+1)*u.chunkRows, rows)-c*u.chunkRows)*u.rowBytes]
		if _, err := w.out.ReadAt(b, u.at+int64(c)*int64(len(buf))); err != nil {
			return fmt.Errorf("%w: %w", ErrOutput, err)
		}
		u.sums[c] = crc32.Checksum(b, castagnoli)
	}
	return nil
}

// say reports n more elements.
func (w *work) say(n int64) {
	w.progress.Lock()
	defer w.progress.Unlock()
	w.done += n
	if w.options.Progress != nil {
		w.options.Progress(Progress{Done: w.done, Total: w.total, Resumed: w.resumed})
	}
}

// run converts every chunk that is not done, in file order, on so many workers.
func (w *work) run(ctx context.Context, workers int) error {
	type chunk struct {
		u *unit
		c int
	}
	var todo []chunk
	for _, u := range w.units {
		if !u.done {
			for c := range u.sums {
				todo = append(todo, chunk{u, c})
			}
		}
	}
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error {
			k := &worker{work: w, packer: kernel.NewPacker()}
			for {
				i := next.Add(1) - 1
				if i >= int64(len(todo)) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := k.chunk(todo[i].u, todo[i].c); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// worker is one worker's scratch.
type worker struct {
	*work
	packer *quant.Packer
	raw    []byte
	packed []byte
	values []float32
	again  []float32
}

// chunk converts some rows of a unit.
func (k *worker) chunk(u *unit, c int) (err error) {
	defer gguf.Catch(&err)() // the source may be a mapped file
	p := k.partOf(u)
	to := k.types[u.tensor]
	r0 := c * u.chunkRows
	r1 := min(r0+u.chunkRows, p.rows)
	n := (r1 - r0) * p.cols
	from, err := p.typ.RowBytes(p.cols)
	if err != nil {
		return p.errorf("%w", err)
	}
	k.raw = grow(k.raw, (r1-r0)*from)
	k.packed = grow(k.packed, (r1-r0)*u.rowBytes)
	raw, err := p.readRows(k.raw, r0, r1)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	packed, e := raw, Errors{}
	if p.typ != to {
		k.values = grow(k.values, n)
		if err := kernel.Unpack(p.typ, k.values, raw); err != nil {
			return p.errorf("%w", err)
		}
		packed = k.packed
		if err := k.packer.Pack(to, packed, k.values, u.importance); err != nil {
			return p.errorf("rows %d to %d: %w", r0, r1-1, err)
		}
		if !lossless(p.typ, to) {
			k.again = grow(k.again, n)
			if err := kernel.Unpack(to, k.again, packed); err != nil {
				return p.errorf("%w", err)
			}
			squares, norm, most := kernel.Difference(k.values, k.again)
			e = Errors{squares, norm, float64(most)}
		}
	}
	if _, err := k.out.WriteAt(packed, u.at+int64(r0)*int64(u.rowBytes)); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	u.sums[c] = crc32.Checksum(packed, castagnoli)
	k.say(int64(n))
	return k.finished(u, e)
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// finished records a chunk, and with the last one its unit. The journal does not wait for the disk: it holds a
// checksum, so what a power cut takes away is noticed.
func (w *work) finished(u *unit, e Errors) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	u.errors = u.errors.Add(e)
	if u.left.Add(-1) > 0 {
		return nil
	}
	p := w.partOf(u)
	writeBack(w.out, u.at, int64(p.rows)*int64(u.rowBytes))
	if p.done != nil {
		p.done()
	}
	if math.IsInf(u.errors.Squares, 0) || math.IsNaN(u.errors.Squares) {
		return p.errorf("its values are too large for %v", w.types[u.tensor])
	}
	return w.journal.write(done{u.name, u.sum(), u.errors})
}
