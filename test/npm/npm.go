package npm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/filelock"
)

const (
	// A download that stands still is never given up by npm itself. What has come is in its cache, and the next try
	// goes on from there. The largest set takes 70 s on two cores that do other work too. Where they do much of it,
	// each try ends too early, so each has twice the time of the one before.
	tries   = 3
	longest = 2 * time.Minute // the first
)

// Install brings what dir/package-lock.json names into dir/node_modules, unless that was done for this very file.
// flags are those of `npm ci`. Several processes may call it at once.
func Install(ctx context.Context, dir string, flags ...string) error {
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return err
	}
	held, err := filelock.Acquire(ctx, filepath.Join(dir, "node_modules.lock"), nil)
	if err != nil {
		return err
	}
	defer held.Release()
	stamp := filepath.Join(dir, "node_modules", ".lock")
	if have, err := os.ReadFile(stamp); err == nil && string(have) == string(lock) {
		return nil
	}
	for n := range tries {
		if err = try(ctx, dir, longest<<n, flags); err == nil {
			return os.WriteFile(stamp, lock, 0o644)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return err
}

func try(ctx context.Context, dir string, within time.Duration, flags []string) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", append([]string{"ci", "--no-audit", "--no-fund", "--ignore-scripts"},
		flags...)...)
	cmd.Dir, cmd.WaitDelay = dir, time.Second // npm's own children may hold its output open
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
