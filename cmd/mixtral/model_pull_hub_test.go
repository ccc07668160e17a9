package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// smallHub serves the files of one repository, team/m, to clients with the token.
type smallHub struct {
	*httptest.Server
	files map[string]string
	token string

	mu    sync.Mutex
	asked []string // paths of files, in the order of requests
}

func newSmallHub(t *testing.T, files map[string]string) *smallHub {
	h := &smallHub{files: files}
	h.Server = httptest.NewServer(http.HandlerFunc(h.serve))
	t.Cleanup(h.Close)
	return h
}

func (h *smallHub) serve(w http.ResponseWriter, r *http.Request) {
	if h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/api/models/team/m/tree/main" {
		var list []map[string]any
		for name, text := range h.files {
			list = append(list, map[string]any{"type": "file", "path": name, "size": len(text),
				"lfs": map[string]any{"oid": fmt.Sprintf("%x", sha256.Sum256([]byte(text))), "size": len(text)}})
		}
		json.NewEncoder(w).Encode(list)
		return
	}
	name, _ := strings.CutPrefix(r.URL.Path, "/team/m/resolve/main/")
	text, ok := h.files[name]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h.mu.Lock()
	if r.Method == http.MethodGet {
		h.asked = append(h.asked, name)
	}
	h.mu.Unlock()
	w.Header().Set("ETag", `"x"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}

// pull runs the command with an environment.
func pull(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: func(k string) string { return env[k] }},
		append([]string{"model", "pull"}, args...))
	return result{code, out.String(), errs.String()}
}

// filesIn returns the names of the files of a directory.
func filesIn(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestPullWeights: of a repository in safetensors, the files that a model needs are downloaded, and no copy of it in
// another format; a second pull downloads none of them again.
func TestPullWeights(t *testing.T) {
	h := newSmallHub(t, map[string]string{
		"config.json": `{"model_type":"mixtral","quantization_config":{"quant_method":"awq"}}`, "tokenizer.model": "t",
		"model.safetensors.index.json":     `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`,
		"model-00001-of-00002.safetensors": "one", "model-00002-of-00002.safetensors": "two",
		"consolidated.00.pth": "x", "consolidated.safetensors": "x", "pytorch_model.bin": "x", "README.md": "x",
	})
	h.token = "hf_secret"
	dir := t.TempDir()
	env := map[string]string{"XDG_DATA_HOME": dir, "HF_TOKEN": "hf_secret\n"}
	r := pull(t, env, "--endpoint", h.URL, "hf://team/m")
	got := filesIn(t, filepath.Join(dir, "mixtral", "models", "team", "m"))
	want := []string{"config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
		"model.safetensors.index.json", "tokenizer.model"}
	if r.code != exitOK || !slices.Equal(got, want) {
		t.Errorf("%v\nfiles %v", r, got)
	}
	if !strings.Contains(r.stderr, "quantised with AWQ") {
		t.Errorf("nobody is told that the engine refuses these weights: %v", r)
	}
	h.asked = nil
	if r := pull(t, env, "--endpoint", h.URL, "hf://team/m"); r.code != exitOK || len(h.asked) != 1 { // the index
		t.Errorf("again: %v, asked for %v", r, h.asked)
	}
	// Without the hub, the files on this machine are enough; if one is missing, they are not.
	away := "http://127.0.0.1:1"
	env["HF_HUB_OFFLINE"] = "1"
	if r := pull(t, env, "--endpoint", away, "hf://team/m"); r.code != exitOK ||
		strings.Count(r.stdout, "\n") != len(want) || !strings.Contains(r.stderr, "HF_HUB_OFFLINE") {
		t.Errorf("offline: %v", r)
	}
	if r := pull(t, env, "--endpoint", h.URL, "hf://team/other"); r.code != exitSetup ||
		!strings.Contains(r.stderr, "offline: HF_HUB_OFFLINE is set") || !strings.Contains(r.stderr, "hint: unset") {
		t.Errorf("offline, another repository: %v", r)
	}
	if err := os.Remove(filepath.Join(dir, "mixtral/models/team/m/model-00002-of-00002.safetensors")); err != nil {
		t.Fatal(err)
	}
	if r := pull(t, env, "--endpoint", away, "hf://team/m"); r.code != exitSetup {
		t.Errorf("offline, a file missing: %v", r)
	}
}

// TestPullSplit: the name of a split model, or of one of its parts, downloads all of it; pieces are joined.
func TestPullSplit(t *testing.T) {
	h := newSmallHub(t, map[string]string{"m-00001-of-00002.gguf": "GGUF1", "m-00002-of-00002.gguf": "GGUF2",
		"big.gguf.part1of2": "GGUFa", "big.gguf.part2of2": "b"})
	for _, ref := range []string{"m", "m.gguf", "m-00002-of-00002.gguf"} {
		dir := t.TempDir()
		r := pull(t, nil, "--endpoint", h.URL, "--out", dir, "hf://team/m/"+ref)
		if got := filesIn(t, dir); r.code != exitOK || !slices.Equal(got, []string{"m-00001-of-00002.gguf",
			"m-00002-of-00002.gguf"}) {
			t.Errorf("%s: %v\nfiles %v", ref, r, got)
		}
	}
	for _, ref := range []string{"hf://team/m/big", h.URL + "/team/m/resolve/main/big.gguf.part2of2"} {
		dir := t.TempDir()
		r := pull(t, nil, "--endpoint", h.URL, "--out", dir, ref)
		data, _ := os.ReadFile(filepath.Join(dir, "big.gguf"))
		if got := filesIn(t, dir); r.code != exitOK || string(data) != "GGUFab" || len(got) != 1 {
			t.Errorf("%s: %v\nfiles %v, %q", ref, r, got, data)
		}
	}
	dir := t.TempDir()
	if r := pull(t, nil, "--endpoint", h.URL, "--out", dir,
		h.URL+"/team/m/resolve/main/m-00001-of-00002.gguf"); r.code !=
		exitOK || len(filesIn(t, dir)) != 2 {
		t.Errorf("by URL: %v", r)
	}
	if r := pull(t, nil, "--endpoint", h.URL, "--out", dir, "hf://team/m"); r.code != exitSetup ||
		!strings.Contains(r.stderr, "big.gguf (0.0 GB), m.gguf") {
		t.Errorf("two models: %v", r)
	}
}

// TestPullFromCache: a file that Hugging Face's own tools have downloaded is used from their cache, even while the hub
// is unreachable.
func TestPullFromCache(t *testing.T) {
	h := newSmallHub(t, map[string]string{"a.gguf": "GGUF"})
	root := t.TempDir()
	blob := fmt.Sprintf("%x", sha256.Sum256([]byte("GGUF")))
	repo := filepath.Join(root, "models--team--m")
	for path, text := range map[string]string{"refs/main": "c0ffee",
		"snapshots/c0ffee/a.gguf": "GGUF", "blobs/" + blob: ""} {
		path = filepath.Join(repo, path)
		os.MkdirAll(filepath.Dir(path), 0o755)
		os.WriteFile(path, []byte(text), 0o600)
	}
	env := map[string]string{"HF_HUB_CACHE": root}
	for _, endpoint := range []string{h.URL, "http://127.0.0.1:1"} {
		r := pull(t, env, "--endpoint", endpoint, "--attempts", "1", "hf://team/m")
		if r.code != exitOK || !strings.Contains(r.stdout, filepath.Join(repo, "snapshots", "c0ffee", "a.gguf")) {
			t.Errorf("%s: %v", endpoint, r)
		}
	}
	h.files["a.gguf"] = "GGUG" // a newer version
	if r := pull(t, env, "--endpoint", h.URL, "hf://team/m"); r.code != exitSetup ||
		!strings.Contains(r.stderr, "hint: --out names a directory") || strings.Contains(r.stdout, root) {
		t.Errorf("an older version, and no home for the newer: %v", r)
	}
}

// TestPullComplaints: an impossible request is refused before the hub is asked.
func TestPullComplaints(t *testing.T) {
	full := newSmallHub(t, map[string]string{"a.gguf": "GGUF"})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  map[string]string
		args []string
		code int
		want string
	}{
		{nil, []string{"--endpoint", "hf-mirror.com", "hf://team/m"}, exitUsage, "must be http://host:port"},
		{nil, []string{"--connections", "0", "hf://team/m"}, exitUsage, "--connections"},
		{map[string]string{"HF_TOKEN": "a b"}, []string{"hf://team/m"}, exitUsage, "HF_TOKEN: the token has a space"},
		{nil, []string{"--endpoint", full.URL, "hf://team/m"}, exitSetup, "HOME"},
		{nil, []string{"--endpoint", full.URL, "--out", file, "hf://team/m"}, exitSetup, "hint: choose another"},
		{map[string]string{"HOME": t.TempDir()}, []string{"--endpoint", full.URL, "hf://team/m/b"}, exitSetup,
			"no b; it has a.gguf"},
	} {
		if r := pull(t, c.env, c.args...); r.code != c.code || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%v: %v", c.args, r)
		}
	}
}
