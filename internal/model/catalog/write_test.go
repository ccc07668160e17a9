package catalog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// pieces records what was written how.
type pieces struct {
	all   bytes.Buffer
	sizes []int
	fail  error
}

func (p *pieces) Write(b []byte) (int, error) {
	if p.fail != nil {
		return 0, p.fail
	}
	p.sizes = append(p.sizes, len(b))
	return p.all.Write(b)
}

// TestBlocks: whatever is written, the file grows by whole blocks, and only the last is shorter.
func TestBlocks(t *testing.T) {
	const block = 16
	data := []byte("what is written in any pieces is there in this order")
	property.Check(t, func(r *rapid.T) {
		var out pieces
		b := &blocks{&out, make([]byte, 0, block)}
		total := 0
		for range rapid.IntRange(0, 4).Draw(r, "writes") {
			n := rapid.IntRange(0, min(2*block+2, len(data)-total)).Draw(r, "bytes")
			if k, err := b.Write(data[total : total+n]); k != n || err != nil {
				r.Fatalf("%d of %d written: %v", k, n, err)
			}
			total += n
		}
		if err := b.flush(); err != nil {
			r.Fatal(err)
		}
		if !bytes.Equal(out.all.Bytes(), data[:total]) {
			r.Fatal("other bytes")
		}
		for i, n := range out.sizes {
			if n != block && i < len(out.sizes)-1 {
				r.Fatalf("blocks of %v", out.sizes)
			}
		}
	})
	full := errors.New("full")
	b := &blocks{&pieces{fail: full}, make([]byte, 0, block)}
	if _, err := b.Write(data); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
}

// TestPacked: a packed file opens under its name, and one that could not be completed leaves nothing.
func TestPacked(t *testing.T) {
	dir := t.TempDir()
	plain, err := Open("synth:tiny")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	r, err := moe.NewRewriting(plain.File)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "fast.gguf")
	var written int64
	if err := WriteRewritten(t.Context(), path, r, 1, func(n int64) { written = n }); err != nil {
		t.Fatal(err)
	}
	o, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if !moe.IsPacked(o.File) || o.ID != "fast" || o.File.Size() != written || written != r.Size() {
		t.Errorf("opened %+v of %d bytes, %d reported, %d planned", o, o.File.Size(), written, r.Size())
	}
	back, err := moe.NewRewriting(o.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteRewritten(t.Context(), filepath.Join(dir, "back.gguf"), back, 1, nil); err != nil {
		t.Fatal(err)
	}
	want, err := synth.Bytes(synth.Tiny())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "back.gguf")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back, want %d: %v", len(got), len(want), err)
	}
	if err := WriteRewritten(t.Context(), filepath.Join(dir, "none", "x.gguf"), r, 1, nil); !errors.Is(err,
		os.ErrNotExist) {
		t.Errorf("into a directory that is not there: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 {
		t.Errorf("left over: %v", names)
	}
}
