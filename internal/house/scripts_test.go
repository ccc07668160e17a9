package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs one of the repository's scripts with more variables in its environment, and gives what it says and the
// code it exits with.
func script(t *testing.T, env []string, name string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{filepath.Join("scripts", name)}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// program writes a shell script to be run in the place of a program, and gives its path.
func program(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTimedMissesNothing: make test has passed only if each of its targets did, to its end. A shell that is killed, as
// by a machine that is out of memory, leaves no word of its target.
func TestTimedMissesNothing(t *testing.T) {
	env := []string{
		"MAKE=" + program(t, "make", `case $2 in bad) exit 3 ;; killed) kill -9 $PPID ;; esac; echo "made $2"`),
		"GO=" + program(t, "go", `echo '{"value": "kernels for neon-i8mm"}'`),
	}
	for name, c := range map[string]struct {
		stages []string
		code   int
		said   []string
	}{
		"all pass":             {[]string{"a / b", "5 c / d+e f"}, 0, []string{"made f", "make test: passed"}},
		"one fails":            {[]string{"a+bad", "b"}, 1, []string{"=== bad: FAILED (3)", "make test: FAILED: bad"}},
		"one is killed":        {[]string{"a / 5 killed"}, 1, []string{"make test: FAILED: killed (it did not end)"}},
		"one of two is killed": {[]string{"a+killed"}, 1, []string{"make test: FAILED: killed (it did not end)"}},
		"the only one":         {[]string{"killed"}, 1, []string{"make test: FAILED: killed (it did not end)"}},
	} {
		out, code := script(t, env, "timed.sh", c.stages...)
		if code != c.code || strings.Contains(out, "passed\n") && !strings.Contains(out, "make test: ") ||
			strings.Contains(out, "make test: passed") != (c.code == 0) {
			t.Errorf("%s: exit code %d, want %d\n%s", name, code, c.code, out)
		}
		for _, want := range append(c.said, "| neon-i8mm |") {
			if !strings.Contains(out, want) {
				t.Errorf("%s: does not say %q\n%s", name, want, out)
			}
		}
	}
	env[1] = "GO=" + program(t, "go", "exit 1")
	if out, code := script(t, env, "timed.sh", "a"); code != 1 || !strings.Contains(out, "FAILED: doctor") {
		t.Errorf("without a tier: exit code %d\n%s", code, out)
	}
}

// TestVulnIsNotSkippedUnseen: without the releases' Go nothing can be looked at, which CI must not take for a result.
func TestVulnIsNotSkippedUnseen(t *testing.T) {
	for _, c := range []struct {
		env  []string
		code int
	}{
		{[]string{"CI=", "VULN="}, 0},
		{[]string{"CI=true", "VULN="}, 1},
		{[]string{"CI=", "VULN=required"}, 1},
	} {
		out, code := script(t, append(c.env, "RELEASE_GO=go1.26.999", "GOPROXY=off"), "vuln.sh", "./cmd/...")
		if code != c.code || !strings.Contains(out, "go1.26.999, which releases are built with, cannot be downloaded: "+
			"NOT CHECKED") {
			t.Errorf("%q: exit code %d, want %d\n%s", c.env, code, c.code, out)
		}
	}
}
