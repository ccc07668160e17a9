package evidence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
)

const (
	// followEvery is how often a record that has nothing new is looked at.
	followEvery = 150 * time.Millisecond

	// quiet is after how long without a new byte a record is taken for left, where no lock says that its writer lives:
	// a run samples resources ten times a second and flushes every second.
	quiet = 6 * time.Second
)

// State says how far a record is.
type State int

// States of a record.
const (
	Missing State = iota
	Writing       // a run is writing it
	Left          // its writer was killed before the end
	Closed        // its run has ended
)

// StateOf looks at the record at path, as it will be called when its run has ended.
func StateOf(path string) State {
	part := partOf(path)
	if _, err := os.Stat(strings.TrimSuffix(part, partSuffix)); err == nil {
		return Closed
	}
	info, err := os.Stat(part)
	switch {
	case err != nil:
		return Missing
	case filelock.Held(part), time.Since(info.ModTime()).Abs() < quiet:
		return Writing
	}
	return Left
}

// Sweep removes the empty records in a directory: a run that is killed before its first line leaves one.
func Sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // whoever writes there says why it cannot
	}
	for _, e := range entries {
		part := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() || !strings.HasSuffix(part, partSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Size() == 0 && StateOf(part) == Left {
			_ = os.Remove(part) // one that stays does no harm
		}
	}
}

func partOf(path string) string { return strings.TrimSuffix(path, partSuffix) + partSuffix }

// Follow is ScanFile of a record that is still being written: it waits for more until the run has closed its record,
// its writer is gone, or ctx has ended. Info.Ended and Info.Cut tell the first two apart.
func Follow(ctx context.Context, path string, each func(*Event) error) (Info, error) {
	path = strings.TrimSuffix(path, partSuffix)
	f, err := os.Open(partOf(path))
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path)
	}
	if err != nil {
		return Info{}, fmt.Errorf("evidence: %w", err)
	}
	defer f.Close()
	info, err := Scan(&growing{ctx: ctx, file: f, path: path}, each)
	switch {
	case ctx.Err() != nil:
		return info, ctx.Err()
	case err != nil:
		return info, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// growing is a file at whose end a reader waits for more.
type growing struct {
	ctx  context.Context
	file *os.File
	path string // its name when it is complete
}

func (g *growing) Read(p []byte) (int, error) {
	for {
		state := StateOf(g.path) // before the read: what is written last is there when the state says that it is
		n, err := g.file.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if state != Writing {
			return 0, io.EOF
		}
		select {
		case <-g.ctx.Done():
			return 0, g.ctx.Err()
		case <-time.After(followEvery):
		}
	}
}
