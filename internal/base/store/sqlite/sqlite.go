package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver, in Go

	"github.com/hxp-enterprise/mixtral/internal/base/store"
)

// Open opens or creates the file at path, and its directory if that is missing. Several processes may read and write:
// the file is in WAL mode, and a writer waits up to 5 s for another.
func Open(ctx context.Context, path string) (*store.DB, error) { return open(ctx, path) }

// open is Open with more pragmas.
func open(ctx context.Context, path string, pragmas ...string) (*store.DB, error) {
	if dir := filepath.Dir(path); dir != "." {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	// Only its owner may read it: it says who asked for what, and may contain prompts. SQLite gives its other files
	// the same mode.
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		f.Close()
	}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{
		"_pragma": append([]string{"journal_mode(WAL)", "busy_timeout(5000)", "foreign_keys(1)",
			"synchronous(NORMAL)"}, pragmas...),
		"_txlock": {"immediate"}, // a writer must not meet another one in the middle of its work
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	s, err := store.New(ctx, db, store.SQLite, nil)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}
