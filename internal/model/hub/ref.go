package hub

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
	"unicode"
)

// Ref names a file, or a repository whose files are to be chosen.
type Ref struct {
	Owner, Repo string
	File        string // path in the repository, or what Choose takes for one; empty: choose
	Revision    string // branch, tag or commit; "main" if not given
	URL         string // a plain URL; then everything above is empty
}

var namePart = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)

// ParseRef reads hf://owner/repo[/file][@revision], https://… or, for servers on this machine, http://…. The address
// of a page of huggingface.co is read as the repository or file that the page shows.
func ParseRef(s string) (Ref, error) {
	if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
		return parseURL(s)
	}
	rest, ok := strings.CutPrefix(s, "hf://")
	if !ok {
		return Ref{}, fmt.Errorf("%w: must be hf://owner/repo[/file][@revision] or an https URL, got %q", ErrRef, s)
	}
	r := Ref{Revision: "main"}
	if before, after, ok := strings.Cut(rest, "@"); ok {
		rest, r.Revision = before, after
		if !safeRevision(after) {
			return Ref{}, fmt.Errorf("%w: malformed revision %q", ErrRef, after)
		}
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 2 || !namePart.MatchString(parts[0]) || !namePart.MatchString(parts[1]) {
		return Ref{}, fmt.Errorf("%w: must be hf://owner/repo[/file][@revision], got %q", ErrRef, s)
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

func parseURL(s string) (Ref, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || path.Base(u.Path) == "/" || path.Base(u.Path) == "." {
		return Ref{}, fmt.Errorf("%w: %q is not the URL of a file", ErrRef, s)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return Ref{}, fmt.Errorf("%w: %q: must be https; plain http is accepted only for addresses of "+
			"this machine", ErrRef, s)
	}
	if r, ok := pageRef(u); ok {
		return r, nil
	}
	return Ref{URL: s}, nil
}

// pageRef reads the address that a browser shows: https://huggingface.co/owner/repo[/blob/main/file].
func pageRef(u *url.URL) (Ref, bool) {
	if u.Scheme != "https" || u.Host != "huggingface.co" && u.Host != "hf.co" {
		return Ref{}, false
	}
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i := range parts {
		p, err := url.PathUnescape(parts[i])
		if err != nil {
			return Ref{}, false
		}
		parts[i] = p
	}
	if len(parts) < 2 {
		return Ref{}, false
	}
	text := "hf://" + parts[0] + "/" + parts[1]
	switch {
	case len(parts) == 2:
	case len(parts) >= 4 && (parts[2] == "blob" || parts[2] == "resolve" || parts[2] == "tree" || parts[2] == "raw"):
		if len(parts) > 4 {
			text += "/" + strings.Join(parts[4:], "/")
		}
		if parts[3] != "main" {
			text += "@" + parts[3]
		}
	default:
		return Ref{}, false
	}
	r, err := ParseRef(text)
	return r, err == nil && r.String() == text
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// safePath refuses what would leave the directory that files are put into, hidden files, and names that a terminal
// would not show as they are.
func safePath(p string) bool {
	return p != "" && len(p) <= 1000 && path.Clean("/"+p) == "/"+p && !strings.ContainsAny(p, "\\?#") &&
		!strings.HasPrefix(path.Base(p), ".") && printable(p)
}

func safeRevision(r string) bool {
	return r != "" && len(r) <= 200 && !strings.ContainsAny(r, "?#\\ ") && !strings.Contains(r, "..") &&
		!strings.HasPrefix(r, "/") && !strings.Contains(r, "@") && printable(r)
}

// printable tells whether a text is what it looks like: no control characters, nothing that turns its direction.
func printable(s string) bool {
	for _, c := range s {
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar {
			return false
		}
	}
	return true
}

// plain makes a server's text fit for a message: printable and short.
func plain(s string) string {
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, s)
	const most = 200 // characters
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strings.TrimSpace(s)
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
