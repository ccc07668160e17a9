package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

var (
	// ErrNotFound is matched when the database does not have what was asked for.
	ErrNotFound = errors.New("not in the database")
	// ErrUnavailable is matched when the database cannot be reached, or refuses the credentials.
	ErrUnavailable = errors.New("database unavailable")
	// ErrRefused is matched when the database works and does not accept a row: it would not accept it another time
	// either.
	ErrRefused = errors.New("refused by the database")
	// ErrAmbiguous is matched when an abbreviated id belongs to several runs.
	ErrAmbiguous = errors.New("more than one run begins so")
)

//go:embed migrations/*.sql
var migrations embed.FS

// Dialects of SQL that the schema is written for.
const (
	Postgres = goose.DialectPostgres
	SQLite   = goose.DialectSQLite3
)

// Bulk inserts rows of a table in the driver's fastest way. It is atomic. A row whose value in the column unique
// exists already is left out.
type Bulk func(ctx context.Context, table, unique string, columns []string, rows [][]any) error

// DB is an open database whose schema is current. It is safe for concurrent use.
type DB struct {
	sql  *sql.DB
	bulk Bulk
}

// New brings the schema of an open database up to date. bulk may be nil: then rows are inserted one by one in a
// transaction.
func New(ctx context.Context, db *sql.DB, dialect goose.Dialect, bulk Bulk) (*DB, error) {
	if err := db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	// Not verbose: goose's lines would appear between a command's results.
	p, err := goose.NewProvider(dialect, db, dir)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if err := migrate(ctx, p); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	d := &DB{sql: db, bulk: bulk}
	if bulk == nil {
		d.bulk = d.insertEach
	}
	return d, nil
}

// migrate brings the schema up to date. Each step is a transaction. If several programs open a new database at the
// same moment, one of them makes the schema; the others fail, and find it when they look again.
func migrate(ctx context.Context, p *goose.Provider) (err error) {
	for try := range 5 {
		if _, err = p.Up(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(try+1) * 50 * time.Millisecond):
		}
	}
	return err
}

// Close closes the connections; a second Close does nothing.
func (d *DB) Close() error { return d.sql.Close() }

// inTx runs f in a transaction.
func (d *DB) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.sql.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// insertEach is the Bulk for drivers that have none.
func (d *DB) insertEach(ctx context.Context, table, unique string, columns []string, rows [][]any) error {
	return d.inTx(ctx, func(tx *sql.Tx) error {
		s, err := tx.PrepareContext(ctx, insertText(table, columns)+" ON CONFLICT ("+unique+") DO NOTHING")
		if err != nil {
			return err
		}
		defer s.Close()
		for _, row := range rows {
			if _, err := s.ExecContext(ctx, row...); err != nil {
				return err
			}
		}
		return nil
	})
}

func insertText(table string, columns []string) string {
	names, marks := "", ""
	for i, c := range columns {
		if i > 0 {
			names, marks = names+", ", marks+", "
		}
		names += c
		marks += fmt.Sprintf("$%d", i+1)
	}
	return "INSERT INTO " + table + " (" + names + ") VALUES (" + marks + ")"
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// clean makes a text that every database accepts: PostgreSQL refuses NUL and invalid UTF-8, and a name from a client
// may contain either.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
