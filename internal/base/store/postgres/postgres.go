package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
)

// Open connects to a URL such as postgres://user:password@host:5432/database and brings the schema up to date. Errors
// about the URL never show the password.
func Open(ctx context.Context, url string) (*store.DB, error) {
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 5 * time.Second
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(4) // a log and a few readers: more would only use up the server's connections
	db.SetConnMaxIdleTime(time.Minute)
	s, err := store.New(ctx, db, store.Postgres, copier(db))
	if err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// Check says whether a URL can be that of a database, without connecting.
func Check(url string) error {
	_, err := parse(url)
	return err
}

func parse(url string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil { // pgx's own text may show the password
		return nil, errors.New("not a PostgreSQL URL; it must be postgres://user:password@host:port/database")
	}
	return cfg, nil
}

// copier inserts rows by COPY. Only if one of them exists already does it use the slower way, which leaves existing
// rows out.
func copier(db *sql.DB) store.Bulk {
	return func(ctx context.Context, table, unique string, columns []string, rows [][]any) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		defer conn.Close()
		return conn.Raw(func(driver any) error {
			c := driver.(*stdlib.Conn).Conn()
			_, err := c.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
			if code(err) == uniqueViolation {
				err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
					return copyNew(ctx, tx, table, unique, columns,
						rows)
				})
			}
			return refused(err)
		})
	}
}

// copyNew inserts the rows that do not exist yet, by way of a temporary table.
func copyNew(ctx context.Context, tx pgx.Tx, table, unique string, columns []string, rows [][]any) error {
	const fresh = "fresh_rows"
	if _, err := tx.Exec(ctx, "CREATE TEMPORARY TABLE "+fresh+" (LIKE "+table+") ON COMMIT DROP"); err != nil {
		return err
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{fresh}, columns, pgx.CopyFromRows(rows)); err != nil {
		return err
	}
	names := strings.Join(columns, ", ")
	_, err := tx.Exec(ctx, "INSERT INTO "+table+" ("+names+") SELECT "+names+" FROM "+fresh+" ON CONFLICT "+
		"("+unique+") DO NOTHING")
	return err
}

// uniqueViolation is PostgreSQL's code for a value that already exists in a unique index.
const uniqueViolation = "23505"

// code returns PostgreSQL's code of an error; empty for any other error.
func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// refused marks errors about the rows themselves: PostgreSQL's classes 22 (data exception) and 23 (integrity
// constraint violation).
func refused(err error) error {
	if class := code(err); strings.HasPrefix(class, "22") || strings.HasPrefix(class, "23") {
		return fmt.Errorf("%w: %w", store.ErrRefused, err)
	}
	return err
}
