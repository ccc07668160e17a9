package evidence

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
)

// ErrClosed is returned by Add and Flush after Close or Discard.
var ErrClosed = errors.New("evidence: writer is closed")

// flushEvery is how much a killed run can lose: the events of one second.
const flushEvery = time.Second

// partSuffix is the end of the file name of a record whose run has not ended.
const partSuffix = ".part"

// Encode returns an event as one line with its newline. Equal events give equal bytes: keys have a fixed order, maps
// are sorted, and floats are the shortest text that reads back the same. The error for an event that no reader would
// accept matches ErrTooLarge.
func Encode(e *Event) ([]byte, error) {
	if n := e.kinds(); n != 1 {
		return nil, fmt.Errorf("evidence: an event has exactly one kind, this one has %d", n)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if n := b.Len(); n > MaxLine {
		return nil, fmt.Errorf("evidence: %w: the line has %d bytes, at most %d are allowed", ErrTooLarge, n, MaxLine)
	}
	if n := bounded.Values(b.Bytes()); n > MaxItems {
		return nil, fmt.Errorf("evidence: %w: the line has %d values, at most %d are allowed", ErrTooLarge, n,
			MaxItems)
	}
	return b.Bytes(), nil
}

// kinds counts the pointers that are set.
func (e *Event) kinds() int {
	n := 0
	for _, set := range []bool{e.Header != nil, e.Condition != nil, e.Client != nil, e.Phase != nil, e.Request != nil,
		e.Sample != nil,
		e.Scrape != nil, e.Score != nil, e.Grade != nil, e.Audit != nil, e.Clock != nil, e.Host != nil, e.End != nil,
		e.Against != nil, e.GPU != nil, e.Part != nil, e.Comparison != nil} {
		if set {
			n++
		}
	}
	return n
}

// Writer writes events into a gzip file while a run goes on. It is safe for concurrent use. Until Close the file is
// called PATH.part. If the process is killed, the file can be read up to the last flush.
type Writer struct {
	mu      sync.Mutex
	path    string
	file    *os.File
	buf     *bufio.Writer
	gz      *gzip.Writer
	flushed time.Time
	now     func() time.Time
	tally   tally
	err     error // the first failure; every later call returns it
}

// Create starts a record whose file will be called path. The error for a path that exists already, with or without
// .part, matches os.ErrExist.
func Create(path string) (*Writer, error) { return create(path, time.Now) }

func create(path string, now func() time.Time) (*Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("evidence: %s: %w", path, os.ErrExist)
	}
	f, err := os.OpenFile(path+partSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if err := filelock.Hold(f); err != nil { // only shows readers of the record that this process is alive
		return nil, fmt.Errorf("evidence: %s: %w", path, errors.Join(err, f.Close(), os.Remove(f.Name())))
	}
	buf := bufio.NewWriterSize(f, 64<<10)
	return &Writer{path: path, file: f, buf: buf, gz: gzip.NewWriter(buf), flushed: now(), now: now}, nil
}

// Discard closes a record that is not wanted, and removes its file. After Close it does nothing.
func (w *Writer) Discard() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, ErrClosed) {
		return nil
	}
	w.err = ErrClosed
	return errors.Join(w.file.Close(), os.Remove(w.path+partSuffix))
}

// Path is the file's name after Close.
func (w *Writer) Path() string { return w.path }

// lastWords is the part of MaxTotal that is reserved for the ends of phases and of the run.
const lastWords = 64 << 20

// Add writes an event. It flushes the file if the last flush was a second ago, and always after a header, the end of a
// phase and the end of the run, which a reader needs most. An event that no reader would accept is not written: the
// error matches ErrTooLarge, and the record stays usable. After any other error, every later call returns that error
// too.
func (w *Writer) Add(e Event) error {
	line, err := Encode(&e)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	if err != nil {
		return err
	}
	if e.Phase == nil && e.End == nil && w.tally.bytes+int64(len(line)) > MaxTotal-lastWords {
		return fmt.Errorf("evidence: %w: the record has %d bytes", ErrTooLarge, w.tally.bytes)
	}
	if err := errors.Join(w.tally.event(&e), w.tally.line(len(line))); err != nil {
		return err
	}
	if _, err := w.gz.Write(line); err != nil {
		return w.fail(err)
	}
	if e.Header != nil || e.Phase != nil || e.End != nil || w.now().Sub(w.flushed) >= flushEvery {
		return w.flush()
	}
	return nil
}

// Flush passes everything written so far to the operating system.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	return w.flush()
}

func (w *Writer) flush() error {
	w.flushed = w.now()
	if err := w.gz.Flush(); err != nil {
		return w.fail(err)
	}
	if err := w.buf.Flush(); err != nil {
		return w.fail(err)
	}
	return nil
}

func (w *Writer) fail(err error) error {
	w.err = fmt.Errorf("evidence: %w", err)
	return w.err
}

// Close completes the file, syncs it to disk and gives it its final name. It returns the first error of the Writer, if
// there was one. A second Close does nothing.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, ErrClosed) {
		return nil
	}
	failed := w.err
	w.err = ErrClosed
	for _, step := range []func() error{w.gz.Close, w.buf.Flush, w.file.Sync, w.file.Close} {
		if err := step(); err != nil && failed == nil {
			failed = fmt.Errorf("evidence: %w", err)
		}
	}
	if failed != nil {
		return failed
	}
	if err := os.Rename(w.path+partSuffix, w.path); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}
