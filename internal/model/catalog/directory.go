package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/infer/engine"
	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// unusable is an ErrRef about something that is there: its text is the cause alone.
type unusable struct{ err error }

func (u unusable) Error() string        { return u.err.Error() }
func (u unusable) Unwrap() error        { return u.err }
func (u unusable) Is(target error) bool { return target == ErrRef }

// Locate gives what a directory's model is to be converted from: the path of a GGUF file, or the directory itself. A
// path of anything else is given back. Errors are *Error.
func Locate(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return path, nil // whoever opens it says what is wrong
	}
	dir := snapshotOf(path)
	models, err := ggufModels(dir)
	switch {
	case err != nil:
		return "", &Error{Ref: path, Err: unusable{err}}
	case len(models) == 0:
		return dir, nil
	case len(models) > 1:
		e := several(models)
		e.Ref = path
		return "", e
	}
	return models[0], nil
}

// openDirectory opens the model of a directory: of a GGUF file, or of safetensors.
func openDirectory(ctx context.Context, path string, options Options) (*Opened, error) {
	dir := snapshotOf(path)
	models, err := ggufModels(dir)
	if err != nil {
		return nil, &Error{Err: unusable{err}}
	}
	weights, _ := filepath.Glob(filepath.Join(globEscape(dir), "*.safetensors"))
	if options.QuantizeTo != "" && len(models) > 0 {
		if models = ofType(models, options.QuantizeTo); len(models) == 0 && len(weights) == 0 {
			return nil,
				&Error{Err: unusable{fmt.Errorf("the directory has no GGUF file of type %s, and no safetensors to "+
					"make one of", options.QuantizeTo)},
					Hint: "leave out quantize_to, or make the file: mixtral model quantize"}
		}
	}
	switch {
	case len(models) == 1:
		if len(weights) > 0 {
			options.say("the directory holds safetensors too; taking %s", filepath.Base(models[0]))
		}
		return openFile(models[0])
	case len(models) > 1:
		return largest(models, options)
	}
	var refused *convert.UnsupportedError
	if errors.As(convert.Refused(dir), &refused) {
		return nil, &Error{Err: unusable{errors.New(refused.What)}, Hint: refused.Hint}
	}
	if len(weights) > 0 && options.Describe {
		return openSketch(dir, nameOf(path), options)
	}
	if len(weights) > 0 {
		return openConverted(ctx, dir, nameOf(path), options)
	}
	return nil, &Error{Err: unusable{errors.New("the directory holds no model")}, Hint: instead(dir)}
}

// instead says what to do with a directory without a model.
func instead(dir string) string {
	entries, _ := os.ReadDir(dir) // it was read before
	var cut, folders []string
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".part"):
			return "it holds unfinished files: run the same mixtral model pull again, it continues"
		case cutFile.MatchString(name):
			cut = append(cut, name)
		case e.IsDir() && !strings.HasPrefix(name, "."):
			if models, err := ggufModels(filepath.Join(dir, name)); err == nil && len(models) > 0 {
				folders = append(folders, filepath.Join(dir, name))
			}
		}
	}
	switch {
	case len(cut) > 0:
		return joinHint(filepath.Join(dir, cut[0]))
	case len(folders) > 0:
		return "models are in folders of it, name one of them: " + strings.Join(folders[:min(len(folders), 3)], ", ")
	}
	return "models are GGUF files, or directories with one, or with safetensors, config.json and a tokenizer"
}

// cutFile is the name of a piece of a file that was cut for its size, without regard to its contents.
var cutFile = regexp.MustCompile(
	`(?i)^(.+\.gguf)[-._](?:split-?|part-?)?(?:[a-z]{1,2}|\d{1,3}|\d{1,3}of\d{1,3})$`)

// joinHint says how to join the pieces of which path is one.
func joinHint(path string) string {
	dir, whole := filepath.Dir(path), cutFile.FindStringSubmatch(filepath.Base(path))[1]
	entries, _ := os.ReadDir(dir) // sorted
	var pieces []string
	for _, e := range entries {
		if m := cutFile.FindStringSubmatch(e.Name()); m != nil && m[1] == whole {
			pieces = append(pieces, filepath.Join(dir, e.Name()))
		}
	}
	return fmt.Sprintf("the file was cut into pieces: cat %s > %s joins them", strings.Join(pieces, " "),
		filepath.Join(dir, whole))
}

// laterPart is the name of a split model's part that is not its first.
var laterPart = regexp.MustCompile(`-(\d{5})-of-\d{5}\.gguf$`)

// ggufModels gives the model files of a directory, the first parts of split ones, by name.
func ggufModels(dir string) (models []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		name := e.Name()
		if !strings.EqualFold(filepath.Ext(name), ".gguf") || strings.HasPrefix(name, ".") ||
			strings.HasPrefix(name, "mmproj") ||
			strings.Contains(name, "imatrix") || e.IsDir() {
			continue
		}
		if m := laterPart.FindStringSubmatch(name); m == nil || m[1] == "00001" {
			models = append(models, filepath.Join(dir, name))
		}
	}
	return models, err
}

// typeName is the type in a GGUF file's name, such as Q4_K_M.
var typeName = regexp.MustCompile(`(?i)[-._](?:i1-|ud-)?(?:i?q[1-8](?:_[0-9a-z]{1,3}){0,2}|bf16|f16|f32|fp16)$`)

// stem gives a model's name without its type, and without what marks a part.
func stem(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	name = regexp.MustCompile(`-\d{5}-of-\d{5}$`).ReplaceAllString(name, "")
	return strings.ToLower(typeName.ReplaceAllString(name, ""))
}

// ofType keeps the models whose files say that they are of a type.
func ofType(models []string, typ string) (kept []string) {
	for _, path := range models {
		o, err := openFile(path)
		if err != nil {
			continue
		}
		if convert.MixOf(o.File.Uint32Or("general.file_type", 1<<31)) == fullName(typ) {
			kept = append(kept, path)
		}
		o.Close()
	}
	return kept
}

// fullName gives a mix's own name for a short or differently written one.
func fullName(typ string) string {
	m, err := convert.ParseMix(typ)
	if err != nil {
		return typ
	}
	return m.Name
}

func several(models []string) *Error {
	return &Error{Err: unusable{fmt.Errorf("the directory holds %d models", len(models))},
		Hint: "name one of them: " + strings.Join(models[:min(len(models), 3)], ", ")}
}

// largest opens, of several types of one model, the largest that fits into memory; of several models it opens none.
func largest(models []string, options Options) (*Opened, error) {
	if slices.ContainsFunc(models, func(m string) bool { return stem(m) != stem(models[0]) }) {
		return nil, several(models)
	}
	type candidate struct {
		path string
		need int64
	}
	var all []candidate
	for _, path := range models {
		o, err := openFile(path)
		if err != nil {
			return nil, err
		}
		info, err := moe.Describe(o.File)
		if err = errors.Join(err, o.Close()); err != nil {
			return nil, &Error{Err: unusable{fmt.Errorf("%s: %w", path, err)}}
		}
		context := cmp.Or(options.Context, info.Context)
		all = append(all, candidate{path, engine.FootprintOf(info, options.KVType, context).Need(1)})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.need, a.need) })
	limit, bound := options.limit()
	chosen := all[len(all)-1]
	why := fmt.Sprintf("the smallest; none fits what %s allows", bound)
	for _, c := range all {
		if limit == 0 || c.need <= limit {
			chosen, why = c, fmt.Sprintf("the largest that fits what %s allows", bound)
			break
		}
	}
	options.say("the directory holds %d types of the model; taking %s, %s", len(all), filepath.Base(chosen.path), why)
	return openFile(chosen.path)
}

// limit is what serving may take, and what sets it; 0 where nobody knows.
func (o *Options) limit() (int64, string) {
	most, bound := host.Read().MemoryBound()
	if o.Memory > 0 && (most <= 0 || o.Memory < most) {
		return o.Memory, "memory_limit_gb"
	}
	return most, bound
}

// snapshotOf gives the files' directory where path is a repository in the cache of Hugging Face's own tools.
func snapshotOf(path string) string {
	commit, err := bounded.File(filepath.Join(path, "refs", "main"), 1<<10)
	if err != nil {
		return path
	}
	dir := filepath.Join(path, "snapshots", filepath.Base(strings.TrimSpace(string(commit))))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return path
	}
	return dir
}

// nameOf is what people call a directory: in the cache of Hugging Face's own tools, the repository.
func nameOf(dir string) string {
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	name := filepath.Base(dir)
	if filepath.Base(filepath.Dir(dir)) == "snapshots" {
		name = filepath.Base(filepath.Dir(filepath.Dir(dir)))
	}
	if rest, ok := strings.CutPrefix(name, "models--"); ok {
		if _, repo, ok := strings.Cut(rest, "--"); ok {
			return repo
		}
	}
	return name
}

// globEscape makes a path match itself only.
func globEscape(path string) string {
	return regexp.MustCompile(`[*?[\\]`).ReplaceAllString(path, `\$0`)
}
