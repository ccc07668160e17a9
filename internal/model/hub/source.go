package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// source is where a file's bytes come from. Hubs answer with a redirect that expires: it is kept until it stops
// working.
type source struct {
	client *Client
	origin place
	what   string
	file   File  // what is known of it
	offset int64 // of its bytes in the file that is written: not 0 for a part that is joined to others

	// Learned before the first byte is asked for, and the same from then on.
	size   int64
	sha    string // SHA-256 in hex; empty: unknown
	tag    string // ETag, or the time of the last change; empty: unknown
	ranges bool

	asking   sync.Mutex // one question for a new location at a time
	mu       sync.Mutex // of location
	location place
}

// errExpired is matched when a location no longer works, and a new one is known.
var errExpired = errors.New("the link expired")

func (c *Client) newSource(target, what string, f File) (*source, error) {
	origin, err := c.start(target)
	return &source{client: c, origin: origin, what: what, file: f, size: -1}, err
}

// renew asks for another location, unless somebody else has done so since used was in use.
func (s *source) renew(ctx context.Context, used place) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	if s.at().url != used.url {
		return nil
	}
	return s.resolve(ctx)
}

// resolve asks for the file's size, checksum and present location.
func (s *source) resolve(ctx context.Context) error {
	return s.client.retry(ctx, s.what, func() (bool, error) {
		a, err := s.ask(ctx)
		if err != nil {
			return false, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		first := s.location.url == nil
		if err := s.learn(a, first); err != nil {
			return false, err
		}
		s.location = a.at
		return false, nil
	})
}

// ask asks for the head of the file. Addresses that are signed for GET refuse HEAD; then, and where the answer leaves
// something open, one byte is asked for.
func (s *source) ask(ctx context.Context) (*answer, error) {
	a, err := s.client.open(ctx, http.MethodHead, s.origin, nil)
	if err != nil {
		return nil, err
	}
	a.Body.Close()
	switch a.StatusCode {
	case http.StatusOK:
		if a.ContentLength >= 0 && a.Header.Get("Accept-Ranges") == "bytes" {
			return a, nil
		}
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotAcceptable, http.StatusNotImplemented:
	default:
		return nil, &waitError{statusError(a.Response, s.what), waitAsked(a.Response)}
	}
	g, err := s.client.open(ctx, http.MethodGet, s.origin, http.Header{"Range": {"bytes=0-0"}})
	if err != nil {
		return nil, err
	}
	g.Body.Close()
	if g.StatusCode != http.StatusOK && g.StatusCode != http.StatusPartialContent {
		return nil, &waitError{statusError(g.Response, s.what), waitAsked(g.Response)}
	}
	if g.StatusCode == http.StatusOK && g.ContentLength < 0 && a.StatusCode == http.StatusOK {
		g.ContentLength = a.ContentLength
	}
	return g, nil
}

var contentRange = regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$`)

// parseRange reads Content-Range; total is −1 where the server does not know it.
func parseRange(text string) (from, to, total int64, ok bool) {
	m := contentRange.FindStringSubmatch(text)
	if m == nil {
		return 0, 0, 0, false
	}
	from, _ = strconv.ParseInt(m[1], 10, 64)
	to, _ = strconv.ParseInt(m[2], 10, 64)
	total = -1
	if m[3] != "*" {
		total, _ = strconv.ParseInt(m[3], 10, 64)
	}
	return from, to + 1, total, to >= from
}

// validator is what tells versions of a file apart where there is no checksum.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		return tag
	}
	return h.Get("Last-Modified")
}

// learn reads what the headers say. A hub's own stand on its first responses, before its redirect to a store.
func (s *source) learn(a *answer, first bool) error {
	if enc := a.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return fmt.Errorf("%w: %s: the server sends it as %q, not as it is", ErrAnswer, s.what, plain(enc))
	}
	size, ranges := a.ContentLength, a.Header.Get("Accept-Ranges") == "bytes"
	if a.StatusCode == http.StatusPartialContent {
		_, _, total, ok := parseRange(a.Header.Get("Content-Range"))
		if !ok {
			return fmt.Errorf("%w: %s: Content-Range is %q", ErrAnswer, s.what, plain(a.Header.Get("Content-Range")))
		}
		size, ranges = total, true
	}
	sha := ""
	for _, h := range a.trail {
		if tag := strings.ToLower(strings.Trim(h.Get("X-Linked-Etag"), `"`)); isSHA256(tag) {
			sha = tag
			if n, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); err == nil {
				size = n
			}
		}
	}
	if !first {
		if s.sha == "" && (size != s.size || validator(a.Header) != s.tag) {
			return s.changed()
		}
		return nil
	}
	if s.file.SHA256 != "" || s.file.GitSHA1 != "" || s.file.Size > 0 { // from a listing
		if sha != "" && s.file.SHA256 != "" && sha != s.file.SHA256 || size >= 0 && size != s.file.Size {
			return fmt.Errorf("%w: %s: its listing has %d bytes%s, and now it has %d%s", ErrChanged, s.what,
				s.file.Size, shaText(s.file.SHA256), size, shaText(sha))
		}
		size = s.file.Size
	}
	switch {
	case size < 0:
		return fmt.Errorf("%w: %s: the server does not say how long the file is", ErrAnswer, s.what)
	case size > maxFile:
		return fmt.Errorf("%w: %s: the server says that it has %d bytes, at most %d are allowed", ErrAnswer, s.what,
			size, int64(maxFile))
	}
	s.size, s.ranges, s.tag, s.sha = size, ranges, validator(a.Header), s.file.SHA256
	if s.sha == "" {
		s.sha = sha
	}
	return nil
}

func shaText(sum string) string {
	if sum == "" {
		return ""
	}
	return " of SHA-256 " + sum
}

// checked tells whether what arrived can be compared with a checksum.
func (s *source) checked() bool { return s.sha != "" || s.file.GitSHA1 != "" }

func (s *source) changed() error {
	return fmt.Errorf("%w: %s: what it has now is not what the download began with", ErrChanged, s.what)
}

// at gives the present location.
func (s *source) at() place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.location
}

// request gives the headers that ask for bytes at … to−1 of the version that the transfer began with.
func (s *source) request(at, to int64) http.Header {
	if !s.ranges {
		return nil
	}
	h := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", at, to-1)}}
	if !s.checked() && s.tag != "" && !strings.HasPrefix(s.tag, "W/") {
		h["If-Range"] = []string{s.tag}
	}
	return h
}

// check makes sure that a response is a beginning of what was asked for, and says up to which byte it goes.
// It came from the location used.
func (s *source) check(ctx context.Context, a *answer, used place, at, to int64) (int64, error) {
	same := s.checked() || s.tag == "" || validator(a.Header) == "" || validator(a.Header) == s.tag
	switch a.StatusCode {
	case http.StatusPartialContent:
		from, end, total, ok := parseRange(a.Header.Get("Content-Range"))
		switch {
		case !same, ok && total >= 0 && total != s.size && !s.checked():
			return 0, s.changed()
		case !ok || from != at || end > to || total >= 0 && total != s.size:
			return 0, fmt.Errorf("%w: %s: got %q, asked for bytes %d-%d of %d", ErrTransfer, s.what,
				plain(a.Header.Get("Content-Range")), at, to-1, s.size)
		}
		return end, nil
	case http.StatusOK:
		switch {
		case !same, a.ContentLength >= 0 && a.ContentLength != s.size && !s.checked():
			return 0, s.changed()
		case at == 0:
			return to, nil
		case !s.checked() && s.tag != "": // that is how If-Range says it
			return 0, s.changed()
		}
		return 0, fmt.Errorf("%w: %s: the server sent the whole file instead of a range", ErrTransfer, s.what)
	case http.StatusRequestedRangeNotSatisfiable:
		if !s.checked() {
			return 0, s.changed()
		}
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		if used.url.String() != s.origin.url.String() { // a redirect that has expired: ask for another
			if err := s.renew(ctx, used); err != nil {
				return 0, err
			}
			return 0, fmt.Errorf("%w: %s: %w", ErrTransfer, s.what, errExpired)
		}
	}
	return 0, &waitError{statusError(a.Response, s.what), waitAsked(a.Response)}
}

// address gives where a file of a repository, or a plain URL, is.
func (c *Client) address(r Ref, f File) string {
	if f.URL != "" || r.URL != "" {
		return cmp.Or(f.URL, r.URL)
	}
	return c.endpoint() + "/" + r.Owner + "/" + r.Repo + "/resolve/" + url.PathEscape(r.Revision) + "/" +
		escapePath(f.Path)
}

func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
