package access

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
)

// WarnReadable logs a warning if a file with secrets can be read or changed by users of this machine who are neither
// its owner nor in its group. what is the configuration key that names the file.
func WarnReadable(log *slog.Logger, what, path string) {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" { // its reader reports errors; Windows has other permissions
		return
	}
	const others, writers = 0o007, 0o022
	mode := info.Mode().Perm()
	can := ""
	switch {
	case mode&writers != 0:
		can = "change"
	case mode&others != 0:
		can = "read"
	default:
		return
	}
	log.Warn("other users of this machine can "+can+" a file with secrets: chmod 600 it, or 640 for a group",
		"key", what, "file", path, "mode", fmt.Sprintf("%#o", mode))
}
