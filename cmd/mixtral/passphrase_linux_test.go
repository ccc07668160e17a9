package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// signing is mixtral report sign at a terminal. Its standard output and errors go to a file, as in a pipeline: the
// question must come to the terminal all the same.
type signing struct {
	*session
	out string // the file with standard output and errors
}

func sign(t *testing.T, dir string, args ...string) signing {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Args = append([]string{"mixtral", "report", "sign"}, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK=", envSignPassphrase+"=")
	return signing{atTerminal(t, cmd), out.Name()}
}

// answers waits for a question, and until the terminal does not show what is typed, and then types.
func (c signing) answers(keys string) {
	c.t.Helper()
	c.sees("passphrase of ")
	llmtest.Until(c.t, "no echo", func() bool { return !c.echoes() })
	c.press(keys)
}

// echoes says whether the terminal shows what is typed.
func (c signing) echoes() bool { return c.modes().Lflag&unix.ECHO != 0 }

// ends waits for the end with an exit code, and returns what went to standard output and errors.
func (c signing) ends(code int) (out string) {
	c.t.Helper()
	c.leaves(code)
	data, err := os.ReadFile(c.out)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// TestThePassphraseIsAskedForOnTheTerminal: an encrypted key is opened by what a person types, which is not shown;
// after three wrong attempts the command ends, and Ctrl-C restores the terminal.
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
	args := []string{report, "--key", "locked.key"}

	c := sign(t, dir, args...)
	c.answers("not it\n")
	c.answers("open sesame\n")
	out := c.ends(exitOK)
	if !strings.Contains(out, "signed: PASS") {
		t.Errorf("after the passphrase: %s", out)
	}
	if s := c.text() + out; strings.Contains(s, "sesame") || !strings.Contains(s, "locked.key: ") {
		t.Errorf("the terminal shows %q", s)
	}

	c = sign(t, dir, args...)
	for range passphraseTries {
		c.answers("wrong\n")
	}
	if out := c.ends(exitUsage); !strings.Contains(out, "the passphrase does not open the key") {
		t.Errorf("after wrong passphrases: %s", out)
	}

	c = sign(t, dir, args...)
	c.answers("\x03") // Ctrl-C
	if out := c.ends(exitInterrupted); !c.echoes() {
		t.Errorf("after Ctrl-C the terminal does not echo: %s", out)
	}
}
