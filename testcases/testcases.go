// Package testcases holds the test cases that are compiled in, and reads others from files. It must not import
// anything that runs a case.
package testcases

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// Default is the case that certify runs when none is named.
const Default = "TC-L1-COMP-MIXTRAL-003"

// ErrNotFound is matched when a name is neither a compiled-in case nor a file.
var ErrNotFound = errors.New("no such test case")

//go:embed */case.yaml
var builtin embed.FS

// List names the compiled-in cases.
func List() []string {
	files, err := fs.Glob(builtin, "*/case.yaml")
	if err != nil {
		panic("testcases: " + err.Error()) // only a broken pattern
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, "/case.yaml")
	}
	slices.Sort(files)
	return files
}

// Loaded is a case with what it refers to, and the bytes that its fingerprints are taken of.
type Loaded struct {
	Case        *Case
	Source      []byte
	Prompts     *prompts.Set
	PromptBytes []byte
}

// Load reads a compiled-in case by its id, or a case file by its path, and its prompts. Every prompt that a phase
// names must exist. Errors match ErrNotFound, ErrInvalid or prompts.ErrInvalid.
func Load(ref string) (*Loaded, error) {
	if ref == "" {
		ref = Default
	}
	l, dir := &Loaded{}, ""
	var err error
	if slices.Contains(List(), ref) {
		l.Source, err = builtin.ReadFile(ref + "/case.yaml")
	} else {
		dir = filepath.Dir(ref)
		l.Source, err = os.ReadFile(ref)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %q is no file, and the compiled-in ones are %s", ErrNotFound, ref,
			strings.Join(List(), ", "))
	}
	if err != nil {
		return nil, err
	}
	if l.Case, err = Parse(l.Source); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	if err := l.LoadPrompts(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return l, nil
}

// LoadPrompts reads the prompt file that the case names, relative to dir.
func (l *Loaded) LoadPrompts(dir string) (err error) {
	l.PromptBytes = prompts.Builtin()
	if name := l.Case.Prompts; name != "builtin" {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		if l.PromptBytes, err = os.ReadFile(name); err != nil {
			return &Problem{Key: "prompts", Reason: err.Error()}
		}
	}
	if l.Prompts, err = prompts.Load(l.PromptBytes); err != nil {
		return fmt.Errorf("prompts: %w", err)
	}
	for name, phases := range l.Case.Profiles {
		for i, ph := range phases {
			for _, key := range ph.Prompts {
				if _, ok := l.Prompts.ByKey(key); !ok {
					return &Problem{Key: fmt.Sprintf("profiles.%s[%d].prompts", name, i),
						Reason: fmt.Sprintf("there is no prompt %q; there are %s", key,
							strings.Join(l.Prompts.Keys(), ", "))}
				}
			}
		}
	}
	return nil
}
