package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
)

// sources is the record of one directory's files: their hashes, with what tells whether a file was written since, and
// what was converted of them. It is kept beside the converted models, so that a start need not read 93 GB.
type sources struct {
	Dir   string            `json:"dir"`
	Files []sourceFile      `json:"files"`
	Made  map[string]string `json:"made"` // names of converted models, or of ones begun, by type
}

// sourceFile is a file as it was when it was read.
type sourceFile struct {
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`             // of the last change to its content
	Changed int64     `json:"change,omitempty"` // of the last change to its entry, which nobody can set; Unix only
	Inode   uint64    `json:"inode,omitempty"`  // likewise
	Read    time.Time `json:"read"`             // when it was
	SHA256  string    `json:"sha256"`
}

// Digest is a file's hash.
type Digest struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// digests gives the files' hashes in the order of their names.
func (s *sources) digests() []Digest {
	all := make([]Digest, len(s.Files))
	for i, f := range s.Files {
		all[i] = Digest{f.Name, f.Size, f.SHA256}
	}
	slices.SortFunc(all, func(a, b Digest) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// DigestOf is the hash of what sha256sum prints for files: "HASH  NAME" and a line end for each, in their order here.
func DigestOf(files []Digest) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s  %s\n", f.SHA256, f.Name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// describe looks at a file without reading it.
func describe(path string) (sourceFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return sourceFile{}, err
	}
	f := sourceFile{Name: filepath.Base(path), Size: info.Size(), Time: info.ModTime().UTC()}
	f.Changed, f.Inode = entryOf(info)
	return f, nil
}

// same tells whether a file is what it was when it was read. One that was written in the last moment before may have
// been written again in the same tick of the clock.
func (f sourceFile) same(now sourceFile) bool {
	const tick = 2 * time.Second // of the coarsest file system in use, FAT
	return f.SHA256 != "" && f.Name == now.Name && f.Size == now.Size && f.Time.Equal(now.Time) &&
		f.Changed == now.Changed && f.Inode == now.Inode && f.Read.Sub(f.Time) > tick
}

// maxRecord bounds the record: a hundred files take 30 kB.
const maxRecord = 4 << 20

// readSources reads the record of a directory; an empty one where there is none, or none that can be read.
func readSources(path, dir string) *sources {
	s := &sources{}
	if info, err := os.Stat(path); err == nil && info.Size() <= maxRecord {
		if data, err := os.ReadFile(path); err != nil || json.Unmarshal(data, s) != nil || s.Dir != dir {
			s = &sources{}
		}
	}
	if s.Dir = dir; s.Made == nil {
		s.Made = map[string]string{}
	}
	return s
}

// write replaces the record.
func (s *sources) write(ctx context.Context, path string) (err error) {
	lock, err := filelock.Acquire(ctx, path+".lock", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new" // a fixed name: what a killed process left is written over
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// update hashes the files that were written since the record was, or are new. progress gets bytes.
func (s *sources) update(ctx context.Context, paths []string, progress func(done,
	total int64)) (changed bool, err error) {
	var files []sourceFile
	var unread []int
	var done, total int64
	for i, path := range paths {
		now, err := describe(path)
		if err != nil {
			return false, err
		}
		at := slices.IndexFunc(s.Files, func(f sourceFile) bool { return f.same(now) })
		if at >= 0 {
			now = s.Files[at]
		} else {
			unread = append(unread, i)
			total += now.Size
		}
		files = append(files, now)
	}
	changed = len(unread) > 0 || len(files) != len(s.Files)
	s.Files = files
	for _, i := range unread {
		read := time.Now().UTC()
		sum, err := hashFile(ctx, paths[i], func(n int64) {
			done += n
			progress(done, total)
		})
		if err != nil {
			return changed, err
		}
		now, err := describe(paths[i])
		if err != nil {
			return changed, err
		}
		if now.Size != files[i].Size || !now.Time.Equal(files[i].Time) {
			return changed, fmt.Errorf("%w: %s", errChanging, paths[i])
		}
		now.SHA256, now.Read = sum, read
		files[i] = now
	}
	return changed, nil
}

// errChanging is matched when a file is written while it is read.
var errChanging = errors.New("the file was changed while it was read")

// unchanged makes sure that nobody has written the files since update read them.
func (s *sources) unchanged(paths []string) error {
	for i, path := range paths {
		now, err := describe(path)
		if err != nil {
			return err
		}
		f := s.Files[i]
		if now.Size != f.Size || !now.Time.Equal(f.Time) || now.Changed != f.Changed || now.Inode != f.Inode {
			return fmt.Errorf("%w: %s", errChanging, path)
		}
	}
	return nil
}

// key names what a conversion of the files to a type makes: it changes with names, sizes and contents, and with
// nothing else.
func (s *sources) key(typ string) string {
	h := sha256.New()
	fmt.Fprintf(h, "mixtral conversion 3\n%s\n", typ) // another number when the converter makes other files
	for _, f := range s.Files {
		fmt.Fprintf(h, "%q %d %s\n", f.Name, f.Size, f.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashFile(ctx context.Context, path string, progress func(int64)) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	for {
		n, err := io.CopyN(h, f, 16<<20)
		progress(n)
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(h.Sum(nil)), nil
		case err != nil:
			return "", err
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
	}
}
