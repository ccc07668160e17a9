package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestKillQuantize: a quantize that was killed continues, and makes the same file as one that was not.
func TestKillQuantize(t *testing.T) {
	if testing.Short() {
		t.Skip("converts 40 MB twice")
	}
	program, dir := binary(t), t.TempDir()
	in, whole, out := filepath.Join(dir, "in.gguf"), filepath.Join(dir, "whole.gguf"), filepath.Join(dir, "out.gguf")
	for _, args := range [][]string{
		{"model", "synth", "--out", in, "--dim", "256", "--ffn", "1024", "--layers", "3", "--heads", "4", "--type",
			"f16"},
		{"model", "quantize", in, "--type", "q2_k", "--out", whole, "--threads", "1"},
	} {
		if r := command(t, program, args...); r.code != exitOK {
			t.Fatalf("%v: %v", args, r)
		}
	}
	want, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"model", "quantize", in, "--type", "q2_k", "--out", out, "--threads", "1", "--json"}
	for tries := 1; !killHalfway(t, out, exec.CommandContext(t.Context(), program, args...)); tries++ {
		if tries == 10 { // the other process always finishes before this test gets a turn
			t.Fatalf("it was done %d times before it could be killed", tries)
		}
		if got, err := os.ReadFile(out); err != nil || !bytes.Equal(want, got) {
			t.Fatalf("the file is there under its name before it is whole: %v", err)
		}
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(out + ".part.journal") // there if the kill came just before the end
	}
	r := command(t, program, args...)
	m := regexp.MustCompile(`"resumed_params": (\d+)`).FindStringSubmatch(r.stdout)
	if r.code != exitOK || len(m) != 2 {
		t.Fatalf("going on: %v", r)
	}
	if n, _ := strconv.Atoi(m[1]); n == 0 {
		t.Error("it began anew")
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(want, got) {
		t.Errorf("the file differs: %v", err)
	}
}

// killHalfway starts a command that writes out, and kills it when a third of its work is recorded. It says whether the
// command was killed before the file got its name.
func killHalfway(t *testing.T, out string, c *exec.Cmd) bool {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	deadline := time.After(time.Minute)
	for {
		data, _ := os.ReadFile(out + ".part.journal")
		if bytes.Count(data, []byte("\n")) > 40 {
			_ = c.Process.Kill() // it may have ended already, or be about to: the file tells
			<-done
			_, err := os.Stat(out)
			return err != nil
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("it ended by itself: %v", err)
			}
			return false
		case <-deadline:
			_ = c.Process.Kill()
			<-done
			t.Fatal("nothing is recorded")
		case <-time.After(time.Millisecond):
		}
	}
}
