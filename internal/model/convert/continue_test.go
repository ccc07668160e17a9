package convert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestContinue: a run that ends anywhere is continued, and makes the same bytes as one that did not end; damage in
// between is noticed.
func TestContinue(t *testing.T) {
	b, err := synth.Bytes(small(quant.F32))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, whole, out := filepath.Join(dir, "in.gguf"), filepath.Join(dir, "whole.gguf"), filepath.Join(dir, "out.gguf")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o := Options{Mix: mix(t, "q4_k_m"), Workers: 2}
	if _, err := Run(t.Context(), s, whole, o); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	stopAt := func(share float64) (resumed int64) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		o := o
		o.Progress = func(p Progress) {
			resumed = max(resumed, p.Resumed)
			if float64(p.Done) >= share*float64(p.Total) {
				stop()
			}
		}
		if _, err := Run(ctx, s, out, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("at %v: %v", share, err)
		}
		if _, err := os.Stat(out); err == nil {
			t.Fatalf("at %v: the file is there already", share)
		}
		return resumed
	}
	stopAt(0.3)
	if s, err = Open(in); err != nil { // another process would
		t.Fatal(err)
	}
	defer s.Close()
	if n := stopAt(0.6); n == 0 {
		t.Error("the second run began anew")
	}
	// A byte of a finished tensor changes, and the record's last line is cut.
	f, err := os.OpenFile(out+".part", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	embed, _ := build(t, small(quant.F32)).Tensor("token_embd.weight")
	p, err := newPlan(s, o)
	if err != nil || p.source.Tensors[0].Name != embed.Name {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff, 0xff, 0xff}, p.offsets[0]+100); err != nil {
		t.Fatal(err)
	}
	f.Close()
	journal := out + ".part.journal"
	info, err := os.Stat(journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(journal, info.Size()-7); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), s, out, o)
	if err != nil || r.Resumed == 0 {
		t.Fatalf("resumed %d: %v", r.Resumed, err)
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the continued file differs: %v", err)
	}
	full, err := Run(t.Context(), s, out, o)
	if err != nil || full.Resumed != 0 {
		t.Errorf("another run: %+v, %v", full.Resumed, err)
	}
	if fmt.Sprint(full.Tensors) != fmt.Sprint(r.Tensors) {
		// Sums of chunks come in the order the workers finish.
		for i := range r.Tensors {
			if a, b := r.Tensors[i], full.Tensors[i]; math.Abs(a.Squares-b.Squares) > 1e-9*a.Squares ||
				a.Max != b.Max {
				t.Errorf("%s: errors %+v continued, %+v at once", a.Name, a.Errors, b.Errors)
			}
		}
	}
}

// TestOtherPlanBeginsAnew: what another format left is not taken for this one's.
func TestOtherPlanBeginsAnew(t *testing.T) {
	b, err := synth.Bytes(small(quant.F32))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.gguf"), filepath.Join(dir, "out.gguf")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	o := Options{Mix: mix(t, "q8_0"), Progress: func(p Progress) {
		if 2*p.Done > p.Total {
			stop()
		}
	}}
	if _, err := Run(ctx, s, out, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), s, out, Options{Mix: mix(t, "q4_0")})
	if err != nil || r.Resumed != 0 {
		t.Errorf("resumed %d, %v", r.Resumed, err)
	}
}

// TestMemoryDoesNotGrow: a model of 100 MB passes through a few MB of memory, whichever way its weights lie on the
// disk.
func TestMemoryDoesNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	s := synth.Shape{Dim: 512, FFN: 2048, Layers: 2, Heads: 8, KVHeads: 2, Experts: 8, Vocab: 512, Context: 512,
		Type: quant.F16, Seed: 7}
	in := filepath.Join(t.TempDir(), "in.gguf")
	file, err := os.Create(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(synth.Write(file, s), file.Close()); err != nil {
		t.Fatal(err)
	}
	source, err := Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := Run(t.Context(), source, filepath.Join(t.TempDir(), "out.gguf"),
		Options{Mix: mix(t, "q8_0"), Workers: 2})
	runtime.ReadMemStats(&after)
	if err != nil || r.Bytes < 50<<20 {
		t.Fatalf("%d bytes, %v", r.Bytes, err)
	}
	// 2 workers with four buffers of about 1 MB, and the directory
	if n := after.TotalAlloc - before.TotalAlloc; n > 24<<20 {
		t.Errorf("%d MB were allocated in all", n>>20)
	}
}
