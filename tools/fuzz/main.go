// Command fuzz searches new inputs with every fuzz target of the module for a time that they share, and says what of
// its package each of them reaches. Of the inputs that it has found it keeps those that reach a statement that no
// other reaches; with -keep they go to the packages' testdata, so that every later test runs them.
//
//	fuzz -root .. -time 1h [-run REGEXP] [-keep]
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	root := flag.String("root", ".", "directory of the module")
	lasts := flag.Duration("time", time.Hour, "for all targets together, with compiling and measuring")
	pattern := flag.String("run", "", "only targets whose package and name match")
	keep := flag.Bool("keep", false, "add the inputs that reach something new to testdata/fuzz")
	parallel := flag.Int("parallel", 0, "processes that search at the same time; 0: one for each core")
	flag.Parse()
	if err := run(*root, *lasts, *pattern, *keep, *parallel); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(root string, lasts time.Duration, pattern string, keep bool, parallel int) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	targets, err := find(root, match)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return fmt.Errorf("no fuzz target in %s matches %q", root, pattern)
	}
	work, err := os.MkdirTemp("", "fuzz")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	s := &session{root: root, work: work, keep: keep, parallel: parallel, built: map[string]error{}}
	if s.module, err = s.output("go", "list", "-m"); err != nil {
		return err
	}
	cache, err := s.output("go", "env", "GOCACHE")
	if err != nil {
		return err
	}
	s.cache = filepath.Join(cache, "fuzz")
	return s.all(targets, time.Now().Add(lasts))
}

// all lets each target search, for its share of the time that is left, and prints what came of it.
func (s *session) all(targets []*target, end time.Time) error {
	for i, t := range targets {
		share := time.Until(end) / time.Duration(len(targets)-i)
		t.err = s.one(t, share)
		fmt.Println(t.line())
	}
	fmt.Println()
	table(targets)
	var failed []string
	for _, t := range targets {
		if t.err != nil {
			failed = append(failed, t.String())
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

// table shows what each target reaches.
func table(targets []*target) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| package\t| target\t| inputs tried\t| found\t| statements reached\t| of the package\t| kept\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	tried, found, kept := 0, 0, 0
	for _, t := range targets {
		share := 0.0
		if t.statements > 0 {
			share = 100 * float64(t.after) / float64(t.statements)
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %d\t| %d\t| %d (%+d)\t| %.0f %%\t| %d\t|\n", t.dir, t.name, t.tried,
			t.found, t.after, t.after-t.before, share, t.kept)
		tried, found, kept = tried+t.tried, found+t.found, kept+t.kept
	}
	fmt.Fprintf(w, "| %d targets\t| \t| %d\t| %d\t| \t| \t| %d\t|\n", len(targets), tried, found, kept)
	w.Flush()
}

// target is a fuzz target and what came of it.
type target struct {
	dir, name string // dir is relative to the module

	tried, found  int
	statements    int // of the package
	before, after int // of them reached by the inputs that were there, and with those that were found
	kept          int
	err           error
}

func (t *target) String() string { return t.dir + " " + t.name }

func (t *target) line() string {
	if t.err != nil {
		return fmt.Sprintf("%s: %v", t, t.err)
	}
	return fmt.Sprintf("%s: %d tried, %d found, %d statements reached (%+d)", t, t.tried, t.found, t.after,
		t.after-t.before)
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz[A-Z0-9_]\w*)\(`)

// find gives the targets of a module, by package and name. Other modules within it are left out.
func find(root string, match *regexp.Regexp) (all []*target, err error) {
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			name := d.Name()
			if path != root && (err == nil || name == "testdata" || name[0] == '.' || name[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range declaration.FindAllSubmatch(data, -1) {
			if t := (&target{dir: dir, name: string(m[1])}); match.MatchString(t.String()) {
				all = append(all, t)
			}
		}
		return err
	})
	slices.SortFunc(all, func(a, b *target) int { return strings.Compare(a.String(), b.String()) })
	return all, err
}

// session is one run of this program.
type session struct {
	root, work, module, cache string
	keep                      bool
	parallel                  int
	built                     map[string]error // by directory
}

func (s *session) output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.root
	var exit *exec.ExitError
	out, err := cmd.Output()
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w\n%s", cmd, err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// build compiles a package's tests, once to search and once to measure.
func (s *session) build(dir string) error {
	if err, ok := s.built[dir]; ok {
		return err
	}
	search, measure := s.programs(dir)
	_, err := s.output("go", "test", "-vet=off", "-c", "-fuzz", "Fuzz", "-o", search, "./"+dir)
	if err == nil {
		_, err = s.output("go", "test", "-vet=off", "-c", "-cover", "-covermode", "set", "-coverpkg", "./"+dir,
			"-o", measure, "./"+dir)
	}
	s.built[dir] = err
	return err
}

func (s *session) programs(dir string) (search, measure string) {
	name := filepath.Join(s.work, strings.ReplaceAll(dir, string(filepath.Separator), "+"))
	return name + ".search", name + ".measure"
}
