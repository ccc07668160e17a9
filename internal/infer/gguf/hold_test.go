package gguf

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// paged writes a file of one tensor of so many pages, aligned to pages.
func paged(t testing.TB, pages int) (path string, data []byte) {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	data = bytes.Repeat([]byte("page"), pages<<10)
	check(t, w.Align(4096))
	check(t, w.Add("big", quant.F32, pages<<10))
	check(t, w.WriteHeader())
	check(t, w.WriteTensor("big", data))
	path = filepath.Join(t.TempDir(), "a.gguf")
	check(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path, data
}

// TestHold: what is held can be read when the file is closed, removed from its directory and replaced, until the last
// Hold ends.
func TestHold(t *testing.T) {
	for name, open := range map[string]func(string) (*File, error){"mapped": Open, "copied": OpenCopy} {
		path, want := paged(t, 20)
		f, err := open(path)
		check(t, err)
		big, _ := f.Tensor("big")
		first, second := f.Hold(), f.Hold()
		bytes := f.sources[0].bytes
		check(t, f.Populate(big.Data))
		check(t, f.Close())
		check(t, first.Close())
		check(t, first.Close())
		other := path + ".new"
		check(t, os.WriteFile(other, make([]byte, 4096), 0o600))
		check(t, os.Rename(other, path))
		if string(big.Data) != string(want) {
			t.Errorf("%s: held data are other data", name)
		}
		if n := bytes.users.Load(); n != 1 {
			t.Errorf("%s: %d users left, want 1", name, n)
		}
		check(t, second.Close())
		if n := bytes.users.Load(); n != 0 {
			t.Errorf("%s: %d users left, want none", name, n)
		}
	}
	f, err := Parse(sample(t))
	check(t, err)
	check(t, f.Hold().Close())
}

// TestPopulate: any part of a file can be asked for, and one that the file no longer has is an error where the system
// can tell.
func TestPopulate(t *testing.T) {
	path, _ := paged(t, 40)
	f, err := Open(path)
	check(t, err)
	defer f.Close()
	big, _ := f.Tensor("big")
	property.Check(t, func(r *rapid.T) {
		from := rapid.IntRange(0, len(big.Data)).Draw(r, "from")
		to := rapid.IntRange(from, len(big.Data)).Draw(r, "to")
		if err := f.Populate(big.Data[from:to]); err != nil {
			r.Fatal(err)
		}
	})
	check(t, os.Truncate(path, 8<<10))
	if err := f.Populate(big.Data[:64]); err != nil {
		t.Errorf("a page that is still there: %v", err)
	}
	if err := f.Populate(big.Data[len(big.Data)-1:]); runtime.GOOS == "linux" && !errors.Is(err, ErrChanged) {
		t.Errorf("a page that was cut off: %v", err)
	}
	if err := f.CheckUnchanged(); !errors.Is(err, ErrChanged) {
		t.Errorf("a file that was cut: %v", err)
	}
}

// TestAlign: every tensor begins where it was asked to.
func TestAlign(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	check(t, w.Align(4096))
	check(t, w.Add("one", quant.F32, 3))
	check(t, w.Add("two", quant.F32, 1))
	_, offsets := w.Layout()
	check(t, w.WriteHeader())
	check(t, w.WriteTensor("one", make([]byte, 12)))
	check(t, w.WriteTensor("two", []byte("last")))
	f, err := Parse(b.Bytes())
	check(t, err)
	if f.Alignment != 4096 || offsets[0]%4096 != 0 || offsets[1] != offsets[0]+4096 || int64(b.Len()) != w.Size() ||
		b.Len()%4096 != 0 {
		t.Errorf("alignment %d, offsets %v, %d bytes, Size %d", f.Alignment, offsets, b.Len(), w.Size())
	}
	if two, _ := f.Tensor("two"); string(two.Data) != "last" || string(b.Bytes()[offsets[1]:][:4]) != "last" {
		t.Errorf("tensor two is %q", two.Data)
	}
}
