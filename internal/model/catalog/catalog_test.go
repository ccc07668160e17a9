package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.model.gguf")
	var calls int64
	if err := WriteSynth(t.Context(), path, synth.Tiny(), func(n int64) { calls = n }); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || calls != int64(len(data)) {
		t.Fatalf("%d bytes reported, %d written, %v", calls, len(data), err)
	}
	sum := sha256.Sum256(data)
	for _, test := range []struct{ ref, id string }{
		{path, "some.model"}, {"synth:tiny", "mixtral-synthetic-tiny-q8_0"},
		{"synth:tiny:q8_0", "mixtral-synthetic-tiny-q8_0"},
	} {
		o, err := Open(test.ref)
		if err != nil {
			t.Fatal(err)
		}
		if o.ID != test.id || o.File.StringOr("general.architecture", "") != "llama" {
			t.Errorf("%s: %+v", test.ref, o)
		}
		if got, err := o.SHA256(); err != nil || got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: hash %s, %v", test.ref, got, err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, ref := range []string{"", "demo"} {
		o, err := Open(ref)
		if err != nil || o.ID == "" {
			t.Fatalf("%q: %+v, %v", ref, o, err)
		}
		o.Close()
	}
}

// TestInterrupted: nothing is left of a file that was not completed.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := WriteSynth(ctx, filepath.Join(dir, "a.gguf"), synth.Tiny(), func(int64) { cancel() })
	if left, _ := os.ReadDir(dir); !errors.Is(err, context.Canceled) || len(left) > 0 {
		t.Errorf("%v, left behind %v", err, left)
	}
}

func TestCacheIsUsed(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	size, err := synth.Size(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	a, err := cached("x", size, synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(a)
	b, err := cached("x", size, synth.Tiny())
	if err != nil || a != b {
		t.Fatalf("%s, then %s, %v", a, b, err)
	}
	if after, _ := os.Stat(b); !after.ModTime().Equal(before.ModTime()) {
		t.Error("made again")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(a), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWhatIsNoModel(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir()) // what a user has pulled must not matter
	t.Setenv("HF_HOME", t.TempDir())
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	weights := write("hf/model-00001.safetensors", []byte("{}"))
	write("gg/a.gguf", nil)
	var split bytes.Buffer
	w := gguf.NewWriter(&split)
	w.Set("split.count", uint16(3))
	w.Add("a", quant.F32, 1)
	w.WriteHeader()
	w.WriteTensor("a", make([]byte, 4))
	w.Close()
	for _, test := range []struct{ ref, message, hint string }{
		{"synth:huge", `unknown synthetic preset "huge"`, "tiny, nano, mid, 8x7b"},
		{"synth:tiny:q9", "q9", ""},
		{"synth:tiny:q4_k", "multiple of 256", ""},
		{"synth:8x7b", "too large", "model synth --preset 8x7b"},
		{filepath.Join(dir, "none.gguf"), "the file does not exist", ""},
		{"mistralai/Mixtral-8x7B-Instruct-v0.1", "the file does not exist",
			"model pull hf://mistralai/Mixtral-8x7B-Instruct-v0.1"},
		{"https://example.org/a.gguf", "the file does not exist", "model pull URL"},
		{"mixtral", "the file does not exist", "synth:tiny"},
		{"mixtral-8x7b-instruct", "mixtral-8x7b-instruct:q4_k_m is not on this machine",
			"mixtral model pull mixtral-8x7b-instruct:q4_k_m"},
		{"Mixtral-8x22B-Instruct:Q2_K", "is not on this machine", "pull mixtral-8x22b-instruct:q2_k"},
		{"mixtral-8x7b-instruct:q9", `has no type "q9"`, "q4_k_m, q2_k"},
		{"tiny-mixtral", "tiny-mixtral is not on this machine", "mixtral model pull tiny-mixtral"},
		{filepath.Dir(weights), "config.json is missing", "config.json and the tokenizer"},
		{filepath.Join(dir, "gg"), filepath.Join("gg", "a.gguf") + ": invalid", ""},
		{t.TempDir(), "the directory holds no model", "directories with one"},
		{weights, "weights alone are not a model", "directory that it is in"},
		{write("empty.gguf", nil), "is empty", ""},
		{write("split.gguf", split.Bytes()), "one of 3 parts", ""},
	} {
		o, err := Open(test.ref)
		var own *Error
		if o != nil || !errors.As(err, &own) || !errors.Is(err, ErrRef) {
			t.Errorf("%s: %v, %v", test.ref, o, err)
			continue
		}
		if own.Ref != test.ref || !strings.Contains(err.Error(), test.message) ||
			!strings.Contains(own.Hint, test.hint) || (test.hint == "") != (own.Hint == "") {
			t.Errorf("%s: %v (hint %q), want %q (hint %q)", test.ref, err, own.Hint, test.message, test.hint)
		}
	}
}
