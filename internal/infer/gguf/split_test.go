package gguf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// writePart writes a file with the named tensors of four bytes, their names' first.
func writePart(t *testing.T, path string, count int, tensors ...string) {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	err := errors.Join(w.Set("split.count", uint16(count)), w.Set("general.name", filepath.Base(path)))
	for _, name := range tensors {
		err = errors.Join(err, w.Add(name, quant.F32, 1))
	}
	err = errors.Join(err, w.WriteHeader())
	for _, name := range tensors {
		err = errors.Join(err, w.WriteTensor(name, []byte(name)[:4]))
	}
	if err = errors.Join(err, os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestSplitModel(t *testing.T) {
	dir := t.TempDir()
	part := func(i int) string { return filepath.Join(dir, fmt.Sprintf("m-%05d-of-00003.gguf", i)) }
	writePart(t, part(1), 3, "tensor a", "second")
	writePart(t, part(2), 3, "xxxx")
	writePart(t, part(3), 3)
	for name, open := range map[string]func(string) (*File, error){"Open": Open, "OpenCopy": OpenCopy} {
		f, err := open(part(1))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		x, ok := f.Tensor("xxxx")
		if len(f.Tensors()) != 3 || !ok || string(x.Data) != "xxxx" ||
			f.StringOr("general.name", "") != "m-00001-of-00003.gguf" || len(f.Paths()) != 3 {
			t.Errorf("%s: %d tensors, %q, files %v", name, len(f.Tensors()), x.Data, f.Paths())
		}
		var size int64
		for i := 1; i <= 3; i++ {
			info, err := os.Stat(part(i))
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if f.Size() != size {
			t.Errorf("%s: size %d, want %d", name, f.Size(), size)
		}
		if err := f.CheckUnchanged(); err != nil {
			t.Error(err)
		}
		writePart(t, part(2), 3, "xxxx", "more")
		if err := f.CheckUnchanged(); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: after a part changed: %v", name, err)
		}
		writePart(t, part(2), 3, "xxxx")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func() string
		want  error
		text  string
	}{
		{"not the first", func() string { return part(2) }, ErrUnsupported, "open the first"},
		{"twice", func() string {
			writePart(t, part(3), 3, "2nd ")
			writePart(t, part(2), 3,
				"2nd ")
			return part(1)
		}, ErrFormat, `"2nd " is in another part`},
		{"missing", func() string { os.Remove(part(3)); return part(1) }, os.ErrNotExist, "00003-of-00003"},
		{"other name", func() string {
			other := filepath.Join(dir, "m.gguf")
			os.Rename(part(1), other)
			return other
		}, ErrUnsupported, "one of 3 parts"},
	} {
		if _, err := Open(c.spoil()); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
