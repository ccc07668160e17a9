package property

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const childLimit = "PROPERTY_TEST_LIMIT"

// TestChild is a property test like any other. The tests below run it in separate processes.
func TestChild(t *testing.T) {
	limit := os.Getenv(childLimit)
	if limit == "" {
		limit = "none"
	}
	Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1e9).Draw(t, "n")
		fmt.Println("drawn", n)
		if limit == "some" && n > 1000 {
			t.Fatalf("%d is above the limit", n)
		}
	})
}

// child runs TestChild in dir and returns the cases that it printed, its whole output, and whether it passed.
func child(t *testing.T, dir string, env []string, flags ...string) (drawn []string, out string, passed bool) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"-test.run=^TestChild$", "-test.v"}, flags...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), append([]string{Search + "="}, env...)...)
	b, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(line, "drawn "); ok {
			drawn = append(drawn, strings.TrimSpace(n))
		}
	}
	return drawn, string(b), err == nil
}

// TestFixed: without a search each process has the same hundred cases, unless a seed is given.
func TestFixed(t *testing.T) {
	a, out, ok := child(t, t.TempDir(), nil)
	b, _, _ := child(t, t.TempDir(), nil)
	if !ok || len(a) != 100 || strings.Join(a, " ") != strings.Join(b, " ") {
		t.Fatalf("first %v\nthen %v\n%s", a, b, out)
	}
	// The cases are the same on every machine and with every version of Go: otherwise nobody else could use a seed.
	if want := "23140 4 11 "; !strings.HasPrefix(strings.Join(a, " "), want) {
		t.Errorf("the cases begin with %v, want %s", a[:3], want)
	}
	if c, _, _ := child(t, t.TempDir(), nil, "-rapid.seed=2"); strings.Join(c, " ") == strings.Join(a, " ") {
		t.Error("-rapid.seed has no effect")
	}
}

// TestSearch: a search has other cases each time and takes as long as it is told. What it finds is tested first by
// everybody who has its file.
func TestSearch(t *testing.T) {
	a, out, ok := child(t, t.TempDir(), []string{Search + "=50ms"})
	b, _, _ := child(t, t.TempDir(), []string{Search + "=50ms"})
	if !ok || len(a) < 100 || len(b) < 100 || strings.Join(a[:100], " ") == strings.Join(b[:100], " ") {
		t.Fatalf("%d cases, first %v\nthen %v\n%s", len(a), a, b, out)
	}
	took := regexp.MustCompile(`(?m)^--- PASS: TestChild \((.*)s\)`).FindStringSubmatch(out)
	if took == nil || took[1] < "0.05" { // the number of cases depends on the machine
		t.Errorf("a search of 50ms took %q", took)
	}
	dir := t.TempDir()
	if _, out, ok := child(t, dir, []string{Search + "=1s", childLimit + "=some"}); ok {
		t.Fatalf("a property that does not hold passed:\n%s", out)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "testdata", "rapid", "TestChild", "*.fail"))
	if len(files) != 1 {
		t.Fatalf("the search left %v", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(text), "\n"+FailVersion+"#") {
		t.Errorf("%v; want version %s in\n%s", err, FailVersion, text)
	}
	drawn, out, ok := child(t, dir, []string{childLimit + "=some"})
	if ok || len(drawn) == 0 || drawn[0] != "1001" {
		t.Errorf("the case that was found, 1001, is not tested first: %v\n%s", drawn, out)
	}
}

func TestFailureWithoutASearchLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, out, ok := child(t, dir, []string{childLimit + "=some"}); ok {
		t.Fatalf("a property that does not hold passed:\n%s", out)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestSeed(t *testing.T) {
	const override = "PROPERTY_TEST_SEED"
	t.Setenv(Search, "")
	t.Setenv(override, "")
	if n := Seed(t, override); n != 1 {
		t.Errorf("usually %d, want 1", n)
	}
	t.Setenv(Search, "1s")
	if a, b := Seed(t, override), Seed(t, override); a == b {
		t.Errorf("twice %d in a search", a)
	}
	t.Setenv(override, "7")
	if n := Seed(t, override); n != 7 {
		t.Errorf("%s=7 gives %d", override, n)
	}
}

func TestRefusedEnvironment(t *testing.T) {
	for _, env := range []string{Search + "=x", Search + "=-1s", Search + "=0s", "RAPID_SEED=3", "RAPID_CHECKS=1"} {
		name, _, _ := strings.Cut(env, "=")
		if _, out, ok := child(t, t.TempDir(), []string{env}); ok || !strings.Contains(out, name) {
			t.Errorf("%s:\n%s", env, out)
		}
	}
}
