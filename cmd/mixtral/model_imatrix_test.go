package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/convert"
)

// canceller ends a run with its first line, as somebody who has seen enough.
type canceller struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (c *canceller) Write(p []byte) (int, error) {
	c.cancel()
	return c.Buffer.Write(p)
}

// TestInterruptImatrix: what was read is kept, and the run goes on from there.
func TestInterruptImatrix(t *testing.T) {
	dir := t.TempDir()
	text, out := filepath.Join(dir, "text.txt"), filepath.Join(dir, "i.gguf")
	if err := os.WriteFile(text, []byte(strings.Repeat("the man saw a dog by the sea. ", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"model", "imatrix", "synth:tiny", "--text", text, "--context", "16", "--out", out, "--resume"}
	ctx, cancel := context.WithCancel(t.Context())
	stderr := &canceller{cancel: cancel}
	code := run(&app{ctx: ctx, stdout: &bytes.Buffer{}, stderr: stderr, getenv: os.Getenv}, args)
	if code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted after 1 of ") || !strings.Contains(stderr.String(), "hint: the same command with --resume") {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	first, err := convert.ReadSums(out, 16)
	if err != nil || first.Chunks != 1 {
		t.Fatalf("%+v, %v", first, err)
	}

	// Nothing is read before a run that was cancelled at once, and the file stays.
	if code := run(&app{ctx: ctx, stdout: &bytes.Buffer{}, stderr: stderr, getenv: os.Getenv}, args); code != exitInterrupted {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var stdout bytes.Buffer
	if code := run(&app{ctx: t.Context(), stdout: &stdout, stderr: &bytes.Buffer{}, getenv: os.Getenv}, args); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	last, err := convert.ReadSums(out, 16)
	if err != nil || last.Chunks < 3 || len(last.Datasets) != 1 || last.Datasets[0] != "text.txt" {
		t.Fatalf("%+v, %v", last, err)
	}
	if !strings.Contains(stdout.String(), "read now") {
		t.Errorf("nothing says whose the perplexity is: %s", stdout.String())
	}
}
