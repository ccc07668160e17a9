package hub

import (
	"os"
	"path/filepath"
)

// Cached finds a file in the cache that Hugging Face's own tools keep: models--owner--repo/snapshots/<commit>/<file>,
// where refs/<revision> names the commit. root is HF_HUB_CACHE, or HF_HOME/hub, or ~/.cache/huggingface/hub.
func Cached(root string, r Ref, file string) (string, bool) {
	if root == "" || r.URL != "" || !safePath(file) {
		return "", false
	}
	repo := filepath.Join(root, "models--"+r.Owner+"--"+r.Repo)
	commit := r.Revision
	if data, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(r.Revision))); err == nil &&
		namePart.Match(data) {
		commit = string(data)
	}
	path := filepath.Join(repo, "snapshots", commit, filepath.FromSlash(file))
	info, err := os.Stat(path) // follows the link into blobs/
	if err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	return path, true
}

// CacheRoot finds the cache's place from the environment.
func CacheRoot(getenv func(string) string) string {
	if dir := getenv("HF_HUB_CACHE"); dir != "" {
		return dir
	}
	if dir := getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub")
	}
	home := getenv("HOME")
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".cache", "huggingface", "hub")
}
