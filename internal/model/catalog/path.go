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
		return nil, &Error{Err: unusable{err}}
	case info.IsDir():
		file, err := inDirectory(path)
		if err != nil {
			return nil, err
		}
		path = file
	}
	f, err := gguf.Open(path)
	if err != nil {
		hint := ""
		switch ext := strings.ToLower(filepath.Ext(path)); ext {
		case ".safetensors", ".bin", ".pt", ".pth":
			hint = convertHint
		}
		return nil, &Error{Err: unusable{err}, Hint: hint}
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
