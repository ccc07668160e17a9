package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Request is a line of the service's request log. It has no prompt text unless the operator asked for it.
type Request struct {
	ID           string
	Received     time.Time
	Endpoint     string // "/v1/chat/completions"
	Model        string
	Key          string // the API key's name, never the key
	Status       int    // HTTP
	Finish       string
	Streamed     bool
	PromptTokens int
	OutputTokens int
	CachedTokens int
	Queue        time.Duration // from reception to the first step
	First        time.Duration // from reception to the first token; 0: none
	Total        time.Duration
	Prompt       *string
}

var requestColumns = []string{"id", "received_us", "endpoint", "model", "key_name", "status", "finish", "streamed", "prompt_tokens",
	"completion_tokens", "cached_tokens", "queue_us", "first_us", "total_us", "prompt"}

// AddRequests appends to the request log, all or nothing.
func (d *DB) AddRequests(ctx context.Context, list []Request) error {
	if len(list) == 0 {
		return nil
	}
	rows := make([][]any, len(list))
	for i, r := range list {
		rows[i] = []any{r.ID, micros(r.Received), r.Endpoint, r.Model, r.Key, r.Status, r.Finish, flag(r.Streamed), r.PromptTokens,
			r.OutputTokens, r.CachedTokens, r.Queue.Microseconds(), r.First.Microseconds(), r.Total.Microseconds(), r.Prompt}
	}
	if err := d.bulk(ctx, "requests", requestColumns, rows); err != nil {
		return fmt.Errorf("log %d requests: %w", len(list), err)
	}
	return nil
}

// Requests gives the newest requests received at or after since.
func (d *DB) Requests(ctx context.Context, since time.Time, limit int) ([]Request, error) {
	rows, err := d.sql.QueryContext(ctx, `SELECT id, received_us, endpoint, model, key_name, status, finish, streamed, prompt_tokens,
		completion_tokens, cached_tokens, queue_us, first_us, total_us, prompt FROM requests WHERE received_us >= $1
		ORDER BY received_us DESC, id DESC LIMIT $2`, micros(since), limit)
	if err != nil {
		return nil, fmt.Errorf("read requests: %w", err)
	}
	defer rows.Close()
	var out []Request
	for rows.Next() {
		r, err := scanRequest(rows)
		if err != nil {
			return nil, fmt.Errorf("read requests: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func scanRequest(rows *sql.Rows) (Request, error) {
	var r Request
	var received, queue, first, total int64
	var streamed int
	err := rows.Scan(&r.ID, &received, &r.Endpoint, &r.Model, &r.Key, &r.Status, &r.Finish, &streamed, &r.PromptTokens,
		&r.OutputTokens, &r.CachedTokens, &queue, &first, &total, &r.Prompt)
	r.Received, r.Streamed = fromMicros(received), streamed != 0
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	r.Queue, r.First, r.Total = us(queue), us(first), us(total)
	return r, err
}

// Forget deletes requests received before a moment and says how many.
func (d *DB) Forget(ctx context.Context, before time.Time) (int64, error) {
	res, err := d.sql.ExecContext(ctx, "DELETE FROM requests WHERE received_us < $1", micros(before))
	if err != nil {
		return 0, fmt.Errorf("forget requests: %w", err)
	}
	return res.RowsAffected()
}
