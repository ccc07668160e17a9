package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
)

// openPath opens a file; for common mistakes its hint says what was probably meant.
func openPath(path string) (*Opened, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &Error{Err: fmt.Errorf("%w: the file does not exist", ErrRef), Hint: guess(path)}
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrRef, err)
	case info.IsDir():
		return nil, directory(path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		hint := ""
		switch ext := strings.ToLower(filepath.Ext(path)); ext {
		case ".safetensors", ".bin", ".pt", ".pth":
			hint = convertHint
		}
		return nil, &Error{Err: fmt.Errorf("%w: %w", ErrRef, err), Hint: hint}
	}
	return &Opened{File: f, ID: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Path: path}, nil
}

const convertHint = "models are read from GGUF files: mixtral model quantize DIRECTORY --type q4_k_m --out " +
	"FILE.gguf makes one"

// hubName is how model hubs name repositories: one slash, no extension.
var hubName = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$`)

func guess(path string) string {
	switch lower := strings.ToLower(path); {
	case strings.Contains(path, "://"):
		return "models are read from local files: mixtral model pull URL downloads one"
	case strings.HasSuffix(lower, ".gguf"):
		return ""
	case hubName.MatchString(path):
		return "that looks like a repository on a model hub: mixtral model pull hf://" + path +
			" downloads its files"
	case !strings.ContainsAny(path, `/\.`):
		return "give a .gguf file's path, a name that mixtral model list shows, synth:tiny, synth:nano or " +
			"synth:mid for random weights, or demo for the built-in model"
	}
	return ""
}

// directory explains why a directory is not a model.
func directory(path string) error {
	found := func(pattern string) []string {
		names, _ := filepath.Glob(filepath.Join(globEscape(path), pattern))
		return names
	}
	e := &Error{Err: fmt.Errorf("%w: it is a directory", ErrRef)}
	if files := found("*.gguf"); len(files) > 0 {
		e.Hint = "did you mean " + files[0] + "?"
	} else if len(found("*.safetensors")) > 0 || len(found("pytorch_model*.bin")) > 0 {
		e.Hint = convertHint
	}
	return e
}

// globEscape makes a path match itself only.
func globEscape(path string) string {
	return regexp.MustCompile(`[*?[\\]`).ReplaceAllString(path, `\$0`)
}
