package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is kept.
const (
	mostCached = 1000    // inputs of a target in the go command's cache; the largest of more go
	mostKept   = 12      // inputs of a target that go to testdata in one run
	largest    = 4 << 10 // bytes of an input that goes to testdata
	patience   = 30 * time.Second
	soonest    = 5 * time.Second // choosing what is kept may take so long, whatever the target's share
)

var (
	executions = regexp.MustCompile(`execs: (\d+)`)
	news       = regexp.MustCompile(`new interesting: (\d+)`)
)

// one searches with a target for three quarters of its share of the time, and measures for the rest.
func (s *session) one(t *target, share time.Duration) error {
	end := time.Now().Add(share)
	if err := s.build(t.dir); err != nil {
		return err
	}
	// Compiling may have taken most of the share.
	lasts := max(time.Until(end)*3/4, share/2, time.Second).Round(time.Second)
	if err := s.search(t, lasts); err != nil {
		return err
	}
	return s.measure(t, end)
}

// search runs a target. An input that fails is an error.
func (s *session) search(t *target, lasts time.Duration) error {
	program, _ := s.programs(t.dir)
	args := []string{"-test.run", "^$", "-test.fuzz", "^" + t.name + "$", "-test.fuzztime", lasts.String(),
		"-test.fuzzminimizetime", "10x", "-test.fuzzcachedir", s.cached(t.dir), "-test.timeout", "0"}
	if s.parallel > 0 {
		args = append(args, "-test.parallel", strconv.Itoa(s.parallel))
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = filepath.Join(s.root, t.dir)
	out, err := cmd.CombinedOutput()
	t.tried, t.found = last(executions, out), last(news, out)
	failed := bytes.Contains(out, []byte("Failing input")) || bytes.Contains(out, []byte("panic:"))
	// The end of the time may come while an input that is not a failure is made smaller.
	if err != nil && !failed && bytes.Contains(out, []byte("context deadline exceeded")) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func last(number *regexp.Regexp, out []byte) int {
	found := number.FindAllSubmatch(out, -1)
	if len(found) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(string(found[len(found)-1][1]))
	return n
}

// cached is where the go command, too, has the inputs that were found for a package.
func (s *session) cached(dir string) string {
	return filepath.Join(s.cache, path.Join(s.module, filepath.ToSlash(dir)))
}

// input is an entry of a corpus.
type input struct {
	path string
	size int64
}

// inputs gives those of a directory, the smallest first; none where there is no directory.
func inputs(dir string) (all []input, err error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			all = append(all, input{filepath.Join(dir, e.Name()), info.Size()})
		}
	}
	slices.SortStableFunc(all, func(a, b input) int { return int(a.size - b.size) })
	return all, err
}

// measure finds out what a target reaches with the inputs that are committed, and with those that were found, and
// which of these are worth keeping.
func (s *session) measure(t *target, end time.Time) error {
	found, err := inputs(filepath.Join(s.cached(t.dir), t.name))
	if err != nil {
		return err
	}
	for len(found) > mostCached {
		if err := os.Remove(found[len(found)-1].path); err != nil {
			return err
		}
		found = found[:len(found)-1]
	}
	m, err := s.newMeter(t)
	if err != nil {
		return err
	}
	reached, err := m.reach(nil, true)
	if err != nil {
		return err
	}
	all, err := m.reach(found, true)
	if err != nil {
		return err
	}
	if at := time.Now().Add(soonest); end.Before(at) {
		end = at
	}
	t.statements, t.before, t.after = m.statements, reached.statements(), all.statements()
	var worth []input
	for _, in := range found {
		if all.statements() == reached.statements() || len(worth) == mostKept || time.Now().After(end) {
			break
		}
		if in.size > largest {
			continue
		}
		alone, err := m.reach([]input{in}, false)
		if err != nil {
			return err
		}
		if reached.add(alone) {
			worth = append(worth, in)
		}
	}
	t.kept = len(worth)
	if !s.keep {
		return nil
	}
	return s.commit(t, worth)
}

// commit copies inputs to a target's testdata.
func (s *session) commit(t *target, worth []input) error {
	dir := filepath.Join(s.root, t.dir, "testdata", "fuzz", t.name)
	for _, in := range worth {
		data, err := os.ReadFile(in.path)
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(in.path)), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// coverage is which blocks of statements were reached, and how many statements each has.
type coverage map[string]int

func (c coverage) statements() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// add says whether the other one reaches more.
func (c coverage) add(other coverage) (more bool) {
	for block, n := range other {
		if _, ok := c[block]; !ok {
			c[block], more = n, true
		}
	}
	return more
}

// parse reads a profile: the blocks that were reached, and the statements of all.
func parse(profile string) (reached coverage, statements int) {
	reached = coverage{}
	for line := range strings.Lines(profile) {
		fields := strings.Fields(line)
		if len(fields) != 3 { // the mode
			continue
		}
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		statements += n
		if fields[2] != "0" {
			reached[fields[0]] = n
		}
	}
	return reached, statements
}
