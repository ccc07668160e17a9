package npm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
)

// TestInstallTriesAgain: a download that fails or stands still is tried again, and what is installed is not installed
// twice. The npm here is a script.
func TestInstallTriesAgain(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		need.Missing(t, "no shell: %v", err)
	}
	dir, bin := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\necho $* >> calls\nmkdir -p node_modules\n" +
		"test $(wc -l < calls) -ge 3 || { echo no network; exit 1; }\n"
	for path, text := range map[string]string{filepath.Join(bin, "npm"): script,
		filepath.Join(dir, "package-lock.json"): "{}"} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	for range 2 {
		if err := Install(t.Context(), dir, "--omit=optional"); err != nil {
			t.Fatal(err)
		}
	}
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	const call = "ci --no-audit --no-fund --ignore-scripts --omit=optional\n"
	if err != nil || string(calls) != strings.Repeat(call, 3) {
		t.Errorf("npm was called so: %q, %v; want three times %q", calls, err, call)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(dir, "node_modules"))
	if err := Install(ctx, dir); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("one that stands still: %v", err)
	}
}
