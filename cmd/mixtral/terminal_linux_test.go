package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// openTerminal gives both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		need.Missing(t, "a pseudo-terminal")
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		need.Missing(t, "a pseudo-terminal")
	}
	return master, terminal
}

// pseudoTerminal gives a terminal, and a function that closes it and gives what was written to it.
func pseudoTerminal(t *testing.T) (terminal *os.File, written func() string) {
	t.Helper()
	master, terminal := openTerminal(t)
	var b bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(&b, master) // ends with EIO when the terminal is closed
	}()
	return terminal, func() string {
		terminal.Close()
		<-done
		master.Close()
		return b.String()
	}
}

// TestNothingObeyedOnATerminal: escape sequences in a model's metadata, in names of files and in what a user typed do
// not reach a terminal, whichever way they take out; with --raw-output, and in a pipe, bytes are as they are.
func TestNothingObeyedOnATerminal(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202egnp"
	dir := filepath.Join(t.TempDir(), evil)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join(dir, "m.gguf")
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	for key, value := range map[string]any{"general.architecture": "llama", "general.name": evil, "a" + evil: evil,
		"b": []string{evil, "x"}} {
		if err := w.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(model, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"model", "inspect", model}, {"model", "verify", model}, {"report", "show", model},
		{"run", "--model", model, "hi"}, {"case", "show", evil}, {evil}, {"serve", "--set", evil + "=1"},
		{"certify", "--check", filepath.Join(dir, "case.yaml")}, {"model", "pull", evil},
	} {
		terminal, written := pseudoTerminal(t)
		none := func(string) string { return "" }
		run(&app{ctx: t.Context(), stdout: terminal, stderr: terminal, getenv: none}, args)
		got := strings.ReplaceAll(written(), "\r\n", "\n") // the terminal's own
		if strings.ContainsAny(got, "\x1b\x07\u009b\u202e\r") || got == "" {
			t.Errorf("%q: a terminal gets %q", args, got)
		}
		var pipe bytes.Buffer
		run(&app{ctx: t.Context(), stdout: &pipe, stderr: &pipe, getenv: none}, args)
		rawTerminal, written := pseudoTerminal(t)
		run(&app{ctx: t.Context(), stdout: rawTerminal, stderr: rawTerminal, getenv: none},
			append([]string{"--raw-output"}, args...))
		if plain := strings.ReplaceAll(written(), "\r\n", "\n"); strings.Contains(pipe.String(), "\x1b") !=
			strings.Contains(plain, "\x1b") && args[0] != evil {
			t.Errorf("%q: a pipe gets %q, a terminal with --raw-output %q", args, pipe.String(), plain)
		}
	}
}

// TestShield: characters that come in pieces are put together, and bytes that never become one are shown.
func TestShield(t *testing.T) {
	const text = "日本 \x1b[2J 👍\tü\n\xe6\x97"
	for step := 1; step <= len(text); step++ {
		var out bytes.Buffer
		s := &shield{raw: &out}
		for rest := text; rest != ""; rest = rest[min(step, len(rest)):] {
			if n, err := s.Write([]byte(rest[:min(step, len(rest))])); n != min(step, len(rest)) || err != nil {
				t.Fatal(n, err)
			}
		}
		s.flush()
		if want := visible(text); out.String() != want && out.String() != strings.TrimSuffix(want, "\ufffd") {
			t.Errorf("in steps of %d: %q, want %q", step, out.String(), want)
		}
	}
}
