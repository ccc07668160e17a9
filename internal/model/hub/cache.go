package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// snapshot is the directory of a repository's revision in the cache that Hugging Face's own tools keep:
// models--owner--repo/snapshots/<commit>, where refs/<revision> names the commit.
func snapshot(root string, r Ref) string {
	repo := filepath.Join(root, "models--"+r.Owner+"--"+r.Repo)
	commit := r.Revision
	if data, err := bounded.File(filepath.Join(repo, "refs", filepath.FromSlash(r.Revision)), 1<<10); err == nil {
		if name := strings.TrimSpace(string(data)); namePart.MatchString(name) {
			commit = name
		}
	}
	return filepath.Join(repo, "snapshots", commit)
}

// Cached finds a file in the cache of Hugging Face's own tools, at CacheRoot.
func Cached(root string, r Ref, file string) (string, bool) {
	if root == "" || r.URL != "" || !safePath(file) {
		return "", false
	}
	path := filepath.Join(snapshot(root, r), filepath.FromSlash(file))
	info, err := os.Stat(path) // follows the link into blobs/
	if err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	return path, true
}

// CachedAs finds a file in the cache that is what a listing says of it, and not an older version. The cache names
// files by their checksums; where it does not, the file is read.
func (c *Client) CachedAs(ctx context.Context, root string, r Ref, f File) (string, bool) {
	path, ok := Cached(root, r, f.Path)
	if !ok || len(f.Parts) > 0 {
		return "", false
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() != f.Size {
		return "", false
	}
	if blob, err := filepath.EvalSymlinks(path); err == nil && f.SHA256+f.GitSHA1 != "" &&
		filepath.Base(blob) == f.SHA256+f.GitSHA1 {
		return path, true
	}
	s := &source{client: c, file: f, size: f.Size, sha: f.SHA256}
	if !s.checked() {
		return "", false
	}
	t := &target{client: c, what: f.Path, sources: []*source{s}, size: f.Size}
	_, bad, err := t.sum(ctx, path)
	return path, err == nil && len(bad) == 0
}

// maxLocal bounds what a directory is searched for.
const maxLocal = 10_000

// Local picks the files that a reference means among those that are on this machine: in the cache of Hugging Face's
// own tools at root, or in dir, where they were pulled to. It is for when the hub cannot be asked: nothing is checked
// but that all parts are there. Errors match ErrNotFound or ErrChoice.
func Local(root, dir string, r Ref) (paths []string, err error) {
	err = fmt.Errorf("%w: %s is not on this machine", ErrNotFound, r)
	var places []string
	if root != "" && r.URL == "" {
		places = append(places, snapshot(root, r))
	}
	for _, place := range append(places, dir) {
		files := walk(place)
		if len(files) == 0 {
			continue
		}
		chosen, e := choose(files, r.File, func(path string) ([]byte, error) {
			path = filepath.Join(place, filepath.FromSlash(path))
			data, err := bounded.File(path, maxListing)
			if err != nil {
				return nil, fmt.Errorf("%w: %s", ErrNotFound, path)
			}
			return data, nil
		})
		for _, f := range chosen {
			if e == nil && len(f.Parts) > 0 { // pieces that were never joined
				e = fmt.Errorf("%w: only pieces of %s are here", ErrNotFound, f.Path)
			}
			paths = append(paths, filepath.Join(place, filepath.FromSlash(f.Path)))
		}
		if e == nil {
			return paths, nil
		}
		paths = nil
		if errors.Is(e, ErrChoice) {
			err = e
		}
	}
	return nil, err
}

// walk lists the files of a directory as a repository's listing would.
func walk(dir string) (files []File) {
	if dir == "" {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // unreadable is not here
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || len(files) == maxLocal {
			return filepath.SkipAll
		}
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && safePath(filepath.ToSlash(rel)) {
			files = append(files, File{Path: filepath.ToSlash(rel), Size: info.Size()})
		}
		return nil
	})
	return files
}
