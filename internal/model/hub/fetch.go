package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
)

// Result is a file that is here now.
type Result struct {
	Path   string
	Size   int64
	SHA256 string // of what is on disk
	Reused bool   // it was here already, whole
}

// target is a file that is written, of one source or of several, one behind the other.
type target struct {
	client  *Client
	what    string
	path    string // of the whole file
	sources []*source
	size    int64
}

// Fetch brings a file to dest. What an earlier attempt left in dest+".part" is continued; dest itself appears only
// when the whole file is here and its checksum is right. want may be the zero File: then the server's own headers
// decide. Another process that downloads the same file is waited for.
func (c *Client) Fetch(ctx context.Context, r Ref, want File, dest string) (Result, error) {
	for again := 0; ; again++ {
		res, err := c.fetch(ctx, r, want, dest)
		if again == 2 || !errors.Is(err, ErrChecksum) && !errors.Is(err, ErrChanged) {
			return res, err
		}
		if want.SHA256 != "" && errors.Is(err, ErrChanged) { // the listing does not change by asking again
			return res, err
		}
		// What was on disk may have been damaged, or belong to another version: once more from nothing.
		c.log().Warn("starting again", "file", r.String(), "err", err)
	}
}

func (c *Client) fetch(ctx context.Context, r Ref, want File, dest string) (res Result, err error) {
	t := &target{client: c, what: r.String(), path: dest}
	files := want.Parts
	if len(files) == 0 {
		files = []File{want}
	}
	for _, f := range files {
		what := t.what
		if len(files) > 1 {
			what += " (" + f.Path + ")"
		}
		s, err := c.newSource(c.address(r, f), what, f)
		if err != nil {
			return Result{}, err
		}
		if err := s.resolve(ctx); err != nil {
			return Result{}, err
		}
		s.offset = t.size
		t.sources, t.size = append(t.sources, s), t.size+s.size
	}
	if t.size > maxFile {
		return Result{}, fmt.Errorf("%w: %s: %d bytes in all, at most %d are allowed", ErrAnswer, t.what, t.size,
			int64(maxFile))
	}
	found, _ := os.Stat(dest)
	if res, ok := t.have(ctx, time.Time{}); ok {
		filelock.Clear(t.part() + ".lock")
		return res, nil
	}
	if err := dirOf(dest); err != nil {
		return Result{}, err
	}
	began := time.Now()
	var since time.Time
	lock, err := filelock.Acquire(ctx, t.part()+".lock", func() {
		since = began
		c.log().Info("another process is downloading the file: waiting for it", "file", dest)
	})
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		return Result{}, writeError(err)
	}
	defer func() {
		if e := lock.Release(); e != nil && err == nil {
			err = writeError(e)
		}
	}()
	// Another process may have been faster, even if this one did not see it at work. A file that was wrong a moment
	// ago is not read again: it may have 90 GB.
	if !since.IsZero() || !t.isStill(found) {
		if res, ok := t.have(ctx, since); ok {
			return res, nil
		}
	}
	sum, err := t.transfer(ctx)
	if err != nil {
		t.tidy()
		return Result{}, err
	}
	return Result{Path: dest, Size: t.size, SHA256: sum}, nil
}

// part is where the bytes are until they are whole and checked.
func (t *target) part() string { return t.path + ".part" }

// record is where it stands which pieces of a source have arrived.
func (t *target) record(i int) string {
	if i == 0 {
		return t.part() + ".json"
	}
	return fmt.Sprintf("%s.%d.json", t.part(), i)
}

// have reports a whole file that is here already. Without a checksum, only one that was put in place since the given
// time is believed.
func (t *target) have(ctx context.Context, since time.Time) (Result, bool) {
	info, err := os.Stat(t.path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != t.size {
		return Result{}, false
	}
	checked := true
	for _, s := range t.sources {
		checked = checked && s.checked()
	}
	if !checked && (since.IsZero() || info.ModTime().Before(since.Add(-time.Minute))) {
		return Result{}, false
	}
	sum, bad, err := t.sum(ctx, t.path)
	if err != nil || len(bad) > 0 {
		return Result{}, false
	}
	t.remove() // of an attempt that was killed between its last steps
	return Result{Path: t.path, Size: t.size, SHA256: sum, Reused: true}, true
}

// isStill says whether the file is the one that was found before; nil: there was none.
func (t *target) isStill(found os.FileInfo) bool {
	now, err := os.Stat(t.path)
	return err == nil && found != nil && os.SameFile(now, found) && now.Size() == found.Size() &&
		now.ModTime().Equal(found.ModTime())
}

// remove deletes what an attempt has left.
func (t *target) remove() {
	os.Remove(t.part())
	for i := range t.sources {
		os.Remove(t.record(i))
		os.Remove(t.record(i) + ".new")
	}
}

// tidy deletes what a failed attempt has left, if no piece of it is of use to the next.
func (t *target) tidy() {
	for i, s := range t.sources {
		if p, ok := loadParts(t.record(i), s); ok && p.bytes() > 0 {
			return
		}
	}
	t.remove()
}

// transfer downloads what is missing, checks the whole and puts it in place.
func (t *target) transfer(ctx context.Context) (sum string, err error) {
	f, err := os.OpenFile(t.part(), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", writeError(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != t.size { // records without their bytes
		for i := range t.sources {
			os.Remove(t.record(i))
		}
	}
	if err := t.room(f); err != nil {
		return "", err
	}
	if err := f.Truncate(t.size); err != nil {
		return "", writeError(err)
	}
	records := make([]*parts, len(t.sources))
	var resumed int64
	for i, s := range t.sources {
		p, ok := loadParts(t.record(i), s)
		if !ok {
			p = newParts(s, t.client.chunk(s))
		}
		if err := p.save(t.record(i)); err != nil {
			return "", err
		}
		records[i] = p
		resumed += p.bytes()
	}
	arrived := &meter{target: t, resumed: resumed}
	arrived.say(resumed)
	for i, s := range t.sources {
		if err := s.pieces(ctx, f, records[i], t.record(i), arrived.say); err != nil {
			return "", err
		}
	}
	if err := f.Sync(); err != nil {
		return "", writeError(err)
	}
	sum, bad, err := t.sum(ctx, t.part())
	if err != nil {
		return "", err
	}
	for _, i := range bad {
		os.Remove(t.record(i))
	}
	if len(bad) > 0 {
		s := t.sources[bad[0]]
		return "", fmt.Errorf("%w: %s: the file does not have the checksum that the hub reports (%s)", ErrChecksum,
			s.what, s.sha+s.file.GitSHA1)
	}
	if err := t.plausible(f); err != nil {
		t.remove()
		return "", err
	}
	if err := os.Rename(t.part(), t.path); err != nil {
		return "", writeError(err)
	}
	t.remove()
	syncDir(filepath.Dir(t.path))
	return sum, nil
}

// plausible looks at a model file without a checksum: servers like to answer with a page that asks to log in.
func (t *target) plausible(f *os.File) error {
	if t.sources[0].checked() || !strings.HasSuffix(t.path, ".gguf") {
		return nil
	}
	head := make([]byte, 16)
	n, _ := f.ReadAt(head, 0)
	if head = head[:n]; strings.HasPrefix(string(head), "GGUF") {
		return nil
	}
	return fmt.Errorf("%w: %s: it is not a GGUF file: it begins with %q", ErrAnswer, t.what, head)
}

// chunk is the size of a source's pieces. Whatever size a server claims, their record stays small. Without ranges,
// all comes in one piece.
func (c *Client) chunk(s *source) int64 {
	if !s.ranges {
		return max(s.size, 1)
	}
	chunk := c.ChunkBytes
	if chunk <= 0 {
		chunk = 32 << 20
	}
	return max(chunk, s.size/maxPieces+1)
}

// maxPieces bounds the record of a transfer: 10,000 pieces of 32 MiB are 335 GB.
const maxPieces = 10_000

// room checks the disk before the first byte is asked for.
func (t *target) room(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return writeError(err)
	}
	need := t.size - allocated(info)
	if free, ok := freeSpace(filepath.Dir(t.path)); ok && need > free {
		return fmt.Errorf("%w: %s: %.1f GB more are needed, %.1f GB are free", ErrSpace, t.path, float64(need)/1e9,
			float64(free)/1e9)
	}
	return nil
}

// Room checks that a directory's disk holds all of several files, before the first of them is asked for. What is
// there already, in whole or in part, counts.
func Room(dir string, files []File) error {
	var need int64
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if info, err := os.Stat(path); err == nil && info.Size() == f.Size {
			continue
		}
		need += min(max(f.Size, 0), maxFile)
		if info, err := os.Stat(path + ".part"); err == nil {
			need -= min(allocated(info), f.Size)
		}
	}
	dir = nearest(dir)
	if free, ok := freeSpace(dir); ok && need > free {
		return fmt.Errorf("%w: %s: %.1f GB are needed for %d files, %.1f GB are free", ErrSpace, dir,
			float64(need)/1e9, len(files), float64(free)/1e9)
	}
	return nil
}

// nearest gives a path's nearest part that is there.
func nearest(path string) string {
	for len(path) > 1 {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// Writable says whether files can be put into a directory, which need not be there yet. It matches ErrWrite or
// ErrSpace.
func Writable(dir string) error {
	probe, err := os.MkdirTemp(nearest(dir), ".mixtral-")
	if err != nil {
		var why *fs.PathError // names the probe, and not the directory that was asked for
		if errors.As(err, &why) {
			err = fmt.Errorf("%s: %w", dir, why.Err)
		}
		return writeError(err)
	}
	return os.Remove(probe)
}

// meter counts what has arrived of a target.
type meter struct {
	*target
	resumed int64
	done    atomic.Int64
}

func (m *meter) say(n int64) {
	done := m.done.Add(n)
	if m.client.Progress != nil {
		m.client.Progress(Progress{File: m.what, Stage: "download", Done: done, Total: m.size, Resumed: m.resumed})
	}
}

// pieces runs the connections until every piece is here.
func (s *source) pieces(ctx context.Context, f *os.File, p *parts, record string, say func(int64)) error {
	connections := s.client.Connections
	if connections <= 0 {
		connections = 4
	}
	if !s.ranges {
		connections = 1
	}
	g, ctx := errgroup.WithContext(ctx)
	for range connections {
		g.Go(func() error {
			for i := p.next(); i >= 0; i = p.next() {
				if err := s.piece(ctx, f, p, i, say); err != nil {
					return err
				}
				if !s.checked() { // nothing else would notice what a power cut takes away
					if err := f.Sync(); err != nil {
						return writeError(err)
					}
				}
				if err := p.finish(i, record); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// enough is how many bytes count as progress: a server that sends a byte an attempt would keep a transfer going for
// ever.
const enough = 4 << 10

// piece downloads one piece; a cut continues where it was cut.
func (s *source) piece(ctx context.Context, f *os.File, p *parts, i int, say func(int64)) error {
	from, to := p.bounds(i)
	at := from
	return s.client.retry(ctx, s.what, func() (bool, error) {
		if !s.ranges && at > from { // cannot continue: the bytes are taken back
			say(from - at)
			at = from
		}
		n, err := s.read(ctx, io.NewOffsetWriter(f, s.offset+at), at, to, say)
		at += n
		if err == nil && at < to {
			err = fmt.Errorf("%w: %s: the connection ended %d bytes early", ErrTransfer, s.what, to-at)
		}
		return n >= enough && s.ranges || errors.Is(err, errExpired), err
	})
}

// read asks for bytes at … to−1 and copies what comes of them.
func (s *source) read(ctx context.Context, w io.Writer, at, to int64, say func(int64)) (total int64, err error) {
	if at == to {
		return 0, nil
	}
	location := s.at()
	a, err := s.client.open(ctx, http.MethodGet, location, s.request(at, to))
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	end, err := s.check(ctx, a, location, at, to)
	if err != nil {
		return 0, err
	}
	// a server that sends more than it was asked for does not spoil the next piece
	body := io.LimitReader(a.Body, end-at)
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return total, writeError(err)
			}
			total += int64(n)
			say(int64(n))
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}
