package catalog

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/model/hub"
)

//go:embed names.yaml
var namesYAML []byte

// Known is a model of the catalogue.
type Known struct {
	Name       string            `yaml:"name" json:"name"`
	Title      string            `yaml:"title" json:"title"`
	License    string            `yaml:"license" json:"license"`
	Repository string            `yaml:"repository" json:"repository"`   // OWNER/REPO on the hub
	File       string            `yaml:"file" json:"file,omitempty"`     // empty: safetensors, to be quantised
	Types      []string          `yaml:"types" json:"types,omitempty"`   // the first is the default
	SHA256     map[string]string `yaml:"sha256" json:"sha256,omitempty"` // of types whose checksum is published
	Type       string            `yaml:"-" json:"-"`                     // the one asked for
}

// Names lists the catalogue.
var Names = sync.OnceValue(func() []Known {
	models, err := parseNames(namesYAML)
	if err != nil {
		panic(err) // TestNames holds the embedded file to this
	}
	return models
})

var (
	modelName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)
	hexSum    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// parseNames reads the catalogue, strictly.
func parseNames(data []byte) ([]Known, error) {
	var c struct {
		Models []Known `yaml:"models"`
	}
	if err := yaml.UnmarshalWithOptions(data, &c, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	seen := map[string]bool{}
	for _, k := range c.Models {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("catalogue: %s: %s", k.Name, fmt.Sprintf(format, args...))
		}
		switch _, err := hub.ParseRef("hf://" + k.Repository); {
		case !modelName.MatchString(k.Name) || seen[k.Name] || k.Name == demoRef:
			return nil, bad("the name is malformed or used twice")
		case err != nil:
			return nil, bad("repository: %v", err)
		case k.Title == "" || k.License == "":
			return nil, bad("title and license are missing")
		case (k.File == "") != (len(k.Types) == 0), k.File != "" && !strings.Contains(k.File, "{TYPE}"):
			return nil, bad("file with {TYPE} and types go together")
		}
		for typ, sum := range k.SHA256 {
			if !slices.Contains(k.Types, typ) || !hexSum.MatchString(sum) {
				return nil, bad("sha256 of %s", typ)
			}
		}
		seen[k.Name] = true
	}
	return c.Models, nil
}

// Lookup finds NAME or NAME:TYPE in the catalogue. ok is false for a reference that is not a name of it; a known name
// with an unknown type is an error.
func Lookup(ref string) (k Known, ok bool, err error) {
	name, typ, typed := strings.Cut(strings.ToLower(ref), ":")
	for _, k := range Names() {
		if k.Name != name {
			continue
		}
		switch {
		case typed && !slices.Contains(k.Types, typ):
			e := &Error{Ref: ref, Err: fmt.Errorf("%w: %s has no type %q", ErrRef, name, typ),
				Hint: "its types are " + strings.Join(k.Types, ", ")}
			if len(k.Types) == 0 {
				e.Hint = "it is pulled as it is, and quantised afterwards: mixtral model quantize --type " + typ
			}
			return k, true, e
		case typed:
			k.Type = typ
		case len(k.Types) > 0:
			k.Type = k.Types[0]
		}
		return k, true, nil
	}
	return k, false, nil
}

// Ref is where the model comes from.
func (k Known) Ref() hub.Ref {
	owner, repo, _ := strings.Cut(k.Repository, "/")
	return hub.Ref{Owner: owner, Repo: repo, Revision: "main"}
}

// fileName is the file's name if it is not split.
func (k Known) fileName() string {
	return strings.ReplaceAll(k.File, "{TYPE}", strings.ToUpper(k.Type))
}

// pattern matches the model's files in the repository: one, or the parts of a split one, in whatever directory.
func (k Known) pattern() *regexp.Regexp {
	stem := strings.TrimSuffix(k.fileName(), ".gguf")
	return regexp.MustCompile(`(?i)^(?:.*/)?` + regexp.QuoteMeta(stem) + `(?:-(\d{5})-of-(\d{5}))?\.gguf$`)
}

// Choose picks the model's GGUF files from a repository's. A checksum that differs from the catalogue's is an
// hub.ErrChecksum. Of a model without GGUF files, hub.Client.Choose picks the files.
func (k Known) Choose(all []hub.File) ([]hub.File, error) {
	var chosen []hub.File
	for _, f := range all {
		if k.pattern().MatchString(f.Path) {
			chosen = append(chosen, f)
		}
	}
	want := k.SHA256[k.Type]
	switch {
	case len(chosen) == 0:
		return nil, fmt.Errorf("%w: %s holds no %s of type %s", hub.ErrNotFound, k.Ref(), k.Name, k.Type)
	case want != "" && len(chosen) == 1:
		if chosen[0].SHA256 != "" && chosen[0].SHA256 != want {
			return nil, fmt.Errorf("%w: %s: the hub reports %s, the catalogue has %s", hub.ErrChecksum, chosen[0].Path,
				chosen[0].SHA256, want)
		}
		chosen[0].SHA256 = want
	}
	return chosen, nil
}

// Dir is where pulled files of a repository are.
func Dir(getenv func(string) string, r hub.Ref) (string, error) {
	dir, err := host.DataDir(getenv)
	if err != nil {
		return "", fmt.Errorf("no directory for models: %w", err)
	}
	return filepath.Join(dir, "models", r.Owner, r.Repo), nil
}

// Find gives the path of the pulled model, the first part of a split one; false if it is not here whole. A model that
// is to be quantised has none.
func (k Known) Find(getenv func(string) string) (string, bool) {
	dir, err := Dir(getenv, k.Ref())
	if err != nil || k.File == "" {
		return "", false
	}
	if p, ok := hub.Cached(hub.CacheRoot(getenv), k.Ref(), k.fileName()); ok {
		return p, true // Hugging Face's own tools brought it
	}
	var first string
	parts := map[string]bool{}
	count := 0
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // unreadable is not here
		}
		m := k.pattern().FindStringSubmatch(path.Base(filepath.ToSlash(p)))
		switch {
		case m == nil:
		case m[1] == "" && first == "":
			first, count = p, 0
			return filepath.SkipAll
		case m[1] != "":
			parts[m[1]] = true
			fmt.Sscanf(m[2], "%d", &count)
			if m[1] == "00001" {
				first = p
			}
		}
		return nil
	})
	return first, first != "" && len(parts) >= count
}

// openNamed opens a pulled model by its name.
func openNamed(ctx context.Context, k Known, options Options) (*Opened, error) {
	if k.File == "" {
		return openWeights(ctx, k, options)
	}
	p, ok := k.Find(os.Getenv)
	full := k.Name + ":" + k.Type
	if !ok {
		return nil, &Error{Err: fmt.Errorf("%w: %s is not on this machine", ErrRef, full),
			Hint: "mixtral model pull " + full}
	}
	o, err := openFile(p)
	if err == nil {
		o.ID = full
	}
	return o, err
}

// openWeights opens a pulled model in safetensors.
func openWeights(ctx context.Context, k Known, options Options) (*Opened, error) {
	dir, _ := Dir(os.Getenv, k.Ref()) // without a home there is still the cache
	paths, err := hub.Local(hub.CacheRoot(os.Getenv), dir, k.Ref())
	if err != nil {
		return nil, &Error{Err: fmt.Errorf("%w: %s is not on this machine, or not all of it", ErrRef, k.Name),
			Hint: "mixtral model pull " + k.Name}
	}
	o, err := openPath(ctx, filepath.Dir(paths[0]), options)
	if err == nil {
		o.ID = k.Name
	}
	return o, err
}
