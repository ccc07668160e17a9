package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// parts is which pieces of a file have arrived: a pure record, saved beside the file so that a transfer resumes.
// Pieces are handed out lowest first.
type parts struct {
	Size   int64  `json:"size"`
	Chunk  int64  `json:"chunk"`
	SHA256 string `json:"sha256,omitempty"`
	Tag    string `json:"tag,omitempty"` // the server's ETag, where there is no SHA-256
	Done   []bool `json:"done"`

	mu    sync.Mutex
	taken []bool
}

func newParts(size, chunk int64, sha, tag string) *parts {
	n := int((size + chunk - 1) / chunk)
	return &parts{Size: size, Chunk: chunk, SHA256: sha, Tag: tag, Done: make([]bool, n), taken: make([]bool, n)}
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
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	return nil
}

// loadParts reads the record of an earlier attempt at the same content; anything else starts anew.
func loadParts(path string, size int64, sha, tag string) (*parts, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	p := &parts{}
	if json.Unmarshal(data, p) != nil || p.Size != size || p.SHA256 != sha || p.Tag != tag || p.SHA256 == "" &&
		p.Tag == "" ||
		p.Chunk <= 0 || int64(len(p.Done)) != (size+p.Chunk-1)/p.Chunk {
		return nil, false
	}
	p.taken = make([]bool, len(p.Done))
	return p, true
}

// errDisk is matched by failures of this machine's disk: another attempt at the network does not help.
var errDisk = errors.New("cannot write")

// dirOf makes the directory of a path.
func dirOf(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	return nil
}
