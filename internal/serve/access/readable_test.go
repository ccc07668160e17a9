package access

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// TestWarnReadable: the log warns of a file with secrets that others can read, and of no other.
func TestWarnReadable(t *testing.T) {
	if runtime.GOOS == "windows" {
		need.Missing(t, "permissions of files")
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("a key-of-a-0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{0o600: "", 0o400: "", 0o640: "", 0o440: "", 0o644: "read",
		0o604: "read", 0o620: "change", 0o666: "change", 0o777: "change"} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if _, err := OpenCallers(path, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		got := log.String()
		if (got != "") != (want != "") || !strings.Contains(got, want) || want != "" && (!strings.Contains(got,
			fmt.Sprintf("mode=%#o", mode)) || !strings.Contains(got, "api_key_file")) {
			t.Errorf("%#o: %q, want a warning: %q", mode, got, want)
		}
	}
	WarnReadable(slog.Default(), "x", filepath.Join(t.TempDir(), "none"))
}
