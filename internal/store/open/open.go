// Package open turns a database URL into an open store: it is where the drivers are chosen. It must not import anything
// of this module but the store.
package open

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/store"
	"github.com/hxp-enterprise/mixtral/internal/store/postgres"
	"github.com/hxp-enterprise/mixtral/internal/store/sqlite"
)

// ErrURL is matched by errors about a URL that no driver takes.
var ErrURL = errors.New("unusable database URL")

// Check says whether a URL can be used, without connecting. The empty URL is the default.
func Check(raw string) error {
	_, _, err := parse(raw)
	return err
}

// DB opens postgres://…, postgresql://… or sqlite:PATH; the empty URL is a file in the user's data directory.
func DB(ctx context.Context, raw string) (*store.DB, error) {
	scheme, rest, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if scheme == "postgres" {
		return postgres.Open(ctx, rest)
	}
	return sqlite.Open(ctx, rest)
}

func parse(raw string) (scheme, rest string, err error) {
	if raw == "" {
		path, err := defaultPath()
		return "sqlite", path, err
	}
	scheme, rest, ok := strings.Cut(raw, ":")
	switch {
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		if !strings.HasPrefix(rest, "//") {
			return "", "", fmt.Errorf("%w: want postgres://user:password@host:port/database", ErrURL)
		}
		if err := postgres.Check(raw); err != nil {
			return "", "", fmt.Errorf("%w: %w", ErrURL, err)
		}
		return "postgres", raw, nil
	case ok && scheme == "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return "", "", fmt.Errorf("%w: sqlite: needs a path, as in sqlite:///var/lib/mixtral/mixtral.db", ErrURL)
		}
		return "sqlite", path, nil
	}
	return "", "", fmt.Errorf("%w: want postgres://user:password@host:port/database or sqlite:///path", ErrURL) // not shown: it may hold a password
}

// defaultPath is $XDG_DATA_HOME/mixtral/mixtral.db, or below ~/.local/share.
func defaultPath() (string, error) {
	dir := os.Getenv("XDG_DATA_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("%w: no home directory for the default file: %w", ErrURL, err)
		}
		dir = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(dir, "mixtral", "mixtral.db"), nil
}
