//go:build unix

package moe

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// opened writes a model to a file and maps it; cut makes an end of it in the middle of its weights.
func opened(t *testing.T, data []byte) (f *gguf.File, cut func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, func() {
		if err := os.Truncate(path, int64(len(data)/2)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCutFiles: a file that is cut while it is loaded, rewritten, looked at or computed with gives an error that names
// it. None of it ends the process, which a fault in mapped memory would.
func TestCutFiles(t *testing.T) {
	shape := synth.Nano()
	var plain bytes.Buffer
	if err := synth.Write(&plain, shape); err != nil {
		t.Fatal(err)
	}
	packed := rewrite(t, parse(t, plain.Bytes()))
	want := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, gguf.ErrChanged) || !strings.Contains(err.Error(), "m.gguf") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for name, data := range map[string][]byte{"plain": plain.Bytes(), "packed": packed} {
		f, cut := opened(t, data)
		r, err := NewRewriting(f)
		if err != nil {
			t.Fatal(err)
		}
		cut()
		want(name+", rewritten", r.Write(t.Context(), io.Discard, 2))
		var failed error
		for _, tensor := range f.Tensors() {
			failed = errors.Join(failed, r.Weights(tensor, func(_ quant.Type, data []byte) error {
				for range bytes.Count(data, []byte{0}) { // all of it
				}
				return nil
			}))
		}
		want(name+", looked at", failed)
		m, err := Load(f, Options{Workers: 2})
		want(name+", loaded", err)
		if m != nil {
			t.Errorf("%s: there is a model", name)
		}
	}
	for workers := 1; workers <= 2; workers++ { // in place: the kernels of this tier meet the fault
		f, cut := opened(t, packed)
		m, err := Load(f, Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		span := []Span{{Tokens: []int32{1, 2, 3}, Blocks: []int32{0}, Logits: 1}}
		if _, err := m.Forward(m.NewStorage(1), span); err != nil {
			t.Fatal(err)
		}
		cut()
		for range 2 {
			_, err = m.Forward(m.NewStorage(1), span)
			want("computed with", err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
