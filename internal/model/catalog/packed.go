package catalog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/whole"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/kernel"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
)

// A packed copy is an ordinary model's file in the order of the kernels (moe.Rewriting), kept in the cache directory
// so that later starts map it and copy nothing. Its name has the identity of what it was made of: the paths of the
// model's files, their sizes, times and entries, and the order's version. A copy of anything else is therefore never
// found. Beside it, a record says what it was made of, so that copies of models that have changed or gone are deleted.
const (
	copySuffix   = ".packed.gguf"
	recordSuffix = ".packed.json"

	// packFrom is the size from which a copy is worth having: smaller models start in 0.1 s without.
	packFrom = 256 << 20
)

// ErrNotPacked is matched when there is a reason not to make a packed copy.
var ErrNotPacked = errors.New("no packed copy is made")

// Packed is a packed copy, as its record says.
type Packed struct {
	Source string       `json:"source"` // full path of the model's file, or of its first part
	Files  []sourceFile `json:"files"`  // the source's parts
	Bytes  int64        `json:"bytes"`
	Path   string       `json:"-"` // of the copy
}

// packedDir is where packed copies are.
func (o *Options) packedDir() (string, error) { return o.cacheIn("packed") }

// identify says what a model's files are now.
func identify(paths []string) (Packed, error) {
	var p Packed
	for _, path := range paths {
		path, err := filepath.Abs(path)
		if err != nil {
			return p, err
		}
		f, err := describe(path)
		if err != nil {
			return p, err
		}
		p.Source, p.Files = cmp.Or(p.Source, path), append(p.Files, f)
	}
	return p, nil
}

// name is the copy's, without its suffix.
func (p *Packed) name() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %s", kernel.FileLayout, kernel.LayoutVersion, p.Source)
	for _, f := range p.Files {
		fmt.Fprintf(h, "\n%s %d %d %d %d", f.Name, f.Size, f.Time.UnixNano(), f.Changed, f.Inode)
	}
	base := strings.TrimSuffix(filepath.Base(p.Source), filepath.Ext(p.Source))
	return fmt.Sprintf("%.40s-%.8x", unsafeName.ReplaceAllString(base, "_"), h.Sum(nil))
}

// Current tells whether the source is still what the copy was made of.
func (p *Packed) Current() bool {
	var paths []string
	for _, f := range p.Files {
		paths = append(paths, filepath.Join(filepath.Dir(p.Source), f.Name))
	}
	now, err := identify(paths)
	return err == nil && len(paths) > 0 && now.name() == p.name() && filepath.Base(p.Path) == p.name()+copySuffix
}

// PackedCopies lists the packed copies in the cache directory, by their source's path.
func PackedCopies(o Options) ([]Packed, error) {
	dir, err := o.cachePath("packed")
	if err != nil {
		return nil, err
	}
	return packedIn(dir)
}

func packedIn(dir string) (all []Packed, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name, isCopy := strings.CutSuffix(e.Name(), copySuffix)
		if !isCopy || strings.HasPrefix(name, ".") {
			continue
		}
		p := Packed{}
		record := filepath.Join(dir, name+recordSuffix)
		if info, err := os.Stat(record); err == nil && info.Size() <= maxRecord {
			if data, err := os.ReadFile(record); err != nil || json.Unmarshal(data, &p) != nil {
				p = Packed{}
			}
		}
		p.Path = filepath.Join(dir, e.Name())
		if info, err := e.Info(); err == nil {
			p.Bytes = info.Size()
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Packed) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Path, b.Path))
	})
	return all, nil
}

// remove deletes a copy and its record.
func (p *Packed) remove() {
	_ = os.Remove(p.Path)
	_ = os.Remove(strings.TrimSuffix(p.Path, copySuffix) + recordSuffix)
}

// sweepPacked deletes the copies of models that have changed or gone, and what killed writers have left.
func sweepPacked(dir string) {
	whole.Sweep(dir)
	records, _ := filepath.Glob(filepath.Join(globEscape(dir), "*"+recordSuffix))
	for _, path := range records {
		base := strings.TrimSuffix(path, recordSuffix)
		filelock.Clear(base + ".lock")
		_, writing := os.Stat(base + ".lock")
		if _, err := os.Stat(base + copySuffix); err != nil && writing != nil {
			_ = os.Remove(path)
		}
	}
	all, _ := packedIn(dir)
	for _, p := range all {
		if !p.Current() {
			p.remove()
		}
	}
}

// usePacked takes the packed copy of a model where there is one. Nothing that is wrong with it fails: the model is
// opened already.
func (o *Opened) usePacked(options *Options) {
	p, reason := o.packable(options)
	if reason != nil {
		return
	}
	dir, err := options.packedDir()
	if err != nil {
		return
	}
	p.Path = filepath.Join(dir, p.name()+copySuffix)
	if _, err := os.Stat(p.Path); err != nil {
		return
	}
	f, err := gguf.Open(p.Path)
	if err == nil {
		if _, err = moe.Describe(f); err == nil && !moe.IsPacked(f) {
			err = errors.New("it is not packed")
		}
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		options.say("the packed copy of the model is damaged and was deleted: %v", err)
		p.remove()
		return
	}
	options.say("starting from the packed copy of the model: %s", p.Path)
	o.sources = o.File.Paths()
	_ = o.File.Close() // it was mapped for reading
	o.File = f
}

// packable identifies a model that a packed copy is worth having of. Of another one it says why not.
func (o *Opened) packable(options *Options) (p Packed, reason error) {
	least := cmp.Or(options.PackFrom, packFrom)
	switch {
	case o.Path == "":
		return p, errors.New("the model has no file")
	case o.sources != nil || moe.IsPacked(o.File):
		return p, errors.New("the model is packed already")
	case o.File.Size() < least:
		return p, fmt.Errorf("the model has %d bytes, and starts at once below %d", o.File.Size(), least)
	}
	return identify(o.File.Paths())
}

// Pack makes the packed copy of a model that was opened, for later starts. It does nothing and gives ErrNotPacked
// where there is one, where none is worth having, where the model's files were written just now, where another process
// is making it, or where it would take more than half of the disk's free space. Copies of models that have changed or
// gone are deleted first. begin, if not nil, is called with the copy's path and size before it is written, progress
// with the number of bytes written so far.
func (o *Opened) Pack(ctx context.Context, options Options, begin func(path string, size int64),
	progress func(int64)) (err error) {
	p, reason := o.packable(&options)
	if reason != nil {
		return fmt.Errorf("%w: %w", ErrNotPacked, reason)
	}
	const tick = 2 * time.Second // as in sourceFile.same
	for _, f := range p.Files {
		if time.Since(f.Time) < tick {
			return fmt.Errorf("%w: %s was written just now", ErrNotPacked, f.Name)
		}
	}
	dir, err := options.packedDir()
	if err != nil {
		return err
	}
	sweepPacked(dir)
	base := filepath.Join(dir, p.name())
	p.Path = base + copySuffix
	lock, err := filelock.Try(base + ".lock")
	if err != nil {
		if errors.Is(err, filelock.ErrBusy) {
			err = fmt.Errorf("%w: %w", ErrNotPacked, err)
		}
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if _, err := os.Stat(p.Path); err == nil {
		return fmt.Errorf("%w: the copy exists already", ErrNotPacked)
	}
	return p.write(ctx, options, base, begin, progress)
}

// write makes the copy from the model's files, which it opens again: the caller may close its own.
func (p *Packed) write(ctx context.Context, options Options, base string, begin func(string, int64),
	progress func(int64)) (err error) {
	f, err := gguf.Open(p.Source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, err := moe.NewRewriting(f)
	if err != nil {
		return err
	}
	p.Bytes = r.Size()
	if free, err := host.DiskFree(filepath.Dir(p.Path)); err == nil && p.Bytes > free/2 {
		return fmt.Errorf("%w: it would be %.2f GB, and %.2f GB of the disk are free, of which it may take half",
			ErrNotPacked, float64(p.Bytes)/1e9, float64(free)/1e9)
	}
	if begin != nil {
		begin(p.Path, p.Bytes)
	}
	defer func() {
		if err != nil {
			p.remove()
		}
	}()
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	record := func(f *os.File) error {
		_, err := f.Write(append(data, '\n'))
		return err
	}
	// before the copy, which is of no use without
	if err := whole.Write(base+recordSuffix, 0o644, record); err != nil {
		return err
	}
	if err := WriteRewritten(ctx, p.Path, r, options.Workers, progress); err != nil {
		return err
	}
	if !p.Current() {
		return fmt.Errorf("%w: the model's files changed meanwhile", ErrNotPacked)
	}
	return nil
}
