package testcases

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/yamlfile"
)

// source is what a case is made of.
type source struct {
	files []*file        // the case's own file, the one that it extends, and so on
	tree  map[string]any // all of them, merged
	data  []byte         // the same as YAML
	// a case that is extended cannot be read, so that only mistakes within single values can be told
	partial bool
}

// file is a case file.
type file struct {
	name     string // for messages; empty if it has none
	tree     map[string]any
	lines    yamlfile.Lines
	problems []*Problem // its unknown keys, and values of a wrong type
}

// readFile reads a case file by itself, without what it extends.
func readFile(name string, data []byte) (*file, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: must have at most %d bytes, got %d", ErrInvalid, maxFile, len(data))
	}
	c := Defaults()
	lines, found, err := yamlfile.Read(&c, name, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	f := &file{name: name, lines: lines}
	for _, p := range found {
		f.problems = append(f.problems, problemOf(p))
	}
	if f.tree, err = treeOf(data); err != nil && len(found) == 0 {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, yamlfile.Place(name, lines[""]), err)
	}
	return f, nil
}

// spot is where a file has a key, or what is above it.
type spot struct {
	line  int
	key   string // as the file has it: the numbers of entries in lists are its own
	depth int    // of the part of the key that the file has
	whole bool   // it has the key
	final bool   // what it has there replaces what the case that it extends has
}

// find finds a key of the merged case in a file.
func (s *source) find(f *file, key string) spot {
	at := spot{line: f.lines[""]}
	var here, all any = f.tree, s.tree
	rest := key
	for rest != "" {
		step := ""
		switch list := here.(type) {
		case []any:
			i, after := s.entry(list, all, rest)
			if i < 0 {
				at.key += rest
				return at
			}
			at.final = at.final || !haveIDs(list)
			step, here, rest = fmt.Sprintf("[%d]", i), list[i], after
			all = entryOf(all, key[:len(key)-len(after)])
		case map[string]any:
			rest = strings.TrimPrefix(rest, ".")
			name := longestKey(list, rest)
			if name == "" {
				at.key = under(at.key, rest)
				return at
			}
			step, here, rest = name, list[name], rest[len(name):]
			m, _ := all.(map[string]any)
			all = m[name]
		default:
			at.key += rest
			return at
		}
		if strings.HasPrefix(step, "[") {
			at.key += step
		} else {
			at.key = under(at.key, step)
		}
		at.depth++
		if line := f.lines[at.key]; line > 0 {
			at.line = line
		}
	}
	at.whole = true
	return at
}

// under puts a key below another.
func under(above, key string) string {
	if above == "" || strings.HasPrefix(key, "[") {
		return above + key
	}
	return above + "." + key
}

// longestKey returns the key of a mapping with which a path begins. A name may have dots.
func longestKey(m map[string]any, path string) (name string) {
	for k := range m {
		if isUnder(k, path) && len(k) > len(name) {
			name = k
		}
	}
	return name
}

// entry returns the index, in a file's own list, of the entry of the merged list with which a path begins, and the
// rest of the path. -1: it has none.
func (s *source) entry(list []any, all any, path string) (i int, rest string) {
	number, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
	i, err := strconv.Atoi(number)
	if !ok || err != nil || i < 0 {
		return -1, ""
	}
	if of, _ := all.([]any); len(s.files) > 1 && i < len(of) && idOf(of[i]) != "" && haveIDs(list) {
		i = slices.IndexFunc(list, func(x any) bool { return idOf(x) == idOf(of[i]) })
	}
	if i >= len(list) {
		return -1, ""
	}
	return i, rest
}

// entryOf returns the entry of a list whose index, in brackets, is at the end of a path.
func entryOf(list any, path string) any {
	of, _ := list.([]any)
	number := strings.TrimSuffix(path[strings.LastIndexByte(path, '[')+1:], "]")
	if i, err := strconv.Atoi(number); err == nil && i < len(of) {
		return of[i]
	}
	return nil
}

// located returns a problem of the merged case with its place: the line of the file that has the value. A value that
// an extended case has, and that is wrong only beside what another file says, is a problem of the case's own file.
func (s *source) located(p *Problem) *Problem {
	out := *p
	best := s.find(s.files[0], p.Key)
	own := best
	for i, f := range s.files[1:] {
		if best.whole || best.final {
			break
		}
		if there := s.find(f, p.Key); there.whole || there.depth > best.depth {
			best, out.file = there, i+1
		}
	}
	from := s.files[out.file]
	out.Key, out.line = best.key, best.line
	if out.file > 0 && !p.alone {
		out.Reason += fmt.Sprintf(" (the key is that of %s, which this case extends)",
			yamlfile.Place(from.name, best.line))
		if out.file, out.line = 0, own.line; own.depth == 0 {
			out.line = s.files[0].lines["extends"]
		}
		from = s.files[0]
	}
	out.Place = yamlfile.Place(from.name, out.line)
	return &out
}
