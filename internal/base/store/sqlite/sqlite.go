package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // the driver, in Go

	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/wait"
)

// Open opens or creates the file at path, and its directory if that is missing. Several processes may read and write:
// the file is in WAL mode, and a writer waits up to 5 s for another.
func Open(ctx context.Context, path string) (*store.DB, error) { return open(ctx, path, 5*time.Second) }

// open is Open with another patience and more pragmas.
func open(ctx context.Context, path string, patience time.Duration, pragmas ...string) (*store.DB, error) {
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
	db, err := sql.Open("sqlite", address(path, patience, pragmas))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err := ready(ctx, db, patience); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w: %w", path, store.ErrUnavailable, err)
	}
	s, err := store.New(ctx, db, store.SQLite, nil)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// address names the file and its pragmas to the driver. It has busy_timeout once, since the driver sorts them as text.
func address(path string, patience time.Duration, pragmas []string) string {
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: url.Values{
		"_pragma": append([]string{"journal_mode(WAL)", fmt.Sprintf("busy_timeout(%d)", patience.Milliseconds()),
			"foreign_keys(1)", "synchronous(NORMAL)"}, pragmas...),
		"_txlock": {"immediate"}, // a writer must not meet another one in the middle of its work
	}.Encode()}
	return u.String()
}

// ready makes the first connection, which brings a new file into WAL mode. SQLite does not wait for another writer
// there, whatever busy_timeout says: it holds a lock by then that the other may need.
func ready(ctx context.Context, db *sql.DB, patience time.Duration) error {
	const busy = 5 // SQLITE_BUSY, in the lowest byte of its kinds too
	for began := time.Now(); ; {
		err := db.PingContext(ctx)
		var why *sqlite.Error
		if !errors.As(err, &why) || why.Code()&0xff != busy || time.Since(began) >= patience {
			return err
		}
		if err := wait.For(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
