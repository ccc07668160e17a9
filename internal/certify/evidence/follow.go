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
	// followEvery is how long Follow waits before it looks for new data again.
	followEvery = 150 * time.Millisecond

	// quiet is the time without new data after which a record counts as Left, unless a lock shows that its writer is
	// alive. A run takes samples ten times per second and flushes every second.
	quiet = 6 * time.Second
)

// State says whether a record is being written or has ended.
type State int

// States of a record.
const (
	Missing State = iota
	Writing       // a run is writing it
	Left          // its writer was killed before the run ended
	Closed        // its run has ended, and the file is complete
)

// StateOf returns the state of a record. path is its final name, without the suffix ".part".
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

// Sweep removes empty records from a directory. A run that is killed before its first line leaves one.
func Sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the code that writes there will report the error
	}
	for _, e := range entries {
		part := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() || !strings.HasSuffix(part, partSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Size() == 0 && StateOf(part) == Left {
			_ = os.Remove(part) // an empty record does no harm
		}
	}
}

func partOf(path string) string { return strings.TrimSuffix(path, partSuffix) + partSuffix }

// Follow is ScanFile for a record that is still being written. It waits for more events until the run has closed its
// record, its writer has died, or ctx has ended. Info.Ended and Info.Cut distinguish the first two. If ctx has ended
// it returns the error of ctx.
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

// growing is a file whose reader waits at its end for more data.
type growing struct {
	ctx  context.Context
	file *os.File
	path string // its name when it is complete
}

func (g *growing) Read(p []byte) (int, error) {
	for {
		// before the read, so that nothing is missed that was written before the state changed
		state := StateOf(g.path)
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
