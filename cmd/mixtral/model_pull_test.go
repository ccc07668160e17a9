package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestPullThenRun: from nothing to an answer in two commands, against a local hub.
func TestPullThenRun(t *testing.T) {
	shape, _ := synth.Preset("tiny")
	model, err := synth.Bytes(shape)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(model)
	mux := http.NewServeMux()
	mux.HandleFunc("/api/models/team/tiny/tree/main", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"type":"file","path":"tiny.gguf","size":%d,"lfs":{"oid":"%x","size":%d}}]`, len(model), sum,
			len(model))
	})
	mux.HandleFunc("/team/tiny/resolve/main/tiny.gguf", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(model))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	dir := t.TempDir()
	call := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(&app{ctx: t.Context(), stdout: &out, stderr: &errs,
			getenv: func(k string) string { return map[string]string{"XDG_DATA_HOME": dir}[k] }}, args)
		return code, out.String(), errs.String()
	}
	code, out, errs := call("model", "pull", "--endpoint", server.URL, "hf://team/tiny")
	path := filepath.Join(dir, "mixtral", "models", "team", "tiny", "tiny.gguf")
	if want := hex.EncodeToString(sum[:]) + "  " + path + "\n"; code != 0 || out != want {
		t.Fatalf("code %d, stdout %q, want %q; stderr %s", code, out, want, errs)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, model) {
		t.Fatalf("the file differs: %v", err)
	}
	if code, out, errs = call("run", "--model", path, "--max-tokens", "4", "hello"); code != 0 || out == "" {
		t.Errorf("run: code %d, %q, %s", code, out, errs)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"hf://team/none"}, exitSetup, "not found"},
		{[]string{"hf://team/tiny/none.gguf"}, exitSetup, "not found"},
		{[]string{"team/tiny"}, exitUsage, "hf://"},
	} {
		code, _, errs := call(append([]string{"model", "pull", "--endpoint", server.URL}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: code %d, %s", c.args, code, errs)
		}
	}
	if code, out, _ := call("model", "pull", "--list", "--endpoint", server.URL, "hf://team/tiny"); code != 0 ||
		!strings.Contains(out, "tiny.gguf") {
		t.Errorf("list: %d %q", code, out)
	}
}

// TestPullByName: a name of the catalogue is pulled from its repository and runs by that name; a file whose checksum
// differs from the published one is refused before a byte of it is downloaded.
func TestPullByName(t *testing.T) {
	shape, _ := synth.Preset("tiny")
	model, err := synth.Bytes(shape)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(model)
	const repo = "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF"
	mux := http.NewServeMux()
	mux.HandleFunc("/api/models/"+repo+"/tree/main", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "[")
		for _, typ := range []string{"Q8_0", "Q4_K_M"} {
			fmt.Fprintf(w, `{"type":"file","path":"mixtral-8x7b-instruct-v0.1.%s.gguf","size":%d,"lfs":{"oid":"%x","size":%d}},`, typ, len(model), sum, len(model))
		}
		fmt.Fprint(w, `{"type":"file","path":"README.md","size":1}]`)
	})
	mux.HandleFunc("/"+repo+"/resolve/main/", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "Q8_0.gguf") {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(model))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("HF_HOME", t.TempDir())
	call := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: os.Getenv}, args)
		return code, out.String(), errs.String()
	}
	const name = "mixtral-8x7b-instruct:q8_0"
	if code, _, errs := call("run", "--model", name, "hello"); code == exitOK ||
		!strings.Contains(errs, "hint: mixtral model pull "+name) {
		t.Errorf("before it is pulled: %d, %s", code, errs)
	}
	if code, out, errs := call("model", "pull", "--endpoint", server.URL, name); code != exitOK ||
		!strings.Contains(out, "Q8_0.gguf") {
		t.Fatalf("pull: %d, %s%s", code, out, errs)
	}
	if code, out, errs := call("run", "--model", name, "--max-tokens", "4", "hello"); code != exitOK || out == "" {
		t.Errorf("run: %d, %q, %s", code, out, errs)
	}
	if code, out, errs := call("model", "list"); code != exitOK || !strings.Contains(out, "q8_0 (here)") ||
		strings.Count(out, "(here)") != 1 {
		t.Errorf("list: %d, %s%s", code, out, errs)
	}
	for _, c := range []struct {
		name string
		code int
		want string
	}{
		{"mixtral-8x7b-instruct", exitSetup, "the catalogue has 91936846"},
		{"mixtral-8x7b-instruct:q2_k", exitSetup, "holds no mixtral-8x7b-instruct of type q2_k"},
		{"mixtral-8x7b-instruct:q9", exitUsage, "hint: its types are"},
		{"mixtral-9x9b", exitUsage, "mixtral model list"},
	} {
		if code, _, errs := call("model", "pull", "--endpoint", server.URL, c.name); code != c.code ||
			!strings.Contains(errs, c.want) {
			t.Errorf("%s: %d, %s", c.name, code, errs)
		}
	}
	// A service that starts again finds its model while the hub is unreachable; a model that was never pulled is still
	// an error.
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer away.Close()
	if code, out, errs := call("model", "pull", "--attempts", "1", "--endpoint", away.URL, name); code != exitOK ||
		!strings.HasSuffix(out, "Q8_0.gguf\n") || !strings.Contains(errs, "unchecked") {
		t.Errorf("while the hub is away: %d, %s%s", code, out, errs)
	}
	if code, _, errs := call("model", "pull", "--attempts", "2", "--endpoint", away.URL,
		"mixtral-8x7b-instruct:q2_k"); code != exitSetup || !strings.Contains(errs, "trying again") ||
		!strings.Contains(errs, "hint:") {
		t.Errorf("while the hub is away: %d, %s", code, errs)
	}
}
