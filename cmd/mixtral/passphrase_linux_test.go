package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// session is a command that runs in a terminal of its own, and who sits at it.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	tty    *os.File
	mu     sync.Mutex
	shown  strings.Builder
	done   chan struct{}
}

// atTerminal starts a command in a session of its own, whose controlling terminal is a new one. Standard output and
// errors go elsewhere, as in a pipeline: the question must come to the terminal all the same.
func atTerminal(t *testing.T, dir string, args ...string) *session {
	t.Helper()
	master, terminal := openTerminal(t)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	c := &session{t: t, master: master, tty: terminal, done: make(chan struct{}),
		cmd: exec.CommandContext(t.Context(), os.Args[0])}
	c.cmd.Args = append([]string{"mixtral"}, args...)
	c.cmd.Dir, c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = dir, terminal, out, out
	c.cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK=", envSignPassphrase+"=")
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close(); <-c.done; master.Close() })
	go func() {
		defer close(c.done)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			c.mu.Lock()
			c.shown.Write(b[:n])
			c.mu.Unlock()
			if err != nil {
				return // EIO when the last process has closed the terminal
			}
		}
	}()
	return c
}

// asked waits for the n-th question, and until what is typed is not shown.
func (c *session) asked(n int) {
	c.t.Helper()
	llmtest.Until(c.t, "the question", func() bool {
		return strings.Count(c.text(), "passphrase of ") >= n && !c.echoes()
	})
}

// echoes says that the terminal shows what is typed.
func (c *session) echoes() bool {
	state, err := unix.IoctlGetTermios(int(c.tty.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func (c *session) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown.String()
}

func (c *session) typed(s string) {
	if _, err := io.WriteString(c.master, s); err != nil {
		c.t.Error(err)
	}
}

// ended waits for the end, and gives the exit code and what went to standard output and errors.
func (c *session) ended() (code int, out string) {
	c.t.Helper()
	llmtest.Await(c.t, c.cmd.String(), llmtest.Done(func() { _ = c.cmd.Wait() }))
	data, err := os.ReadFile(c.cmd.Stdout.(*os.File).Name())
	if err != nil {
		c.t.Fatal(err)
	}
	return c.cmd.ProcessState.ExitCode(), string(data)
}

// TestThePassphraseIsAskedForOnTheTerminal: an encrypted key is opened by what a person types, which is not shown;
// three wrong ones are enough, and Ctrl-C leaves the terminal as it was.
func TestThePassphraseIsAskedForOnTheTerminal(t *testing.T) {
	script, err := txtar.ParseFile("testdata/script/sign.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range script.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const report = "performance_TC-SMALL_1772600761.json"
	derive := exec.CommandContext(t.Context(), os.Args[0])
	derive.Args, derive.Dir = []string{"mixtral", "report", "show", "--json", "a.events.jsonl.gz"}, dir
	data, err := derive.Output()
	if err != nil {
		t.Fatal(err)
	}
	record, err := os.ReadFile(filepath.Join(dir, "a.events.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{report: data,
		"performance_TC-SMALL_1772600761.events.jsonl.gz": record} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sign := []string{"report", "sign", report, "--key", "locked.key"}

	c := atTerminal(t, dir, sign...)
	c.asked(1)
	c.typed("not it\n")
	c.asked(2)
	c.typed("open sesame\n")
	code, out := c.ended()
	if code != 0 || !strings.Contains(out, "signed: PASS") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if s := c.text() + out; strings.Contains(s, "sesame") || !strings.Contains(s, "locked.key: ") {
		t.Errorf("the terminal shows %q", s)
	}

	c = atTerminal(t, dir, sign...)
	for n := range passphraseTries {
		c.asked(n + 1)
		c.typed("wrong\n")
	}
	if code, out := c.ended(); code != exitUsage || !strings.Contains(out, "the passphrase does not open the key") {
		t.Errorf("exit code %d: %s", code, out)
	}

	c = atTerminal(t, dir, sign...)
	c.asked(1)
	c.typed("\x03") // Ctrl-C
	if code, out := c.ended(); code != exitInterrupted || !c.echoes() {
		t.Errorf("exit code %d, echo %t: %s", code, c.echoes(), out)
	}
}
