package testcases

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// Default is the case that `mixtral certify` runs if none is named.
const Default = "TC-L1-COMP-MIXTRAL-003"

// ErrNotFound matches the error about a name that is neither a built-in case nor a file.
var ErrNotFound = errors.New("no such test case")

//go:embed */case.yaml
var builtin embed.FS

// List returns the names of the built-in cases, sorted.
func List() []string {
	files, err := fs.Glob(builtin, "*/case.yaml")
	if err != nil {
		panic("testcases: " + err.Error()) // cannot happen: the pattern is valid
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, "/case.yaml")
	}
	slices.Sort(files)
	return files
}

// Loaded is a case with the files that it names, and the bytes from which its fingerprints are computed.
type Loaded struct {
	Case        *Case
	Source      []byte // the case file
	Prompts     *prompts.Set
	PromptBytes []byte            // the prompt file
	Files       map[string][]byte // the files of its traffic and tasks, by their names in the case
}

// maxTraffic limits a file of traffic, in bytes. The user must take a sample of a larger one.
const maxTraffic = 512 << 20

// Load reads a built-in case by its id or a case file by its path, with the case that it extends, its prompts and its
// other files. Every prompt that a phase names must exist. An empty ref is Default. Errors match ErrNotFound,
// ErrInvalid or prompts.ErrInvalid.
func Load(ref string) (*Loaded, error) {
	if ref == "" {
		ref = Default
	}
	l := &Loaded{}
	data, dir, err := readSource(ref)
	if err != nil {
		return nil, err
	}
	s, err := extended(ref, data, dir)
	if err != nil {
		return nil, err
	}
	if l.Case, err = s.parse(); err != nil {
		return nil, err
	}
	l.Source = s.data
	if err := l.LoadPrompts(dir); err != nil {
		if found := Problems(err); len(found) > 0 {
			for i, p := range found {
				found[i] = s.located(p)
			}
			return nil, listed(found)
		}
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return l, nil
}

// Read makes a case from the bytes of a case file and of its prompt file. It opens no file: if promptFile is nil, the
// case has the built-in prompts, whatever file it names. Errors match ErrInvalid or prompts.ErrInvalid.
func Read(caseFile, promptFile []byte) (*Loaded, error) {
	c, err := Parse(caseFile)
	if err != nil {
		return nil, err
	}
	l := &Loaded{Case: c, Source: bytes.Clone(caseFile), PromptBytes: bytes.Clone(promptFile)}
	if promptFile == nil {
		l.PromptBytes = prompts.Builtin()
	}
	return l, l.readPrompts()
}

// With validates a case that was declared in Go and adds its prompts; nil means the built-in ones. The result has
// copies, which later changes of c and set do not affect. Errors match ErrInvalid or prompts.ErrInvalid.
func (c *Case) With(set *prompts.Set) (*Loaded, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	data, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	promptFile := prompts.Builtin()
	if set != nil {
		if promptFile, err = set.Encode(); err != nil {
			return nil, fmt.Errorf("prompts: %w", err)
		}
	}
	return Read(data, promptFile)
}

// Clone returns a copy whose Case can be changed without changing the original.
func (l *Loaded) Clone() (*Loaded, error) {
	data, err := l.Case.Marshal()
	if err != nil {
		return nil, err
	}
	c := Defaults()
	if err := unmarshal(data, &c); err != nil {
		return nil, err
	}
	clone := *l
	clone.Case = &c
	return &clone, nil
}

// LoadPrompts reads the prompt file that the case names, relative to dir, and the files of its traffic and tasks.
func (l *Loaded) LoadPrompts(dir string) (err error) {
	l.PromptBytes = prompts.Builtin()
	if name := l.Case.Prompts; name != BuiltinPrompts {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if l.PromptBytes, err = bounded.File(name, prompts.MostBytes); err != nil {
			err = &Problem{Key: "prompts", Reason: err.Error(), alone: true}
		}
	}
	if err := errors.Join(err, l.LoadTraffic(dir)); err != nil {
		return err
	}
	return l.readPrompts()
}

// LoadTraffic reads the files of the phases' traffic and tasks, relative to dir. It skips those that are already in
// Files. The error lists all that cannot be read.
func (l *Loaded) LoadTraffic(dir string) error {
	var all []error
	for _, profile := range slices.Sorted(maps.Keys(l.Case.Profiles)) {
		for i, ph := range l.Case.Profiles[profile] {
			for key, name := range ph.files() {
				if err := l.loadFile(dir, name); err != nil {
					all = append(all, &Problem{Key: fmt.Sprintf("profiles.%s[%d].%s", profile, i, key),
						Reason: err.Error(), alone: true})
				}
			}
		}
	}
	return errors.Join(all...)
}

// files returns the names of the files that a phase reads, with their keys.
func (ph *Phase) files() iter.Seq2[string, string] {
	return func(yield func(key, name string) bool) {
		if t := ph.Traffic; t != nil && t.File != "" && !yield("traffic.file", t.File) {
			return
		}
		if t := ph.Task; t != nil {
			if t.File != "" && !yield("task.file", t.File) {
				return
			}
			if t.Schema != "" {
				yield("task.schema", t.Schema)
			}
		}
	}
}

// loadFile reads a file that a phase names, unless it is already in Files.
func (l *Loaded) loadFile(dir, name string) error {
	if _, have := l.Files[name]; have {
		return nil
	}
	path := name
	if !filepath.IsAbs(name) {
		path = filepath.Join(dir, name)
	}
	data, err := readAtMost(path, maxTraffic)
	if err != nil {
		return err
	}
	if l.Files == nil {
		l.Files = map[string][]byte{}
	}
	l.Files[name] = data
	return nil
}

func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: has more than %d bytes: make a sample of it", path, most)
	}
	return data, err
}

// readPrompts decodes PromptBytes, and checks that every prompt that a phase names is there.
func (l *Loaded) readPrompts() (err error) {
	if l.Prompts, err = prompts.Load(l.PromptBytes); err != nil {
		where := l.Case.Prompts
		if line, column, ok := prompts.Place(l.PromptBytes, err); ok {
			where = fmt.Sprintf("%s:%d:%d", where, line, column)
		}
		return fmt.Errorf("prompts: %s: %w", where, err)
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(l.Case.Profiles)) {
		for i, ph := range l.Case.Profiles[name] {
			for _, key := range ph.Prompts {
				if _, ok := l.Prompts.ByKey(key); !ok {
					all = append(all, &Problem{Key: fmt.Sprintf("profiles.%s[%d].prompts", name, i),
						Reason: fmt.Sprintf("unknown prompt %q; known prompts: %s", key,
							strings.Join(l.Prompts.Keys(), ", "))})
				}
			}
		}
	}
	return errors.Join(all...)
}
