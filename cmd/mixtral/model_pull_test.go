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

	"github.com/hxp-enterprise/mixtral/internal/synth"
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
		fmt.Fprintf(w, `[{"type":"file","path":"tiny.gguf","size":%d,"lfs":{"oid":"%x","size":%d}}]`, len(model), sum, len(model))
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
		code = run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: func(k string) string { return map[string]string{"XDG_DATA_HOME": dir}[k] }}, args)
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
	if code, out, _ := call("model", "pull", "--list", "--endpoint", server.URL, "hf://team/tiny"); code != 0 || !strings.Contains(out, "tiny.gguf") {
		t.Errorf("list: %d %q", code, out)
	}
}
