package house_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// platformOf matches the end of a file's name that says on which platforms it is compiled. A package comment that
// names arena.go has also said where arena_linux.go and arena_other.go belong.
var platformOf = regexp.MustCompile(`(_(linux|darwin|unix|bsd|windows|other|amd64|arm64))+\.go$`)

// startWord is what tells a reader of a package comment where to begin.
var startWord = regexp.MustCompile(`(?i)\bstart\b`)

// fewFiles is how many files a reader can look through without being told where to start.
const fewFiles = 2

// anywhere gives the name that a file has without the platform.
func anywhere(name string) string { return platformOf.ReplaceAllString(name, ".go") }

// unnamed gives the files that a package comment does not name: itself, by a pattern, or by the same name for another
// platform.
func unnamed(text string, files []string) (missing []string) {
	named := goFile.FindAllString(text, -1)
	for _, name := range files {
		if !slices.ContainsFunc(named, func(pattern string) bool {
			match, err := filepath.Match(pattern, name)
			return err == nil && match || anywhere(pattern) == anywhere(name)
		}) {
			missing = append(missing, name)
		}
	}
	return missing
}

func TestUnnamed(t *testing.T) {
	const text = "Package p is it: a.go reads, schema*.go and lock_*.go write."
	for names, want := range map[string]string{
		"a.go": "", "b.go": "b.go", "a_linux.go a_other_arm64.go": "", "schema.go schema_not.go": "",
		"lock_unix.go": "", "lock.go": "lock.go", "ab.go": "ab.go", "a_b.go": "a_b.go",
	} {
		if got := strings.Join(unnamed(text, strings.Fields(names)), " "); got != want {
			t.Errorf("%s: %q is missing, want %q", names, got, want)
		}
	}
}

// TestDocNamesEveryFile: a package comment says what each file of the package is for, and where to start if there are
// several. A file that no comment mentions is found by nobody who looks for what it does. The directories are read
// without the go command, which leaves out files for other platforms.
func TestDocNamesEveryFile(t *testing.T) {
	root, checked := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(dir string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == ".git" || d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		_, text := docOf(t, listed{Dir: dir})
		if text == "" {
			return nil // TestEveryPackageHasADoc says where one is missing
		}
		checked++
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		var own []string
		stems := map[string]bool{}
		for _, path := range paths {
			if name := filepath.Base(path); name != "doc.go" && !strings.HasSuffix(name, "_test.go") {
				own = append(own, name)
				stems[anywhere(name)] = true
			}
		}
		doc, _ := filepath.Rel(root, filepath.Join(dir, "doc.go"))
		for _, name := range unnamed(text, own) {
			t.Errorf("%s does not name %s: say in a clause what the file is for", doc, name)
		}
		if len(stems) > fewFiles && !startWord.MatchString(text) {
			t.Errorf("%s does not say where to start reading, and the package has %d files", doc, len(stems))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Errorf("only %d packages were checked", checked)
	}
}
