package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestRun: the answer goes to standard output, figures to standard error, and every error is named. The environment is
// that of a container whose image sets where a service listens, which must not disturb a command that does not listen.
func TestRun(t *testing.T) {
	t.Setenv("MIXTRAL_HOST", "0.0.0.0")
	t.Setenv("MIXTRAL_API_KEY_FILE", "/no/such/keys")
	t.Setenv("MIXTRAL_PORT", "tcp://10.0.0.1:11400")
	for _, test := range []struct {
		args []string
		code int
		said string
	}{
		{[]string{"hello"}, exitOK, ""},
		{[]string{"--stats", "--temperature", "0", "hello"}, exitOK, "tokens/s"},
		{[]string{"--system", "Be brief.", "hello"}, exitOK, ""},
		{[]string{"--raw", "hello"}, exitOK, ""},
		{[]string{"--raw", "--system", "Be brief.", "hello"}, exitUsage, "--raw and --system cannot be used together"},
		{[]string{""}, exitUsage, "the prompt is empty"},
		{[]string{"--temperature", "9", "hello"}, exitUsage, "temperature: must be between 0 and 2"},
		{[]string{"--set", "port", "hello"}, exitUsage, "must be KEY=VALUE"},
		{[]string{"--set", "prot=1", "hello"}, exitUsage, `unknown key "prot"`},
		{[]string{"--model", "none.gguf", "hello"}, exitSetup, "the file does not exist"},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"run", "--model", "synth:tiny", "--max-tokens", "8", "--seed", "7"}, test.args...)
		code := run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: os.Getenv}, args)
		if code != test.code || !strings.Contains(errs.String(), test.said) ||
			(code == exitOK) != (strings.TrimSpace(out.String()) != "") {
			t.Errorf("%v: %d, %q, %s", test.args, code, out.String(), errs.String())
		}
	}
}
