package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBombs: small files that would become gigabytes in a parser are refused in little memory and time. The first of
// them took 24 GB.
func TestBombs(t *testing.T) {
	program, dir, many := binary(t), t.TempDir(), strings.Repeat
	yaml := map[string]string{
		"deep":     "host: " + many("[", 100_000) + many("]", 100_000),
		"mappings": "host: " + many("{a: ", 20_000) + "1" + many("}", 20_000),
		"dashes":   "host:\n" + many("- ", 20_000) + "x",
		"list":     "host: [" + many("1,", 100_000) + "]",
		"keys":     many("k: 1\n", 100_000),
		"docs":     many("--- 1\n", 50_000),
		"aliases": "a: &a [x" + many(",x", 8) + "]\nb: &b [*a" + many(",*a", 8) + "]\nc: &c [*b" + many(",*b", 8) +
			"]\nd: &d [*c" + many(",*c", 8) + "]\ne: &e [*d" + many(",*d", 8) + "]\nf: [*e" + many(",*e", 8) + "]\n",
		"itself": "host: &a {x: &b {y: *a}}\n",
		"number": "memory_limit_gb: " + many("9", 500_000),
		"large":  "host: " + many("x", 8<<20),
	}
	json := map[string]string{
		"deep":  many("[", 2_000_000) + many("]", 2_000_000),
		"items": `{"prompts":[` + many("{},", 2_000_000) + `{}]}`,
		"large": `{"a":"` + many("x", 65<<20) + `"}`,
	}
	keys := map[string]string{"lines": many("# \n", 200_000), "line": many("x", 1<<20)}
	for kind, files := range map[string]map[string]string{"yaml": yaml, "json": json, "keys": keys} {
		for name, text := range files {
			path := filepath.Join(dir, name+"."+kind)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range map[string][][]string{
				"yaml": {{"serve", "--config", path, "--port", "0"}, {"certify", "--check", path}},
				"json": {{"prompts", "check", path}},
				"keys": {{"serve", "--model", "synth:tiny", "--port", "0", "--api-key-file", path}},
			}[kind] {
				cmd := exec.CommandContext(t.Context(), program, args...)
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
				cmd.Wait()
				timer.Stop()
				used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
				const mib = 1 << 10 // Maxrss is in KiB
				if code := cmd.ProcessState.ExitCode(); code != exitUsage && code != exitSetup ||
					used.Maxrss > 400*mib || strings.Contains(out.String(), "goroutine ") {
					t.Errorf("%s, %v: exit code %d, %d MiB: %.300s", filepath.Base(path), args[0], code,
						used.Maxrss/mib, out.String())
				}
			}
		}
	}
}
