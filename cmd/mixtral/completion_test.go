package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// completed returns what complete-line prints.
func completed(t *testing.T, line string) []string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(&app{ctx: t.Context(), stdout: &out, stderr: &errs, getenv: os.Getenv},
		[]string{"complete-line", "--line=" + line}); code != exitOK {
		t.Errorf("%q: code %d, %s", line, code, errs.String())
	}
	return strings.Fields(out.String())
}

// TestComplete: commands, flags and known values are completed, and nothing where only a file can follow.
func TestComplete(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string // all of them
	}{
		{"mixtral mod", []string{"model"}},
		{"mixtral model ver", []string{"verify"}},
		{"mixtral serve --tls", []string{"--tls-cert-file", "--tls-key-file"}},
		{"mixtral serve --port 80 --back", []string{"--backend"}},
		{"mixtral serve --backend ", []string{"embedded", "vllm"}},
		{"mixtral serve --backend=v", []string{"--backend=vllm"}},
		{"mixtral serve --log-level serve --kv-type q", []string{"q8_0"}},
		{"mixtral serve --insecure-bind --backend em", []string{"embedded"}},
		{"mixtral serve --model mixtral-8x7b-instruct:q4_", []string{"mixtral-8x7b-instruct:q4_k_m",
			"mixtral-8x7b-instruct:q4_0"}},
		{"mixtral model inspect de", []string{"demo"}},
		{"mixtral model pull tiny", []string{"tiny-mixtral"}},
		{"mixtral completion f", []string{"fish"}},
		{"mixtral serve --config ", nil},
		{"mixtral serve --config f", nil},
		{"mixtral complet", []string{"completion"}}, // without the command for scripts
	} {
		if got := completed(t, test.line); !slices.Equal(got, test.want) {
			t.Errorf("%q: %v, want %v", test.line, got, test.want)
		}
	}
	commands := completed(t, "mixtral ")
	if !slices.Contains(commands, "certify") || !slices.Contains(commands, "serve") ||
		slices.Contains(commands, "complete-line") {
		t.Errorf("commands: %v", commands)
	}
}

// TestCompletionInBash lets a real shell complete, also names with colons.
func TestCompletionInBash(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		need.Missing(t, "bash is not installed")
	}
	dir := t.TempDir()
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "mixtral")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ line, words, want string }{
		{"mixtral mod", "mixtral mod", "model"},
		{"mixtral model ", "mixtral model ''", "pull list"},
		{"mixtral serve --model mixtral-8x7b-instruct:q4_k", "mixtral serve --model mixtral-8x7b-instruct : q4_k",
			"q4_k_m"},
		{"mixtral serve --model mixtral-8x22b-instruct:", "mixtral serve --model mixtral-8x22b-instruct :",
			"q4_k_m q2_k"},
		{"mixtral serve --backend=v", "mixtral serve --backend = v", "vllm"},
	} {
		script := `source <(mixtral completion bash); COMP_LINE='` + test.line +
			`'; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(` + test.words +
			`); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _mixtral; echo "${COMPREPLY[@]}"`
		cmd := exec.CommandContext(t.Context(), bash, "-c", script)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), test.want) {
			t.Errorf("%q: %s, %v; want %q", test.line, out, err, test.want)
		}
	}
}
