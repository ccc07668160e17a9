package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// parts is which pieces of a file have arrived: a pure record, saved beside the file so that a transfer resumes.
// Pieces are handed out lowest first.
type parts struct {
	Size   int64  `json:"size"`
	Chunk  int64  `json:"chunk"`
	SHA256 string `json:"sha256,omitempty"`
	Tag    string `json:"tag,omitempty"` // the server's ETag, where there is no checksum
	Offset int64  `json:"offset,omitempty"`
	Done   []bool `json:"done"`

	mu    sync.Mutex
	taken []bool
}

// identity gives what must be the same for a record to be continued: the checksum, or else the server's tag.
func (s *source) identity() (sum, tag string) {
	if s.checked() {
		return s.sha + s.file.GitSHA1, ""
	}
	return "", s.tag
}

func newParts(s *source, chunk int64) *parts {
	n := int((s.size + chunk - 1) / chunk)
	p := &parts{Size: s.size, Chunk: chunk, Offset: s.offset, Done: make([]bool, n), taken: make([]bool, n)}
	p.SHA256, p.Tag = s.identity()
	return p
}

// next hands out a piece that no connection has: its number, or −1.
func (p *parts) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.Done {
		if !p.Done[i] && !p.taken[i] {
			p.taken[i] = true
			return i
		}
	}
	return -1
}

// bounds gives a piece's first byte and the one behind its last.
func (p *parts) bounds(i int) (from, to int64) {
	from = int64(i) * p.Chunk
	return from, min(from+p.Chunk, p.Size)
}

// finish records a piece and saves the record.
func (p *parts) finish(i int, path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Done[i] = true
	return p.save(path)
}

// bytes is what has arrived in whole pieces.
func (p *parts) bytes() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, done := range p.Done {
		if done {
			from, to := p.bounds(i)
			n += to - from
		}
	}
	return n
}

func (p *parts) save(path string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return writeError(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return writeError(err)
	}
	return nil
}

// maxRecord bounds a record that is read: 10,000 pieces take 60 kB.
const maxRecord = 1 << 20

// loadParts reads the record of an earlier attempt at the same content; anything else starts anew.
func loadParts(path string, s *source) (*parts, bool) {
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxRecord {
		return nil, false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	p := &parts{}
	sum, tag := s.identity()
	switch {
	case json.Unmarshal(data, p) != nil, p.Size != s.size, p.Offset != s.offset, p.SHA256 != sum, p.Tag != tag:
		return nil, false
	case sum == "" && tag == "": // nothing says that it is the same file
		return nil, false
	case p.Chunk <= 0, p.Chunk > maxFile, int64(len(p.Done)) != (s.size+p.Chunk-1)/p.Chunk:
		return nil, false
	case !s.ranges && len(p.Done) > 1:
		return nil, false
	}
	p.taken = make([]bool, len(p.Done))
	return p, true
}

// sum gives the SHA-256 of a file in hex, and which of its sources do not have the checksum that they should.
func (t *target) sum(ctx context.Context, path string) (sum string, bad []int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, writeError(err)
	}
	defer f.Close()
	all := sha256.New()
	var done int64
	for i, s := range t.sources {
		own, git := all, hash.Hash(nil)
		to := []io.Writer{all}
		if len(t.sources) > 1 {
			own = sha256.New()
			to = append(to, own)
		}
		if s.sha == "" && s.file.GitSHA1 != "" {
			git = sha1.New() // as git names what it keeps
			fmt.Fprintf(git, "blob %d\x00", s.size)
			to = append(to, git)
		}
		w := io.MultiWriter(to...)
		for left := s.size; left > 0; {
			n, err := io.CopyN(w, f, min(left, 64<<20))
			left -= n
			done += n
			if t.client.Progress != nil {
				t.client.Progress(Progress{File: t.what, Stage: "verify", Done: done, Total: t.size})
			}
			switch {
			case err != nil:
				return "", nil, writeError(err)
			case ctx.Err() != nil:
				return "", nil, ctx.Err()
			}
		}
		if s.sha != "" && hex.EncodeToString(own.Sum(nil)) != s.sha ||
			git != nil && hex.EncodeToString(git.Sum(nil)) != s.file.GitSHA1 {
			bad = append(bad, i)
		}
	}
	return hex.EncodeToString(all.Sum(nil)), bad, nil
}

// writeError marks failures of this machine's disk: another attempt at the network does not help.
func writeError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrSpace, err)
	}
	return fmt.Errorf("%w: %w", ErrWrite, err)
}

// dirOf makes the directory of a path.
func dirOf(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return writeError(err)
	}
	return nil
}

// syncDir makes a new name last through a power cut, where the file system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
