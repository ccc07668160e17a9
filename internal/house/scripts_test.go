package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
		const said = "go1.26.999, which releases are built with, cannot be downloaded: NOT CHECKED"
		if code != c.code || !strings.Contains(out, said) {
			t.Errorf("%q: exit code %d, want %d\n%s", c.env, code, c.code, out)
		}
	}
}

// certified is a mixtral that has certified something: a report of $STATUS, with the checks of $CHECKS, one a line, as
// "VERDICT id", of which INVALID ones say $WHY.
const certified = `
case "$1 $2" in
"certify "*)
	while [ "$1" != --report-dir ]; do shift; done
	base=$2/performance_TC-L1-COMP-MIXTRAL-003_1
	printf '"status": "%s"\n"avg_latency_ms"\n' "$STATUS" >"$base.json"
	echo x >"$base.html"
	{
		echo '<testsuites>'
		echo "$CHECKS" | while read -r verdict id; do
			echo "    <testcase name=\"$id: what it asks\" time=\"0\">"
			[ "$verdict" != INVALID ] || echo "      <error message=\"$WHY\" type=\"INVALID\">1, target 2</error>"
		done
	} >"$base.junit.xml"
	echo '{"output_tokens":7}' | gzip >"$base.events.jsonl.gz"
	case $STATUS in PASS) exit 0 ;; FAIL) exit 1 ;; INVALID) exit 4 ;; esac
	;;
"report verify") [ $# = 3 ] || exit 1 ;; # of other events
"report show")
	[ "$3" != --json ] || { cat "$(dirname "$XDG_DATA_HOME")"/*.json; exit; }
	echo "$STATUS"
	echo "$CHECKS" | while read -r verdict id; do echo "$verdict   $id   1"; done
	;;
"report list") [ "$3" = --json ] && echo '"run": "1a"' || echo "$STATUS" ;;
esac
`

// TestCertificationDecides: scripts/e2e.sh does not take a run for passed that judged nothing. Of what does not depend
// on the machine each check passes, and others may be without a verdict because of the machine only.
func TestCertificationDecides(t *testing.T) {
	bin := program(t, "mixtral", certified)
	all := []string{"preconditions", "valid-responses", "errors", "metrics", "audits", "steps", "report", "quality",
		"latency-single"}
	const busy = "ttft: the client saw 50 ms more, the limit is 40 ms, but it was late itself"
	for name, c := range map[string]struct {
		status, why, of string // of are the checks that have the status
		code            int
		said            string
	}{
		"all pass":               {"PASS", "", "", 0, "e2e: passed (PASS)"},
		"too slow":               {"FAIL", "", "latency-single", 0, "e2e: passed (FAIL)"},
		"a busy machine":         {"INVALID", busy, "metrics", 0, "e2e: could not be judged: metrics: ttft"},
		"a slow client":          {"INVALID", "client: was off", "preconditions", 0, "e2e: passed (INVALID)"},
		"another check":          {"INVALID", "too few", "latency-single", 0, "e2e: passed (INVALID)"},
		"metrics not understood": {"INVALID", "not understood", "metrics", 1, "not because of the machine"},
		"no model":               {"INVALID", "model: no answer", "preconditions", 1, "not because of the machine"},
		"a wrong service":        {"FAIL", "", "audits", 1, "the service is wrong"},
		"no valid answer":        {"INVALID", busy, "valid-responses", 1, "valid-responses must be PASS"},
		"bad answers":            {"FAIL", "", "quality", 1, "quality must be PASS"},
		"nothing judged":         {"INVALID", busy, strings.Join(all, " "), 1, "must be PASS on every machine"},
	} {
		var checks []string
		for _, id := range all {
			verdict := "PASS"
			if slices.Contains(strings.Fields(c.of), id) {
				verdict = c.status
			}
			checks = append(checks, verdict+" "+id)
		}
		env := []string{"STATUS=" + c.status, "WHY=" + c.why, "CHECKS=" + strings.Join(checks, "\n")}
		out, code := script(t, env, "e2e.sh", bin)
		if code != c.code || !strings.Contains(out, c.said) || strings.Contains(out, "e2e: passed") != (code == 0) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", name, code, c.code, c.said, out)
		}
	}
}

// TestCertificationNeedsItsEmulator: who asks for a certification on arm64, as make soak does, gets one or an error.
// make test goes on without qemu, but not under CI.
func TestCertificationNeedsItsEmulator(t *testing.T) {
	for _, c := range []struct {
		ci, what string
		code     int
	}{{"", "test", 0}, {"true", "test", 1}, {"", "certify", 1}, {"true", "certify", 1}} {
		out, code := script(t, []string{"PATH=" + t.TempDir(), "CI=" + c.ci}, "arm64.sh", c.what)
		if code != c.code || !strings.Contains(out, "qemu-aarch64 is missing") {
			t.Errorf("CI=%s, %s: exit code %d, want %d\n%s", c.ci, c.what, code, c.code, out)
		}
	}
}
