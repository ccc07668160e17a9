package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Result is a file that is here now.
type Result struct {
	Path   string
	Size   int64
	SHA256 string // of what is on disk
	Reused bool   // it was here already, whole
}

// source is where a file's bytes come from. Hubs answer with a redirect that expires: it is kept until it stops
// working.
type source struct {
	client *Client
	origin string
	what   string

	// Learned before the first location is known, and the same from then on.
	size   int64
	sha    string
	tag    string
	ranges bool

	mu       sync.Mutex
	location string
}

// resolve asks for the file's size, checksum and present location.
func (s *source) resolve(ctx context.Context) error {
	return s.client.retry(ctx, s.what, func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		target := s.origin
		for hop := 0; hop < 8; hop++ {
			resp, err := s.client.do(ctx, http.MethodHead, target, http.Header{"Accept-Encoding": {"identity"}})
			if err != nil {
				return false, err
			}
			resp.Body.Close()
			if s.location == "" { // later, for another link, the connections read these without a lock
				s.learn(resp)
			}
			switch {
			case resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.Header.Get("Location") != "":
				u, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
				if err != nil {
					return false, fmt.Errorf("%w: %s: redirect to %q", ErrTransfer, s.what,
						resp.Header.Get("Location"))
				}
				if u.Scheme != "https" && !loopback(u.Hostname()) {
					return false, fmt.Errorf("%w: %s: redirect to plain %s", ErrRef, s.what, u.Scheme)
				}
				target = u.String()
			case resp.StatusCode == http.StatusOK:
				s.location = target
				if s.size <= 0 {
					return false, fmt.Errorf("%w: %s: the server does not say how long the file is", ErrTransfer,
						s.what)
				}
				return false, nil
			default:
				return false, &waitError{statusError(resp, s.what), retryAfter(resp)}
			}
		}
		return false, fmt.Errorf("%w: %s: too many redirects", ErrTransfer, s.what)
	})
}

// learn reads a hub's headers; they stand on the first response, before its redirect.
func (s *source) learn(r *http.Response) {
	if n, err := strconv.ParseInt(r.Header.Get("X-Linked-Size"), 10, 64); err == nil && s.size == 0 {
		s.size = n
	}
	if tag := strings.Trim(r.Header.Get("X-Linked-Etag"), `"`); len(tag) == 64 && s.sha == "" {
		s.sha = strings.ToLower(tag)
	}
	if r.StatusCode == http.StatusOK {
		if s.size == 0 {
			s.size = r.ContentLength
		}
		if s.tag == "" {
			s.tag = r.Header.Get("ETag")
		}
		s.ranges = r.Header.Get("Accept-Ranges") == "bytes"
	}
}

func (s *source) at() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.location
}

// Fetch brings a file to dest. What an earlier attempt left in dest+".part" is continued; dest itself appears only
// when the whole file is here and its checksum is right. want may be the zero File: then the server's own headers
// decide.
func (c *Client) Fetch(ctx context.Context, r Ref, want File, dest string) (Result, error) {
	origin := r.URL
	if origin == "" {
		origin = c.endpoint() + "/" + r.Owner + "/" + r.Repo + "/resolve/" + url.PathEscape(r.Revision) + "/" +
			escapePath(want.Path)
	}
	s := &source{client: c, origin: origin, what: r.String(), size: want.Size, sha: want.SHA256}
	if err := s.resolve(ctx); err != nil {
		return Result{}, err
	}
	if res, ok := c.have(ctx, s, dest); ok {
		return res, nil
	}
	if err := dirOf(dest); err != nil {
		return Result{}, err
	}
	for again := false; ; again = true {
		sum, err := c.transfer(ctx, s, dest)
		if err == nil {
			return Result{Path: dest, Size: s.size, SHA256: sum}, nil
		}
		if again || !errors.Is(err, ErrChecksum) {
			return Result{}, err
		}
		// what was on disk may have been damaged: once more from nothing
		c.log().Warn("starting again", "file", s.what, "err", err)
	}
}

func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// have reports a whole file that is here already.
func (c *Client) have(ctx context.Context, s *source, dest string) (Result, bool) {
	info, err := os.Stat(dest)
	if err != nil || info.Size() != s.size || s.sha == "" {
		return Result{}, false
	}
	sum, err := c.sum(ctx, dest, s.what, s.size)
	if err != nil || sum != s.sha {
		return Result{}, false
	}
	return Result{Path: dest, Size: s.size, SHA256: sum, Reused: true}, true
}

// maxPieces bounds the record of a transfer: 10,000 pieces of 32 MiB are 335 GB.
const maxPieces = 10_000

// transfer downloads what is missing, checks the whole and puts it in place.
func (c *Client) transfer(ctx context.Context, s *source, dest string) (sum string, err error) {
	part, record := dest+".part", dest+".part.json"
	chunk := c.ChunkBytes
	if chunk <= 0 {
		chunk = 32 << 20
	}
	connections := c.Connections
	if connections <= 0 {
		connections = 4
	}
	chunk = max(chunk, s.size/maxPieces+1) // whatever size a server claims, the record stays small
	if !s.ranges {                         // then all comes in one piece, or not at all
		chunk, connections = max(s.size, 1), 1
	}
	p, resumed := loadParts(record, s.size, s.sha, s.tag)
	if !resumed {
		p = newParts(s.size, chunk, s.sha, s.tag)
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errDisk, err)
	}
	defer f.Close()
	if err := c.room(f, p, part); err != nil {
		return "", err
	}
	if err := f.Truncate(s.size); err != nil {
		return "", fmt.Errorf("%w: %w", errDisk, err)
	}
	if err := p.save(record); err != nil {
		return "", err
	}
	if err := c.pieces(ctx, s, f, p, record, connections); err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("%w: %w", errDisk, err)
	}
	sum, err = c.sum(ctx, part, s.what, s.size)
	if err != nil {
		return "", err
	}
	if s.sha != "" && sum != s.sha {
		os.Remove(part)
		os.Remove(record)
		return "", fmt.Errorf("%w: %s: SHA-256 is %s, the hub says %s", ErrChecksum, s.what, sum, s.sha)
	}
	if err := os.Rename(part, dest); err != nil {
		return "", fmt.Errorf("%w: %w", errDisk, err)
	}
	os.Remove(record)
	return sum, nil
}

// room checks the disk before the first byte is asked for.
func (c *Client) room(f *os.File, p *parts, path string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%w: %w", errDisk, err)
	}
	need := p.Size - allocated(info)
	if free, ok := freeSpace(path); ok && need > free {
		return fmt.Errorf("%w: %s: %.1f GB more are needed, %.1f GB are free", ErrSpace, path, float64(need)/1e9,
			float64(free)/1e9)
	}
	return nil
}

// pieces runs the connections until every piece is here.
func (c *Client) pieces(ctx context.Context, s *source, f *os.File, p *parts, record string, connections int) error {
	var arrived atomic.Int64
	resumed := p.bytes()
	arrived.Store(resumed)
	say := func(n int64) {
		done := arrived.Add(n)
		if c.Progress != nil {
			c.Progress(Progress{File: s.what, Stage: "download", Done: done, Total: p.Size, Resumed: resumed})
		}
	}
	say(0)
	g, ctx := errgroup.WithContext(ctx)
	for range connections {
		g.Go(func() error {
			for i := p.next(); i >= 0; i = p.next() {
				if err := c.piece(ctx, s, f, p, i, say); err != nil {
					return err
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

// piece downloads one piece; a cut continues where it was cut.
func (c *Client) piece(ctx context.Context, s *source, f *os.File, p *parts, i int, say func(int64)) error {
	from, to := p.bounds(i)
	at := from
	return c.retry(ctx, s.what, func() (bool, error) {
		if !s.ranges && at > from { // cannot continue: the bytes are taken back
			say(from - at)
			at = from
		}
		n, err := c.read(ctx, s, io.NewOffsetWriter(f, at), at, to, say)
		at += n
		if err == nil && at < to {
			err = fmt.Errorf("%w: %s: the connection ended %d bytes early", ErrTransfer, s.what, to-at)
		}
		return n > 0 && s.ranges, err
	})
}

// stall is how long a connection may be silent before it counts as cut.
const stall = 60 * time.Second

// read asks for bytes at … to−1 and copies them.
func (c *Client) read(ctx context.Context, s *source, w io.Writer, at, to int64, say func(int64)) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(stall, func() {
		cancel(fmt.Errorf("%w: %s: no data for %v", ErrTransfer, s.what,
			stall))
	})
	defer watchdog.Stop()
	header := http.Header{"Accept-Encoding": {"identity"}}
	if s.ranges {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", at, to-1))
	}
	resp, err := c.do(ctx, http.MethodGet, s.at(), header)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := s.checkRange(ctx, resp, at, to); err != nil {
		return 0, err
	}
	// a server that sends more than it was asked for does not spoil the next piece
	body := io.LimitReader(resp.Body, to-at)
	buf := make([]byte, 256<<10)
	var total int64
	for {
		n, err := body.Read(buf)
		if n > 0 {
			watchdog.Reset(stall)
			if _, err := w.Write(buf[:n]); err != nil {
				return total, fmt.Errorf("%w: %w", errDisk, err)
			}
			total += int64(n)
			say(int64(n))
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return total, err
		}
	}
}

// checkRange makes sure that a response is the piece that was asked for.
func (s *source) checkRange(ctx context.Context, resp *http.Response, at, to int64) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", at, to-1, s.size)
		if got := resp.Header.Get("Content-Range"); got != want {
			return fmt.Errorf("%w: %s: got %q, asked for %q", ErrTransfer, s.what, got, want)
		}
		return nil
	case http.StatusOK:
		if !s.ranges && at == 0 {
			return nil
		}
		return fmt.Errorf("%w: %s: the server sent the whole file instead of a range", ErrTransfer, s.what)
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		if s.at() != s.origin { // a redirect that has expired: ask for another
			if err := s.resolve(ctx); err != nil {
				return err
			}
			return fmt.Errorf("%w: %s: the link expired", ErrTransfer, s.what)
		}
	}
	return &waitError{statusError(resp, s.what), retryAfter(resp)}
}

// sum gives the SHA-256 of a file in hex.
func (c *Client) sum(ctx context.Context, path, what string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errDisk, err)
	}
	defer f.Close()
	h := sha256.New()
	var done int64
	for {
		n, err := io.CopyN(h, f, 64<<20)
		done += n
		if c.Progress != nil {
			c.Progress(Progress{File: what, Stage: "verify", Done: done, Total: size})
		}
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(h.Sum(nil)), nil
		case err != nil:
			return "", fmt.Errorf("%w: %w", errDisk, err)
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
	}
}
