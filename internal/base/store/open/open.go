package open

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/postgres"
	"github.com/hxp-enterprise/mixtral/internal/base/store/sqlite"
)

// None is the URL that means no database.
const None = "none"

var (
	// ErrURL is matched by errors about a URL that no driver supports.
	ErrURL = errors.New("unusable database URL")
	// ErrNoFile is matched when an SQLite file does not exist.
	ErrNoFile = errors.New("no database file")
)

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

// Existing is DB without creating a file: the error matches ErrNoFile if there is none yet.
func Existing(ctx context.Context, raw string) (*store.DB, error) {
	scheme, rest, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if scheme == "sqlite" {
		if _, err := os.Stat(rest); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s", ErrNoFile, rest)
		}
	}
	return DB(ctx, raw)
}

// Name describes the database of a URL, without its password.
func Name(raw string) string {
	scheme, rest, err := parse(raw)
	switch {
	case err != nil:
		return "the database"
	case scheme == "sqlite":
		return rest
	}
	u, err := url.Parse(rest)
	if err != nil {
		return "PostgreSQL" // pgx accepts more than url.Parse does
	}
	return Redact(*u)
}

// Redact shows a database's URL without the parts that may contain a password: the user's, the query, the fragment.
func Redact(u url.URL) string {
	u.RawQuery, u.Fragment = "", ""
	return u.Redacted()
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
			return "", "", fmt.Errorf("%w: must be postgres://user:password@host:port/database", ErrURL)
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
	// not shown: it may contain a password
	return "", "", fmt.Errorf("%w: must be postgres://user:password@host:port/database or sqlite:///path", ErrURL)
}

// defaultPath is mixtral.db in the user's data directory.
func defaultPath() (string, error) {
	dir, err := host.DataDir(os.Getenv)
	if err != nil {
		return "", fmt.Errorf("%w: nowhere to put the default file: %w", ErrURL, err)
	}
	return filepath.Join(dir, "mixtral.db"), nil
}
