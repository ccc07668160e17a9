package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// PutResponse stores an answer that later requests may continue, as JSON. owner is the name of the API key of the
// request; empty if no key was needed.
func (d *DB) PutResponse(ctx context.Context, owner, id string, created time.Time, body []byte) error {
	_, err := d.sql.ExecContext(ctx, insertText("responses", []string{"owner", "id", "created_us", "body"}),
		clean(owner), clean(id), micros(created), clean(string(body)))
	if err != nil {
		return fmt.Errorf("keep response: %w", err)
	}
	return nil
}

// Response returns a stored answer of an owner. Errors match ErrNotFound if there is none.
func (d *DB) Response(ctx context.Context, owner, id string) (body []byte, err error) {
	err = d.sql.QueryRowContext(ctx, "SELECT body FROM responses WHERE owner = $1 AND id = $2", clean(owner),
		clean(id)).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("response: %w", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	return body, nil
}

// DeleteResponse deletes a stored answer of an owner. Errors match ErrNotFound if there is none.
func (d *DB) DeleteResponse(ctx context.Context, owner, id string) error {
	res, err := d.sql.ExecContext(ctx, "DELETE FROM responses WHERE owner = $1 AND id = $2", clean(owner), clean(id))
	if err != nil {
		return fmt.Errorf("delete response: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return fmt.Errorf("response: %w", ErrNotFound)
}
