package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module writes a module whose file for arm64, and whose test for darwin, have the given bodies.
func module(t *testing.T, arm, darwin string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":           "module m\n\ngo 1.26\n",
		"m.go":             "package m\n\nfunc F() int { return f() }\n",
		"f_arm64.go":       "package m\n\nimport \"math/bits\"\n\nfunc f() int { return " + arm + " }\n",
		"f_amd64.go":       "package m\n\nfunc f() int { return 1 }\n",
		"f_darwin_test.go": "package m\n\nimport \"testing\"\n\nfunc TestF(t *testing.T) { " + darwin + " }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestErrorsOfOtherPlatformsAreFound(t *testing.T) {
	const right, bad = "bits.Len(1)", "bits.Len(\"\")"
	for _, test := range []struct {
		name, arm, darwin, platform string
		want                        string // in the output; empty: no error
	}{
		{"all right", right, "F()", "linux/arm64", ""},
		{"a file of arm64", bad, "F()", "linux/arm64", "f_arm64.go:5:"},
		{"the same on amd64", bad, "F()", "linux/amd64", ""},
		{"an unused import", "1", "F()", "linux/arm64", "f_arm64.go:3:"},
		{"a test of darwin", right, "F(1)", "darwin/arm64", "f_darwin_test.go:5:"},
		{"the same on linux", right, "F(1)", "linux/arm64", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := check(&out, module(t, test.arm, test.darwin), test.platform)
			if (err != nil) != (test.want != "") || !strings.Contains(out.String(), test.want) {
				t.Errorf("%v, and %q, want %q", err, out.String(), test.want)
			}
		})
	}
}

func TestBadPlatformsAndDirectories(t *testing.T) {
	for _, platform := range []string{"linux", "/arm64", "linux/", "linux/nothing"} {
		if err := check(&strings.Builder{}, module(t, "bits.Len(1)", ""), platform); err == nil {
			t.Errorf("%q was accepted", platform)
		}
	}
	if err := check(&strings.Builder{}, t.TempDir(), "linux/arm64"); err == nil {
		t.Error("a directory without a module was accepted")
	}
}
