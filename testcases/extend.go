package testcases

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// maxExtends is how many cases may extend each other. A longer chain is probably a cycle.
const maxExtends = 8

// readSource reads the file of a case, and returns the directory of its other files.
func readSource(ref string) (data []byte, dir string, err error) {
	if slices.Contains(List(), ref) {
		data, err = builtin.ReadFile(ref + "/case.yaml")
		return data, "", err
	}
	data, err = readAtMost(ref, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %q is neither a file nor a built-in case; built-in cases: %s", ErrNotFound, ref,
			strings.Join(List(), ", "))
	}
	return data, filepath.Dir(ref), err
}

// extended reads the files of a case: its own, the one that it extends, and so on. The source has them merged; it is
// the file unchanged if that extends none.
func extended(name string, data []byte, dir string) (*source, error) {
	own, err := readFile(name, data)
	if err != nil {
		return nil, err
	}
	s := &source{files: []*file{own}, tree: own.tree, data: data}
	if !extends(own.tree) {
		return s, nil
	}
	tree := maps.Clone(own.tree)
	last := own // the file whose extends is followed
	wrong := func(reason string, err error) (*source, error) {
		last.problems = append(last.problems, &Problem{Key: "extends", Reason: reason, line: last.lines["extends"],
			err: err})
		delete(tree, "extends")
		s.tree, s.partial = tree, true
		if s.data, err = yaml.Marshal(tree); err != nil {
			return nil, fmt.Errorf("%w: %s: cannot be read as YAML", ErrInvalid, name)
		}
		_, err = s.parse()
		return nil, err
	}
	for range maxExtends {
		ref, ok := tree["extends"].(string)
		if !ok {
			return wrong(fmt.Sprintf("must be the id of a built-in case, or the path of a case file, got %v",
				tree["extends"]), nil)
		}
		if !slices.Contains(List(), ref) && !filepath.IsAbs(ref) {
			ref = filepath.Join(dir, ref)
		}
		under, folder, err := readSource(ref)
		if err != nil {
			return wrong(err.Error(), err)
		}
		parent, err := readFile(ref, under)
		if err != nil {
			return nil, err
		}
		last = parent
		s.files = append(s.files, parent)
		relocate(parent.tree, dir, folder)
		delete(tree, "extends")
		tree, _ = merged(parent.tree, tree).(map[string]any)
		if !extends(tree) {
			s.tree = tree
			s.data, err = yaml.Marshal(tree)
			return s, err
		}
		if next, ok := tree["extends"].(string); ok && !slices.Contains(List(), next) && !filepath.IsAbs(next) {
			tree["extends"] = relative(dir, filepath.Join(folder, next))
		}
	}
	s.files, last = s.files[:1], own
	return wrong(fmt.Sprintf("more than %d cases extend each other", maxExtends), nil)
}

// extends says whether a case names another one that it extends.
func extends(tree map[string]any) bool { return tree["extends"] != nil && tree["extends"] != "" }

// treeOf reads YAML into maps and lists. It recovers from panics, because the YAML library panics on some invalid
// files.
func treeOf(data []byte) (tree map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("cannot be read as YAML")
		}
	}()
	if yaml.UnmarshalWithOptions(data, &tree, yaml.AllowDuplicateMapKey()) != nil {
		return nil, errors.New("cannot be read as YAML")
	}
	return tree, nil
}

// merged merges two trees: maps by their keys, and lists of entries with ids by these ids. Other values of over
// replace those of under, and null removes a key.
func merged(under, over any) any {
	switch o := over.(type) {
	case map[string]any:
		u, ok := under.(map[string]any)
		if !ok {
			return over
		}
		out := maps.Clone(u)
		for k, v := range o {
			if v == nil {
				delete(out, k)
			} else {
				out[k] = merged(u[k], v)
			}
		}
		return out
	case []any:
		u, ok := under.([]any)
		if !ok || !haveIDs(u) || !haveIDs(o) {
			return over
		}
		out := slices.Clone(u)
		for _, v := range o {
			i := slices.IndexFunc(out, func(x any) bool { return idOf(x) == idOf(v) })
			if i < 0 {
				out = append(out, v)
			} else {
				out[i] = merged(out[i], v)
			}
		}
		return out
	}
	return over
}

func haveIDs(list []any) bool {
	return !slices.ContainsFunc(list, func(x any) bool { return idOf(x) == "" })
}

func idOf(x any) string {
	m, _ := x.(map[string]any)
	id, _ := m["id"].(string)
	return id
}

// relocate changes the file names in a tree, which are relative to folder, so that they are relative to dir.
func relocate(tree map[string]any, dir, folder string) {
	move := func(m map[string]any, key string) {
		if name, ok := m[key].(string); ok && name != BuiltinPrompts && !filepath.IsAbs(name) {
			m[key] = relative(dir, filepath.Join(folder, name))
		}
	}
	move(tree, "prompts")
	profiles, _ := tree["profiles"].(map[string]any)
	for _, phases := range profiles {
		list, _ := phases.([]any)
		for _, ph := range list {
			m, _ := ph.(map[string]any)
			if t, ok := m["traffic"].(map[string]any); ok {
				move(t, "file")
			}
			if t, ok := m["task"].(map[string]any); ok {
				move(t, "file")
				move(t, "schema")
			}
		}
	}
}

// relative returns a path relative to a directory, or the path itself if that is not possible.
func relative(dir, path string) string {
	if dir == "" {
		dir, _ = os.Getwd()
	}
	a, errA := filepath.Abs(dir)
	b, errB := filepath.Abs(path)
	if r, err := filepath.Rel(a, b); err == nil && errA == nil && errB == nil {
		return r
	}
	return path
}
