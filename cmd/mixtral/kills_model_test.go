package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/hostile"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// slowly slows an answer down, so that a download can be killed in the middle.
type slowly struct{ http.ResponseWriter }

func (s slowly) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		k, err := s.ResponseWriter.Write(p[:min(32<<10, len(p))])
		if n += k; err != nil {
			return n, err
		}
		p = p[k:]
		time.Sleep(time.Millisecond)
	}
	return n, nil
}

func (s slowly) ReadFrom(r io.Reader) (int64, error) { // http.ServeContent would use it
	return io.Copy(struct{ io.Writer }{s}, r)
}

// TestKilledPull kills downloads at any moment: a file has its name only when it is complete, the next run continues,
// and nothing is left beside the files.
func TestKilledPull(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands for some seconds")
	}
	rng, program := killRand(t), binary(t)
	files := map[string]string{}
	for i := range 2 {
		text := make([]byte, 3<<20)
		for k := range text {
			text[k] = byte(rng.Uint32())
		}
		copy(text, "GGUF")
		files[fmt.Sprintf("m-0000%d-of-00002.gguf", i+1)] = string(text)
	}
	h := &smallHub{files: files}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.serve(slowly{w}, r)
	}))
	defer h.Close()
	t.Setenv("HOME", t.TempDir())
	args := func(dir string) []string {
		return words("model pull hf://team/m --endpoint %s --out %s --connections 2", h.URL, dir)
	}
	began := time.Now()
	if r := command(t, program, args(filepath.Join(t.TempDir(), "all"))...); r.code != exitOK {
		t.Fatal(r)
	}
	took := time.Since(began)
	rounds, early, whole := hostile.Kills(t, 4), 0, 0
	dir := filepath.Join(t.TempDir(), "m")
	check := func(when string) (n int) {
		for name, text := range files {
			switch data, err := os.ReadFile(filepath.Join(dir, name)); {
			case os.IsNotExist(err):
			case err != nil || string(data) != text:
				t.Errorf("%s: %s is under its name and not whole: %d bytes, %v", when, name, len(data), err)
			default:
				n++
			}
		}
		return n
	}
	for i := range rounds {
		if killAfter(t, program, args(dir), time.Duration(rng.Int64N(int64(took)*11/10))) {
			early++
		}
		whole += check(fmt.Sprint("kill ", i))
		if i%3 < 2 && i+1 < rounds {
			continue // the next one continues
		}
		if r := command(t, program, args(dir)...); r.code != exitOK || check("the next run") != 2 {
			t.Errorf("the next run: %v", r)
		}
		if left := listing(t, dir); strings.Count(left, " ") != 1 {
			t.Errorf("left over: %s", left)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	hostile.Survived(t, "`model pull` of two files", rounds, early, "%d files were complete, none had other content; "+
		"the next run continues and leaves no other file", whole)
}

// TestKilledConversion kills commands while they convert a directory of safetensors for the first time: the converted
// file is in the cache only when it is whole, the next run goes on from there, and nothing else is left.
func TestKilledConversion(t *testing.T) {
	if testing.Short() {
		t.Skip("runs commands for some seconds")
	}
	rng, program := killRand(t), binary(t)
	shape := synth.Tiny()
	shape.Dim, shape.FFN, shape.Layers, shape.Heads, shape.Type = 256, 1024, 2, 4, quant.BF16
	dir := weights(t, shape)
	t.Setenv("MIXTRAL_QUANTIZE_TO", "q2_k")
	args := func(cache string) []string {
		t.Setenv("MIXTRAL_CACHE_DIR", cache)
		return words("eval --model %s --tokens 1,2,3 --generate 3 --json", dir)
	}
	converted := func(cache string) []string { return glob(t, cache, "converted/*.gguf") }
	one := filepath.Join(t.TempDir(), "one")
	began := time.Now()
	first := command(t, program, args(one)...)
	took := time.Since(began)
	if first.code != exitOK || len(converted(one)) != 1 {
		t.Fatal(first)
	}
	want, err := os.ReadFile(converted(one)[0])
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, filepath.Join(one, "converted"))
	rounds, early := hostile.Kills(t, 4), 0
	cache := filepath.Join(t.TempDir(), "cache")
	check := func(when string) {
		for _, path := range converted(cache) {
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s is under its name and not whole: %v", when, path, err)
			}
		}
	}
	for i := range rounds {
		if killAfter(t, program, args(cache), time.Duration(rng.Int64N(int64(took)*11/10))) {
			early++
		}
		check(fmt.Sprint("kill ", i))
		if i%3 < 2 && i+1 < rounds {
			continue
		}
		if r := command(t, program, args(cache)...); r.code != exitOK || r.stdout != first.stdout {
			t.Errorf("the next run: %v, want %q", r, first.stdout)
		}
		check("the next run")
		if after := listing(t, filepath.Join(cache, "converted")); after != before {
			t.Errorf("left over: %s, before: %s", after, before)
		}
		if err := os.RemoveAll(cache); err != nil {
			t.Fatal(err)
		}
	}
	hostile.Survived(t, "the first conversion of a directory, by `eval`", rounds, early,
		"the next complete run makes the same file and answer, and leaves no other file")
}
