package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/infer/quant"
)

// canceller ends a run at its first line, as a user who has seen enough would.
type canceller struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (c *canceller) Write(p []byte) (int, error) {
	c.cancel()
	return c.Buffer.Write(p)
}

// TestInterruptImatrix: what was read is kept, and the run continues from there; nothing is counted twice, and neither
// are the files that it adds to.
func TestInterruptImatrix(t *testing.T) {
	dir := t.TempDir()
	text, first, out := filepath.Join(dir, "text.txt"), filepath.Join(dir, "first.gguf"), filepath.Join(dir, "i.gguf")
	if err := os.WriteFile(text, []byte(strings.Repeat("the man saw a dog by the sea. ", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(ctx context.Context, stderr io.Writer, args ...string) (int, string) {
		var stdout bytes.Buffer
		code := run(&app{ctx: ctx, stdout: &stdout, stderr: stderr, getenv: os.Getenv},
			append([]string{"model", "imatrix", "synth:tiny", "--text", text, "--context", "16"}, args...))
		return code, stdout.String()
	}
	if code, _ := command(t.Context(), io.Discard, "--out", first); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	whole := counted(t, first)
	if whole < 3*16 {
		t.Fatalf("%d tokens are not text to interrupt", whole)
	}

	ctx, cancel := context.WithCancel(t.Context())
	stderr := &canceller{cancel: cancel}
	args := []string{"--out", out, "--in-file", first, "--resume"}
	code, _ := command(ctx, stderr, args...)
	if code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted after 1 of ") ||
		!strings.Contains(stderr.String(), "hint: the same command with --resume") {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if n := counted(t, out); n != whole+16 {
		t.Errorf("%d tokens after one more chunk, want %d", n, whole+16)
	}
	if code, _ := command(ctx, stderr, args...); code != exitInterrupted || counted(t, out) != whole+16 {
		t.Errorf("cancelled at once: exit code %d, %d tokens", code, counted(t, out))
	}
	code, stdout := command(t.Context(), io.Discard, args...)
	if n := counted(t, out); code != exitOK || n != 2*whole {
		t.Errorf("exit code %d, %d tokens, want %d", code, n, 2*whole)
	}
	if !strings.Contains(stdout, "read now") {
		t.Errorf("nothing says whose the perplexity is: %s", stdout)
	}
}

// counted returns the tokens that a file counts.
func counted(t *testing.T, path string) int {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	x, ok := f.Tensor("blk.1.attn_output.weight.counts")
	count := make([]float32, 1)
	if err := quant.Unpack(x.Type, count, x.Data); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if n := f.Uint32Or("imatrix.chunk_count", 0); float32(16*n) != count[0] {
		t.Errorf("%s: %d chunks of %v tokens", path, n, count[0])
	}
	return int(count[0])
}
