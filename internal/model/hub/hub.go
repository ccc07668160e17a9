package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	// ErrRef is matched by errors about a name that is neither hf://owner/repo[/file][@revision] nor an https URL.
	ErrRef = errors.New("unusable model source")
	// ErrNotFound is matched when the repository, revision or file does not exist, or is private and no token was
	// given.
	ErrNotFound = errors.New("not found")
	// ErrDenied is matched when the hub wants a token, or the token's owner has not accepted the model's terms.
	ErrDenied = errors.New("access denied")
	// ErrChoice is matched when a repository holds several models and none was named.
	ErrChoice = errors.New("more than one model file")
	// ErrChecksum is matched when what arrived is not what the hub says it is.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrSpace is matched when the disk has no room for the file.
	ErrSpace = errors.New("not enough disk space")
	// ErrTransfer is matched when a transfer failed more often than it may.
	ErrTransfer = errors.New("transfer failed")
)

// DefaultEndpoint serves hf:// names; HF_ENDPOINT overrides it.
const DefaultEndpoint = "https://huggingface.co"

// Ref names a file, or a repository whose file is to be chosen.
type Ref struct {
	Owner, Repo string
	File        string // path in the repository; empty: choose
	Revision    string // branch, tag or commit; "main" if not given
	URL         string // a plain URL; then everything above is empty
}

var namePart = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)

// ParseRef reads hf://owner/repo[/file][@revision], https://… or, for servers on this machine, http://….
func ParseRef(s string) (Ref, error) {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.User != nil || path.Base(u.Path) == "/" || path.Base(u.Path) == "." {
			return Ref{}, fmt.Errorf("%w: %q is not the URL of a file", ErrRef, s)
		}
		if u.Scheme == "http" && !loopback(u.Hostname()) {
			return Ref{}, fmt.Errorf("%w: %q: must be https; plain http is accepted only for addresses of "+
				"this machine", ErrRef, s)
		}
		return Ref{URL: s}, nil
	}
	rest, ok := strings.CutPrefix(s, "hf://")
	if !ok {
		return Ref{}, fmt.Errorf("%w: %q: want hf://owner/repo[/file][@revision] or an https URL", ErrRef, s)
	}
	r := Ref{Revision: "main"}
	if before, after, ok := strings.Cut(rest, "@"); ok {
		rest, r.Revision = before, after
		if after == "" || strings.ContainsAny(after, "?#\\ ") || strings.Contains(after, "..") {
			return Ref{}, fmt.Errorf("%w: malformed revision %q", ErrRef, after)
		}
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 2 || !namePart.MatchString(parts[0]) || !namePart.MatchString(parts[1]) {
		return Ref{}, fmt.Errorf("%w: %q: want hf://owner/repo[/file][@revision]", ErrRef, s)
	}
	r.Owner, r.Repo = parts[0], parts[1]
	if len(parts) == 3 {
		r.File = parts[2]
		if !safePath(r.File) {
			return Ref{}, fmt.Errorf("%w: malformed file name %q", ErrRef, r.File)
		}
	}
	return r, nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// safePath refuses what would leave the directory that files are put into.
func safePath(p string) bool {
	return p != "" && path.Clean("/"+p) == "/"+p && !strings.ContainsAny(p, "\\?#\x00") &&
		!strings.HasPrefix(path.Base(p), ".")
}

// String gives the reference as ParseRef reads it.
func (r Ref) String() string {
	if r.URL != "" {
		return r.URL
	}
	s := "hf://" + r.Owner + "/" + r.Repo
	if r.File != "" {
		s += "/" + r.File
	}
	if r.Revision != "main" {
		s += "@" + r.Revision
	}
	return s
}

// File is a file of a repository.
type File struct {
	Path   string
	Size   int64
	SHA256 string // hex; empty for small files, which the hub keeps in git
}

// Progress says how far a transfer is.
type Progress struct {
	File    string
	Stage   string // "download", "verify"
	Done    int64  // bytes
	Total   int64
	Resumed int64 // of Done, found from an earlier attempt
}

// Client fetches files. The zero value of each field means what the comment says.
type Client struct {
	Endpoint    string         // DefaultEndpoint
	Token       string         // sent to Endpoint only, never to where it redirects
	HTTP        *http.Client   // one that honours HTTPS_PROXY and NO_PROXY
	Connections int            // 4
	ChunkBytes  int64          // 32 MiB: what a cut costs at most, for each connection
	Attempts    int            // 8 failures in a row without a byte of progress end a transfer
	Progress    func(Progress) // not called
	Logger      *slog.Logger   // silent

	sleep func(context.Context, time.Duration) error // tests replace it
}

func (c *Client) endpoint() string {
	if c.Endpoint == "" {
		return DefaultEndpoint
	}
	return strings.TrimRight(c.Endpoint, "/")
}

func (c *Client) attempts() int {
	if c.Attempts > 0 {
		return c.Attempts
	}
	return 8
}

func (c *Client) log() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// client gives an HTTP client that shows redirects instead of following them.
func (c *Client) client() *http.Client {
	h := http.Client{}
	if c.HTTP != nil {
		h = *c.HTTP
	}
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &h
}

// do sends a request, with the token if it goes to the endpoint.
func (c *Client) do(ctx context.Context, method, target string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRef, err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "mixtral-service")
	if e, err := url.Parse(c.endpoint()); err == nil && c.Token != "" && req.URL.Host == e.Host &&
		req.URL.Scheme == e.Scheme {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	return c.client().Do(req)
}

// statusError turns a response that is no success into an error. It closes nothing.
func statusError(r *http.Response, what string) error {
	detail := strings.TrimSpace(r.Header.Get("X-Error-Message"))
	if detail == "" {
		detail = http.StatusText(r.StatusCode)
	}
	if len(detail) > 200 {
		detail = detail[:200]
	}
	base := ErrTransfer
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		base = ErrDenied
	case http.StatusNotFound, http.StatusGone:
		base = ErrNotFound
	}
	return fmt.Errorf("%w: %s: %d %s", base, what, r.StatusCode, detail)
}

// maxListing bounds a repository's listing: 32 MB are more than 100,000 files.
const maxListing = 32 << 20

// List gives the files of a repository at a revision.
func (c *Client) List(ctx context.Context, r Ref) ([]File, error) {
	next := c.endpoint() + "/api/models/" + r.Owner + "/" + r.Repo + "/tree/" + url.PathEscape(r.Revision) +
		"?recursive=true"
	var all []File
	for pages := 0; next != "" && pages < 1000; pages++ {
		var page []struct {
			Type string
			Path string
			Size int64
			LFS  *struct {
				OID  string
				Size int64
			}
		}
		link, err := c.getJSON(ctx, next, r.String(), &page)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			f := File{Path: e.Path, Size: e.Size}
			if e.LFS != nil {
				f.SHA256, f.Size = strings.TrimPrefix(e.LFS.OID, "sha256:"), e.LFS.Size
			}
			if e.Type == "file" && safePath(e.Path) {
				all = append(all, f)
			}
		}
		next = link
	}
	return all, nil
}

var nextLink = regexp.MustCompile(`<([^>]+)>\s*;\s*rel="next"`)

// getJSON reads one page, with retries, and gives the link to the next one.
func (c *Client) getJSON(ctx context.Context, target, what string, into any) (next string, err error) {
	err = c.retry(ctx, what, func() (bool, error) {
		resp, err := c.do(ctx, http.MethodGet, target, nil)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false, &waitError{statusError(resp, what), retryAfter(resp)}
		}
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxListing))
		if err != nil {
			return false, err
		}
		if err := json.Unmarshal(data, into); err != nil {
			return false, fmt.Errorf("%w: %s: the listing is not JSON: %w", ErrTransfer, what, err)
		}
		if m := nextLink.FindStringSubmatch(resp.Header.Get("Link")); m != nil {
			if u, err := resp.Request.URL.Parse(m[1]); err == nil {
				next = u.String()
			}
		}
		return false, nil
	})
	return next, err
}

// Choose picks what a repository without a named file means: its one GGUF file, or everything that a model in
// safetensors needs. Several GGUF files are an ErrChoice that lists them.
func Choose(files []File) ([]File, error) {
	var gguf, hf []File
	shards := false
	for _, f := range files {
		base := path.Base(f.Path)
		switch {
		case strings.HasSuffix(base, ".gguf"):
			gguf = append(gguf, f)
		case strings.HasSuffix(base, ".safetensors") && !strings.Contains(f.Path, "/"):
			shards = true
			hf = append(hf, f)
		case slices.Contains([]string{"model.safetensors.index.json", "config.json", "generation_config.json",
			"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
			"chat_template.jinja"}, f.Path):
			hf = append(hf, f)
		}
	}
	switch {
	case len(gguf) == 1:
		return gguf, nil
	case len(gguf) > 1:
		var names []string
		for _, f := range gguf {
			names = append(names, fmt.Sprintf("%s (%.1f GB)", f.Path, float64(f.Size)/1e9))
		}
		return nil, fmt.Errorf("%w: the repository holds %s", ErrChoice, strings.Join(names, ", "))
	case shards:
		return hf, nil
	}
	return nil, fmt.Errorf("%w: the repository holds neither GGUF nor safetensors files", ErrNotFound)
}
