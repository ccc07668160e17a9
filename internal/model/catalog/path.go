package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/infer/gguf"
	"github.com/hxp-enterprise/mixtral/internal/model/convert"
)

// openPath opens a file or a directory; for common mistakes its hint says what was probably meant.
func openPath(ctx context.Context, path string, options Options) (*Opened, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if to, e := os.Readlink(path); e == nil {
			return nil, &Error{Err: unusable{fmt.Errorf("it is a link to %s, which does not exist", to)}}
		}
		return nil, &Error{Err: fmt.Errorf("%w: the file does not exist", ErrRef), Hint: guess(path)}
	case err != nil:
		return nil, &Error{Err: unusable{err}}
	case info.IsDir():
		return openDirectory(ctx, path, options)
	}
	return openFile(path)
}

// openFile opens a GGUF file, or says what else it is.
func openFile(path string) (*Opened, error) {
	var known *convert.UnsupportedError
	if errors.As(convert.RefusedFile(path), &known) {
		return nil, &Error{Err: unusable{known}, Hint: known.Hint}
	}
	f, err := gguf.Open(path)
	if err != nil && cutFile.MatchString(filepath.Base(path)) {
		return nil, &Error{Err: unusable{err}, Hint: joinHint(path)}
	}
	if err != nil {
		return nil, &Error{Err: unusable{err}}
	}
	return &Opened{File: f, ID: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Path: path}, nil
}

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
		return "give the path of a .gguf file or of a model's directory, a name that mixtral model list " +
			"shows, synth:tiny, synth:nano or synth:mid for random weights, or demo for the built-in model"
	}
	return ""
}
