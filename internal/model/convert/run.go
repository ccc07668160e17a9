package convert

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"runtime"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
	"github.com/hxp-enterprise/mixtral/internal/base/whole"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// Options say what to make.
type Options struct {
	Mix        Mix
	Importance *Importance    // nil: every column counts the same
	Requantize bool           // weights of fewer than 8 bits may lose more
	Workers    int            // < 1: one for each CPU
	Progress   func(Progress) // one call at a time
	Identity   string         // of the source's content; empty: names, sizes and times of its files
	Begin      func() error   // called before anything is written, when no other process can write; its error ends Run
	Before     func() error   // called when all is written, before the file gets its name; may refuse it
}

// Progress says how far a conversion is.
type Progress struct {
	Done, Total int64 // elements
	Resumed     int64 // of Done, finished by an earlier run
}

// Result is what Run made.
type Result struct {
	Bytes   int64
	Resumed int64 // elements that an earlier run had finished
	Tensors []Report
}

// Report is one tensor of the new file.
type Report struct {
	Name  string
	From  quant.Type
	To    quant.Type
	Elems int64
	Bytes int64
	Errors
}

// Errors are how far the new weights are from the old.
type Errors struct {
	Squares float64 `json:"squares"` // Σ (old − new)²
	Norm    float64 `json:"norm"`    // Σ old²
	Max     float64 `json:"max"`     // the largest |old − new|
}

// RMSE is the root of the mean squared error of n weights.
func (e Errors) RMSE(n int64) float64 { return math.Sqrt(e.Squares / float64(max(n, 1))) }

// Relative is the error's norm over the weights' norm.
func (e Errors) Relative() float64 {
	if e.Norm == 0 {
		return 0
	}
	return math.Sqrt(e.Squares / e.Norm)
}

// Add gives the errors of both.
func (e Errors) Add(o Errors) Errors {
	return Errors{e.Squares + o.Squares, e.Norm + o.Norm, max(e.Max, o.Max)}
}

// plan is the new file before any weight is in it.
type plan struct {
	source  *Source
	options Options
	types   []quant.Type
	header  []byte
	offsets []int64
	size    int64
	units   []*unit
	hash    string
}

// Size gives the bytes of the file that Run would write.
func Size(s *Source, o Options) (int64, error) {
	p, err := newPlan(s, o)
	if err != nil {
		return 0, err
	}
	return p.size, nil
}

// Sketch writes the file that Run would write without its weights: as a file of the same size that takes next to no
// room, it can be opened and described, and not be computed with.
func Sketch(s *Source, out *os.File, o Options) error {
	p, err := newPlan(s, o)
	if err != nil {
		return err
	}
	if err := out.Truncate(p.size); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if _, err := out.WriteAt(p.header, 0); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}

func newPlan(s *Source, o Options) (*plan, error) {
	p := &plan{source: s, options: o}
	tied := true
	for i := range s.Tensors {
		tied = tied && s.Tensors[i].Kind != Output
	}
	w := gguf.NewWriter(io.Discard)
	if err := s.meta(w); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	fileType := o.Mix.fileType
	if o.Mix.Name == keep {
		fileType = s.fileType
	}
	for _, kv := range []struct {
		key   string
		value any
	}{{"general.file_type", fileType}, {"general.quantization_version",
		uint32(2)}} { // ggml's block layouts since May 2023
		if err := w.Set(kv.key, kv.value); err != nil {
			return nil, err
		}
	}
	if m := o.Importance; m != nil {
		if err := m.check(s.Tensors); err != nil {
			return nil, err
		}
		if err := m.set(w); err != nil {
			return nil, err
		}
	}
	mix := o.Mix
	mix.weighted = o.Importance != nil
	for i := range s.Tensors {
		t := &s.Tensors[i]
		to := mix.Type(*t, s.shape, tied)
		if err := p.allowed(t, to); err != nil {
			return nil, err
		}
		p.types = append(p.types, to)
		if err := w.Add(t.Name, to, t.Dims...); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSource, err)
		}
	}
	p.header, p.offsets = w.Layout()
	p.size = w.Size()
	if err := p.cut(); err != nil {
		return nil, err
	}
	sum := ""
	if o.Importance != nil {
		sum = o.Importance.hash
	}
	id := cmp.Or(o.Identity, s.identity)
	p.hash = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "1 %d %s %s %x", chunkElems, id, sum, p.header)))
	return p, nil
}

// allowed refuses to make bad weights worse unless told to.
func (p *plan) allowed(t *Tensor, to quant.Type) error {
	for i := range t.parts {
		from := t.parts[i].typ
		if from != to && from.BitsPerWeight() < 8 && !p.options.Requantize {
			return fmt.Errorf("%w: %s: tensor %s is %v, and would be %v", ErrRequantize, t.parts[i].file,
				t.parts[i].name, from, to)
		}
	}
	return nil
}

// Run writes the model to path, which appears there when it is whole. Until then it is path.part, with a record in
// path.part.journal of what is finished: the same Run again continues from there. It stops when ctx ends. While
// another process writes the same file, the error matches filelock.ErrBusy.
func Run(ctx context.Context, s *Source, path string, o Options) (result Result, err error) {
	p, err := newPlan(s, o)
	if err != nil {
		return Result{}, err
	}
	part := path + ".part"
	lock, err := filelock.Try(part + ".lock")
	if err != nil {
		return Result{}, fmt.Errorf("%w: %s: %w", ErrOutput, path, err)
	}
	defer func() {
		if e := lock.Release(); e != nil && err == nil {
			err = fmt.Errorf("%w: %w", ErrOutput, e)
		}
	}()
	if o.Begin != nil {
		if err := o.Begin(); err != nil {
			return Result{}, err
		}
	}
	j, finished, err := openJournal(part+".journal", p.hash)
	if err != nil {
		return Result{}, err
	}
	defer j.close()
	out, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrOutput, err)
	}
	defer out.Close()
	w := &work{plan: p, out: out, journal: j}
	if err := w.begin(finished); err != nil {
		return Result{}, err
	}
	workers := o.Workers
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	if err := w.run(ctx, workers); err != nil {
		return Result{}, err
	}
	if o.Before != nil {
		if err := o.Before(); err != nil {
			return Result{}, err
		}
	}
	if err := w.finish(part, path); err != nil {
		return Result{}, err
	}
	return w.result(), nil
}

// Clear removes what a Run left beside a whole file that was killed between its last steps.
func Clear(path string) {
	lock, err := filelock.Try(path + ".part.lock")
	if err != nil {
		return // somebody makes the file again
	}
	if _, err := os.Stat(path + ".part"); errors.Is(err, fs.ErrNotExist) {
		os.Remove(path + ".part.journal")
	}
	_ = lock.Release()
}

// finish puts the whole file in place.
func (w *work) finish(part, path string) error {
	if err := w.out.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if err := whole.Rename(w.out, path); err != nil {
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	if err := os.Remove(part + ".journal"); err != nil { // Sweep removes it if this process is killed just now
		return fmt.Errorf("%w: %w", ErrOutput, err)
	}
	return nil
}

// Sweep removes the journal of a file that is whole, which a process leaves that is killed in that moment.
func Sweep(path string) {
	_, missing := os.Stat(path)
	if _, err := os.Stat(path + ".part"); missing == nil && errors.Is(err, fs.ErrNotExist) {
		os.Remove(path + ".part.journal")
	}
}

// result adds up units to tensors.
func (w *work) result() Result {
	r := Result{Bytes: w.size, Resumed: w.resumed}
	for i := range w.source.Tensors {
		t := &w.source.Tensors[i]
		bytes, _ := w.types[i].RowBytes(t.Dims[0])
		r.Tensors = append(r.Tensors, Report{Name: t.Name, From: t.From, To: w.types[i], Elems: t.Elems(),
			Bytes: int64(bytes) * t.Elems() / int64(t.Dims[0])})
	}
	for _, u := range w.units {
		r.Tensors[u.tensor].Errors = r.Tensors[u.tensor].Add(u.errors)
	}
	return r
}
