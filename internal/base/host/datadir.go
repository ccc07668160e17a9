package host

import (
	"errors"
	"fmt"
	"path/filepath"
)

// ErrNoHome is matched when the environment names no directory for a user's files.
var ErrNoHome = errors.New("no home directory")

// DataDir is the directory for files that must not be lost, which are models and the database: mixtral below
// $XDG_DATA_HOME, or below ~/.local/share. It need not exist. A relative $XDG_DATA_HOME is ignored, as the XDG Base
// Directory Specification requires. getenv is os.Getenv, or a test's function.
func DataDir(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mixtral"), nil
	}
	for _, name := range []string{"HOME", "USERPROFILE"} { // the second is the variable of Windows
		if home := getenv(name); filepath.IsAbs(home) {
			return filepath.Join(home, ".local", "share", "mixtral"), nil
		}
	}
	return "", fmt.Errorf("%w: set HOME or XDG_DATA_HOME to an absolute path", ErrNoHome)
}
