package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// meter measures what inputs of a target reach. A test reads its corpus from its own directory, so this one is a copy
// of that, made of links, whose corpus can be changed.
type meter struct {
	t          *target
	program    string
	dir        string // where the program runs
	corpus     string
	committed  []input
	statements int // of the package
}

func (s *session) newMeter(t *target) (*meter, error) {
	at := filepath.Join(s.work, "tree")
	if err := os.RemoveAll(at); err != nil {
		return nil, err
	}
	corpus := filepath.Join(t.dir, "testdata", "fuzz", t.name)
	if err := mirror(s.root, at, strings.Split(corpus, string(filepath.Separator))); err != nil {
		return nil, err
	}
	m := &meter{t: t, dir: filepath.Join(at, t.dir), corpus: filepath.Join(at, corpus)}
	_, m.program = s.programs(t.dir)
	var err error
	m.committed, err = inputs(filepath.Join(s.root, corpus))
	return m, err
}

// mirror makes a directory whose entries are links to those of another one, but for the first part of a path, which is
// a directory made in the same way for the rest of it. The last one is empty.
func mirror(from, to string, path []string) error {
	if err := os.MkdirAll(to, 0o755); err != nil || len(path) == 0 {
		return err
	}
	if path[0] == "." {
		return mirror(from, to, path[1:])
	}
	entries, err := os.ReadDir(from)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		if e.Name() != path[0] {
			if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				return err
			}
		}
	}
	return mirror(filepath.Join(from, path[0]), filepath.Join(to, path[0]), path[1:])
}

// reach runs the target with inputs, beside those that are committed or without them.
func (m *meter) reach(list []input, beside bool) (coverage, error) {
	if err := os.RemoveAll(m.corpus); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(m.corpus, 0o755); err != nil {
		return nil, err
	}
	pattern := "^" + m.t.name + "$"
	if !beside {
		pattern += "/^" + filepath.Base(list[0].path) + "$"
	} else {
		list = append(list[:len(list):len(list)], m.committed...)
	}
	for _, in := range list {
		name := filepath.Join(m.corpus, filepath.Base(in.path))
		if err := os.Symlink(in.path, name); err != nil && !os.IsExist(err) {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	profile := filepath.Join(m.dir, "..profile")
	cmd := exec.CommandContext(ctx, m.program, "-test.run", pattern, "-test.coverprofile", profile)
	cmd.Dir = m.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("with %d inputs: %w\n%s", len(list), err, out)
	}
	data, err := os.ReadFile(profile)
	if err != nil {
		return nil, err
	}
	reached, statements := parse(string(data))
	m.statements = statements
	return reached, nil
}
