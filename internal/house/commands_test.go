package house_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// commandFiles gives the text of the files that run the repository's checks, by path: the Makefile, the shell scripts
// and what continuous integration runs.
func commandFiles(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, path := range []string{"Makefile", ".ci/run"} {
		data, err := os.ReadFile(filepath.Join("..", "..", path))
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(data)
	}
	walk(t, ".sh", func(path string, data []byte) { texts[filepath.ToSlash(path)] = string(data) })
	if len(texts) < 10 {
		t.Fatalf("only %d files with commands were found: this test looks in the wrong place", len(texts))
	}
	return texts
}

// TestCommandsEndInSight: lines of the Makefile and of scripts end before column 120, as those of Go do.
func TestCommandsEndInSight(t *testing.T) {
	for path, text := range commandFiles(t) {
		for i, line := range strings.Split(text, "\n") {
			if n := width(line); n >= columns {
				t.Errorf("%s:%d ends at column %d: it must end before %d", path, i+1, n, columns)
			}
		}
	}
}

// selection is a flag of the go command, or of a test's binary, that selects tests by a pattern.
type selection struct {
	where, flag, pattern string
	folders              []string // of packages, below the root
}

var (
	selects   = regexp.MustCompile(`^--?(?:test\.)?(run|skip|bench|fuzz)$`)
	none      = regexp.MustCompile(`^(\^\$|[xX]+)$`)
	assigned  = regexp.MustCompile(`(?m)^(\w+)='([^']*)'$`)
	fallback  = regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)
	prose     = regexp.MustCompile("`([^`]*)`|(?m)^(?:\t|    )(.*)$")
	folderArg = regexp.MustCompile(`^\.(/[\w./]*)?$`)
)

// TestSelectedTestsExist: the go command exits with 0 when no test has the name that -run gives, and a name that -skip
// gives may be that of nothing. So each alternative of each pattern in the Makefile, in scripts and in commands of the
// docs must match a test of the packages it is for.
func TestSelectedTestsExist(t *testing.T) {
	var all []selection
	for path, text := range commandFiles(t) {
		all = append(all, selectionsOf(path, text)...)
	}
	if len(all) < 15 {
		t.Errorf("only %d patterns were found: this test reads the commands wrongly", len(all))
	}
	inDocs := 0
	walk(t, ".md", func(path string, data []byte) {
		for _, m := range prose.FindAllSubmatch(data, -1) {
			command := strings.Join(strings.Fields(string(m[1])+string(m[2])), " ")
			if strings.Contains(command, "go test ") && !strings.Contains(command, "TestName ./its/package") {
				found := selectionsOf(path, command)
				all, inDocs = append(all, found...), inDocs+len(found)
			}
		}
	})
	if inDocs < 15 {
		t.Errorf("only %d patterns were found in docs: this test reads them wrongly", inDocs)
	}
	for _, s := range all {
		for _, problem := range unmatched(t, s) {
			t.Errorf("%s: -%s %s: %s", s.where, s.flag, s.pattern, problem)
		}
	}
}

// unmatched says which alternatives of a selection match no test.
func unmatched(t *testing.T, s selection) (problems []string) {
	t.Helper()
	if len(s.folders) == 0 {
		return []string{"the command names no package"}
	}
	names := testsIn(t, s.folders)
	if s.flag == "bench" {
		names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "Benchmark") })
	} else {
		names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "Benchmark") })
	}
	for _, one := range alternatives(s.pattern) {
		one, _, _ = strings.Cut(one, "/") // of subtests the names are not known
		re, err := regexp.Compile(one)
		if err != nil {
			problems = append(problems, err.Error())
		} else if !slices.ContainsFunc(names, re.MatchString) {
			problems = append(problems, "nothing in "+strings.Join(s.folders, ", ")+" matches "+one)
		}
	}
	return problems
}

// selectionsOf reads the patterns of a file's commands, or of a single command.
func selectionsOf(where, text string) (all []selection) {
	variables := map[string]string{}
	for _, m := range assigned.FindAllStringSubmatch(text, -1) {
		variables[m[1]] = m[2]
	}
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		if where == "Makefile" {
			line = strings.ReplaceAll(line, "$$", "$")
		}
		words := shellWords(line)
		if !slices.ContainsFunc(words, selects.MatchString) {
			continue
		}
		within := ""
		for i, w := range words {
			if w == "cd" && i+1 < len(words) {
				within = words[i+1]
			}
		}
		var folders []string
		for i, w := range words {
			switch {
			case i > 0 && selects.MatchString(words[i-1]): // a pattern
			case folderArg.MatchString(w):
				folders = append(folders, filepath.Join(within, w))
			case where == "scripts/arm64.sh" && (w == "kernel" || w == "moe"):
				folders = append(folders, "internal/infer/"+w)
			}
		}
		if len(folders) == 0 && where == "scripts/arm64.sh" { // $package is either
			folders = []string{"internal/infer/kernel", "internal/infer/moe"}
		}
		for i, w := range words {
			m := selects.FindStringSubmatch(w)
			if m == nil || i+1 == len(words) {
				continue
			}
			pattern := fallback.ReplaceAllString(words[i+1], "$1")
			for name, value := range variables {
				pattern = strings.ReplaceAll(pattern, "$"+name, value)
			}
			switch {
			case m[1] == "run" && none.MatchString(pattern) &&
				(slices.Contains(words, "-bench") || slices.Contains(words, "-fuzz")): // no tests, on purpose
			case where == "scripts/fuzz.sh" && m[1] == "fuzz": // it has the name from the file with the target
			default:
				all = append(all, selection{where, m[1], pattern, folders})
			}
		}
	}
	return all
}

// shellWords cuts a line as the shell does, up to a comment. Variables stay as they are.
func shellWords(line string) (words []string) {
	word, quote, begun := "", rune(0), false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case quote == 0 && strings.ContainsRune(" \t\n()", c):
			if begun {
				words = append(words, word)
			}
			word, begun = "", false
		case quote == 0 && c == '#' && !begun:
			return words
		default:
			word, begun = word+string(c), true
		}
	}
	if begun {
		words = append(words, word)
	}
	return words
}

// alternatives cuts a pattern at its bars: "TestA|^Test(B|C)$" is TestA, ^TestB$ and ^TestC$.
func alternatives(pattern string) (all []string) {
	depth, from, open, closed := 0, 0, -1, -1
	for i, c := range pattern {
		switch c {
		case '(', '[':
			if depth == 0 && c == '(' && open < 0 {
				open = i
			}
			depth++
		case ')', ']':
			if depth--; depth == 0 && c == ')' && closed < 0 {
				closed = i
			}
		case '|':
			if depth == 0 {
				all = append(all, alternatives(pattern[from:i])...)
				from = i + 1
			}
		}
	}
	if from > 0 {
		return append(all, alternatives(pattern[from:])...)
	}
	if open < 0 || closed < open {
		return []string{pattern}
	}
	for _, one := range alternatives(pattern[open+1 : closed]) {
		all = append(all, alternatives(pattern[:open]+one+pattern[closed+1:])...)
	}
	return all
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz|Example)\w*)\(`)

// testsIn lists the tests of packages, each given as the go command takes it. Docs that speak of the module in test/
// leave its folder out.
func testsIn(t *testing.T, folders []string) (names []string) {
	t.Helper()
	for _, folder := range folders {
		folder, below := strings.CutSuffix(folder, "/...")
		dir := filepath.Join("..", "..", folder)
		if _, err := os.Stat(dir); err != nil {
			dir = filepath.Join("..", "..", "test", folder)
		}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && path != dir && !below {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(path, "_test.go") {
				return nil
			}
			code, err := os.ReadFile(path)
			for _, m := range testFunc.FindAllSubmatch(code, -1) {
				if name := string(m[1]); name != "TestMain" {
					names = append(names, name)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	return names
}

// TestSelections holds the reading of commands to what the shell and the go command make of them.
func TestSelections(t *testing.T) {
	for in, want := range map[string][]string{
		"TestA":              {"TestA"},
		"TestA$|B":           {"TestA$", "B"},
		"^(TestA|TestB)$":    {"^TestA$", "^TestB$"},
		"A|^T(B|C(D|E))F$|G": {"A", "^TBF$", "^TCDF$", "^TCEF$", "G"},
		"Test[A|B]":          {"Test[A|B]"},
	} {
		if got := alternatives(in); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	const text = "many='A|B'\n" +
		"\tcd test && X=1 $(GO) test -run 'TestC$' -v \\\n\t\t./runs ./console # -run D ./e\n" +
		"killed ./cmd/mixtral -run \"${KILLS_RUN:-TestK|$many}\"\n" +
		"go test -run '^$' -bench . ./internal/...\n"
	want := []selection{
		{"x", "run", "TestC$", []string{"test/runs", "test/console"}},
		{"x", "run", "TestK|A|B", []string{"cmd/mixtral"}},
		{"x", "bench", ".", []string{"internal/..."}},
	}
	got := selectionsOf("x", text)
	if !slices.EqualFunc(got, want, func(a, b selection) bool {
		return a.where == b.where && a.flag == b.flag && a.pattern == b.pattern && slices.Equal(a.folders, b.folders)
	}) {
		t.Errorf("%q\nwant %q", got, want)
	}
	for s, problem := range map[string]string{
		"TestSelections$|TestNoSuchThing": "nothing in internal/house matches TestNoSuchThing",
		"(":                               "missing",
	} {
		found := unmatched(t, selection{flag: "run", pattern: s, folders: []string{"internal/house"}})
		if len(found) != 1 || !strings.Contains(found[0], problem) {
			t.Errorf("%s: %q, want %q", s, found, problem)
		}
	}
}

var (
	ownVariable = regexp.MustCompile(`\bMIXTRAL_[A-Z0-9_]+\b`)
	variable    = regexp.MustCompile("[\"`](MIXTRAL_[A-Z0-9_]+)[\"`=]")
)

// TestVariablesOfCommandsAreRead: a test that a variable turns on is skipped, or does less, when the Makefile sets
// another variable than the test reads.
func TestVariablesOfCommandsAreRead(t *testing.T) {
	read := map[string]bool{}
	walk(t, ".go", func(path string, data []byte) {
		if strings.HasPrefix(filepath.ToSlash(path), "internal/house/") {
			return
		}
		for _, m := range variable.FindAllSubmatch(data, -1) {
			read[string(m[1])] = true
		}
	})
	set := map[string]string{}
	for path, text := range commandFiles(t) {
		for _, name := range ownVariable.FindAllString(text, -1) {
			set[name] = path
		}
	}
	walk(t, ".md", func(path string, data []byte) {
		for _, m := range prose.FindAllSubmatch(data, -1) {
			command := string(m[1]) + string(m[2])
			if before, _, ok := strings.Cut(command, "go test"); ok {
				for _, name := range ownVariable.FindAllString(before, -1) {
					set[name] = path
				}
			}
		}
	})
	if len(set) < 10 {
		t.Errorf("only %d variables were found: this test reads the commands wrongly", len(set))
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !read[name] {
			t.Errorf("%s sets %s, which no code reads", set[name], name)
		}
	}
}
