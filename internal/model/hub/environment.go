package hub

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Environment is what Hugging Face's own tools read from the environment and from the user's files.
type Environment struct {
	Token   string // empty: none
	Cache   string // directory of downloaded files; empty: none
	Offline bool
	Silence time.Duration // 0: not given
}

// ReadEnvironment reads HF_TOKEN (or HUGGING_FACE_HUB_TOKEN), or else the file that "hf auth login" writes, at
// HF_TOKEN_PATH or token in HF_HOME; HF_HUB_CACHE, or hub in HF_HOME; HF_HUB_OFFLINE; and HF_HUB_DOWNLOAD_TIMEOUT.
// HF_HOME is by default huggingface in $XDG_CACHE_HOME or ~/.cache. getenv is os.Getenv, or a test's.
func ReadEnvironment(getenv func(string) string) (Environment, error) {
	e := Environment{Cache: CacheRoot(getenv), Offline: isTrue(getenv("HF_HUB_OFFLINE")) ||
		getenv("HF_HUB_OFFLINE") == "" && isTrue(getenv("TRANSFORMERS_OFFLINE"))}
	if text := getenv("HF_HUB_DOWNLOAD_TIMEOUT"); text != "" {
		s, err := strconv.ParseFloat(text, 64)
		if err != nil || !(s > 0 && s <= 24*3600) {
			return e, fmt.Errorf("HF_HUB_DOWNLOAD_TIMEOUT: must be seconds above 0 and at most 86400, got %q", text)
		}
		e.Silence = time.Duration(s * float64(time.Second))
	}
	if isTrue(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return e, nil
	}
	var err error
	e.Token, err = token(getenv)
	return e, err
}

// isTrue reads a switch as Hugging Face's library does.
func isTrue(text string) bool {
	return slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(text))
}

// token finds the user's token. A line's end behind it, as editors and secret stores add one, is not part of it.
func token(getenv func(string) string) (string, error) {
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := strings.TrimSpace(getenv(name)); t != "" {
			return checkToken(t, name)
		}
	}
	path := expand(getenv("HF_TOKEN_PATH"), getenv)
	given := path != ""
	if !given {
		dir := home(getenv)
		if dir == "" {
			return "", nil
		}
		path = filepath.Join(dir, "token")
	}
	f, err := os.Open(path)
	if err != nil {
		if given && !os.IsNotExist(err) {
			return "", fmt.Errorf("HF_TOKEN_PATH: %w", err)
		}
		return "", nil // nobody has logged in
	}
	defer f.Close()
	const most = 4096
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil || len(data) > most {
		return "", fmt.Errorf("%s: cannot be read as a token: it must be a file of at most %d bytes", path, most)
	}
	return checkToken(strings.TrimSpace(string(data)), path)
}

// checkToken refuses what no header may hold. The message does not show it.
func checkToken(t, from string) (string, error) {
	t = strings.NewReplacer("\r", "", "\n", "").Replace(t) // as Hugging Face's library does
	for _, c := range t {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("%s: the token has a space or another character that no token has", from)
		}
	}
	return t, nil
}

// home is HF_HOME, or its default; empty where there is no home directory.
func home(getenv func(string) string) string {
	if dir := getenv("HF_HOME"); dir != "" {
		return expand(dir, getenv)
	}
	if dir := getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(expand(dir, getenv), "huggingface")
	}
	for _, name := range []string{"HOME", "USERPROFILE"} {
		if dir := getenv(name); dir != "" {
			return filepath.Join(dir, ".cache", "huggingface")
		}
	}
	return ""
}

// expand puts the home directory for ~.
func expand(path string, getenv func(string) string) string {
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		return getenv("HOME") + rest
	}
	return path
}

// CacheRoot finds the cache's place: HF_HUB_CACHE, or hub in HF_HOME.
func CacheRoot(getenv func(string) string) string {
	for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := getenv(name); dir != "" {
			return expand(dir, getenv)
		}
	}
	dir := home(getenv)
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "hub")
}
