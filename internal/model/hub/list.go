package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// File is a file of a repository.
type File struct {
	Path    string
	Size    int64
	SHA256  string // hex; empty for small files, which the hub keeps in git
	GitSHA1 string `json:",omitempty"` // hex, of a small file as git counts it
	Parts   []File `json:",omitempty"` // the files that have to be joined to make this one; usually none
	URL     string `json:"-"`          // where it is; empty: in its repository
}

// Bounds of a listing. The largest repositories with GGUF files have some hundred.
const (
	maxListing = 32 << 20 // bytes of a page
	maxValues  = 400_000  // of a page: it usually has 1,000 files of fifteen values
	maxDepth   = 16
	maxFiles   = 100_000
	maxPages   = 1000
	maxFile    = 1 << 44 // bytes, 16 TiB: thirty times Mixtral-8x22B in F32
	listTime   = 10 * time.Minute
)

// List gives the files of a repository at a revision.
func (c *Client) List(ctx context.Context, r Ref) ([]File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listTime, fmt.Errorf("%w: %s: the listing took more than %v",
		ErrTransfer, r, listTime))
	defer cancel()
	next := c.endpoint() + "/api/models/" + r.Owner + "/" + r.Repo + "/tree/" + url.PathEscape(r.Revision) +
		"?recursive=true"
	var all []File
	for pages := 0; next != ""; pages++ {
		if pages == maxPages || len(all) > maxFiles {
			return nil, fmt.Errorf("%w: %s: the listing has more than %d files or %d pages", ErrAnswer, r, maxFiles,
				maxPages)
		}
		var page []entry
		link, err := c.getJSON(ctx, next, r.String(), &page)
		if err != nil {
			return nil, because(ctx, err)
		}
		for _, e := range page {
			f := e.file()
			if e.Type != "file" || !safePath(f.Path) {
				continue
			}
			if f.Size < 0 || f.Size > maxFile {
				return nil, fmt.Errorf("%w: %s: %s has %d bytes in the listing, at most %d are allowed", ErrAnswer, r,
					f.Path, f.Size, int64(maxFile))
			}
			all = append(all, f)
		}
		next = link
	}
	return all, nil
}

// entry is a file or a directory as the hub lists it.
type entry struct {
	Type string
	Path string
	Size int64
	OID  string
	LFS  *struct {
		OID  string
		Size int64
	}
}

var hexSum = regexp.MustCompile(`^[0-9a-f]+$`)

func isSHA256(s string) bool { return len(s) == 64 && hexSum.MatchString(s) }

func (e *entry) file() File {
	f := File{Path: e.Path, Size: e.Size}
	if e.LFS != nil {
		f.Size = e.LFS.Size
		if sum := strings.ToLower(strings.TrimPrefix(e.LFS.OID, "sha256:")); isSHA256(sum) {
			f.SHA256 = sum
		}
	} else if sum := strings.ToLower(e.OID); len(sum) == 40 && hexSum.MatchString(sum) {
		f.GitSHA1 = sum
	}
	return f
}

var nextLink = regexp.MustCompile(`<([^>]+)>\s*;\s*rel="?next"?`)

// getJSON reads one page, with retries, and gives the link to the next one.
func (c *Client) getJSON(ctx context.Context, target, what string, into any) (next string, err error) {
	data, at, header, err := c.get(ctx, target, what, maxListing)
	if err != nil {
		return "", err
	}
	if err := bounded.JSON(data, maxValues, maxDepth); err != nil {
		return "", fmt.Errorf("%w: %s: the listing: %w", ErrAnswer, what, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return "", fmt.Errorf("%w: %s: the listing cannot be read: %s", ErrAnswer, what, plain(err.Error()))
	}
	if m := nextLink.FindStringSubmatch(header.Get("Link")); m != nil {
		u, err := at.Parse(m[1])
		if err != nil || !sameOrigin(u, at) {
			return "", fmt.Errorf("%w: %s: the listing continues on another server, %q", ErrAnswer, what, plain(m[1]))
		}
		next = u.String()
	}
	return next, nil
}

// get reads a whole answer of at most so many bytes into memory, with retries.
func (c *Client) get(ctx context.Context, target, what string, most int64) (data []byte, at *url.URL, h http.Header,
	err error) {
	from, err := c.start(target)
	if err != nil {
		return nil, nil, nil, err
	}
	err = c.retry(ctx, what, func() (bool, error) {
		a, err := c.open(ctx, http.MethodGet, from, nil)
		if err != nil {
			return false, err
		}
		defer a.Body.Close()
		if a.StatusCode != http.StatusOK {
			return false, &waitError{statusError(a.Response, what), waitAsked(a.Response)}
		}
		if data, err = io.ReadAll(io.LimitReader(a.Body, most+1)); err != nil {
			return false, err
		}
		if int64(len(data)) > most {
			return false, fmt.Errorf("%w: %s: longer than %d bytes", ErrAnswer, what, most)
		}
		// A chain that came back to the endpoint from elsewhere goes on without the token.
		at, h = a.at.url, a.Header
		return false, nil
	})
	return data, at, h, err
}
