package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// openTerminal returns both ends of a pseudo-terminal.
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

// pseudoTerminal returns a terminal, and a function that closes it and gives what was written to it.
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

// session is a command that runs in a terminal of its own, and who sits at it.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	mu     sync.Mutex
	shown  strings.Builder
	from   int          // what was shown before has been looked at
	before unix.Termios // the terminal's modes before the command started
	ended  chan error
}

// atTerminal starts a command in a session of its own, whose controlling terminal is a new one. The terminal is also
// its standard input, and its standard output and errors unless they are set.
func atTerminal(t *testing.T, cmd *exec.Cmd) *session {
	t.Helper()
	master, terminal := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100}); err != nil {
		t.Fatal(err)
	}
	c := &session{t: t, master: master, cmd: cmd, ended: make(chan error, 1)}
	c.before = c.modes()
	cmd.Stdin = terminal
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = terminal, terminal
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			c.mu.Lock()
			c.shown.Write(buffer[:n])
			c.mu.Unlock()
			if err != nil { // EIO: the last process has closed the terminal
				c.ended <- cmd.Wait()
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		master.Close()
	})
	return c
}

// text is all that the terminal was sent.
func (c *session) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown.String()
}

// sees waits until the terminal has been sent a text, after what was looked at before.
func (c *session) sees(text string) {
	c.t.Helper()
	var rest string
	for end := time.Now().Add(llmtest.Limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		rest = c.text()[c.from:]
		if i := strings.Index(rest, text); i >= 0 {
			c.from += i + len(text)
			return
		}
	}
	c.t.Fatalf("the terminal does not show %q; after what was looked at it shows %q", text, rest)
}

// press sends keys.
func (c *session) press(keys string) {
	c.t.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// modes returns the modes of the terminal.
func (c *session) modes() unix.Termios {
	c.t.Helper()
	m, err := unix.IoctlGetTermios(int(c.master.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return *m
}

// leaves waits for the end of the program with an exit code.
func (c *session) leaves(code int) {
	c.t.Helper()
	err := llmtest.Await(c.t, "the program to end", c.ended)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != code) || err == nil && code != 0 {
		c.t.Errorf("the program ended with %v, want exit code %d", err, code)
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
