package catalog

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
)

// WriteRewritten writes a model in the other order of weights (moe.Rewriting) to a file that appears under its name
// only when it is complete and on the disk. progress, if not nil, is called with the number of bytes written so far.
// It stops when ctx ends.
func WriteRewritten(ctx context.Context, path string, r *moe.Rewriting, workers int, progress func(int64)) error {
	return writeWhole(ctx, path, progress, func(w io.Writer) error { return r.Write(ctx, w, workers) })
}

// blockBytes is what a file grows by at a time, from its beginning. Linux keeps what is written in one piece in pages
// as large, up to 2 MiB, if it begins where such a page does: the model can then be mapped in huge pages, and starts
// sooner. bufio.Writer passes long pieces through, after which nothing begins there: half of a model was in small
// pages.
const blockBytes = 4 << 20

// blocks writes in blocks as large as its buffer's capacity.
type blocks struct {
	w   io.Writer
	buf []byte
}

func (b *blocks) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		k := min(len(p)-n, cap(b.buf)-len(b.buf))
		b.buf = append(b.buf, p[n:n+k]...)
		if n += k; len(b.buf) == cap(b.buf) {
			if err := b.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

func (b *blocks) flush() error {
	_, err := b.w.Write(b.buf)
	b.buf = b.buf[:0]
	return err
}

// writeWhole writes a file through path.part, so that a killed process leaves one file at most, and the next attempt
// takes it over. Another process that writes the same file is waited for.
func writeWhole(ctx context.Context, path string, progress func(int64), write func(io.Writer) error) (err error) {
	lock, err := filelock.Acquire(ctx, path+".part.lock", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close() // closed already, perhaps
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	b := &blocks{f, make([]byte, 0, blockBytes)}
	if err := write(&meter{ctx, b, 0, progress}); err != nil {
		return err
	}
	if err := errors.Join(b.flush(), f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// meter counts what goes through it, until ctx ends.
type meter struct {
	ctx    context.Context
	w      io.Writer
	n      int64
	report func(int64)
}

func (m *meter) Write(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.w.Write(p)
	m.n += int64(n)
	if m.report != nil {
		m.report(m.n)
	}
	return n, err
}
