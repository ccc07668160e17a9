package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
)

// Request is a line of the service's request log. It has no prompt text unless the operator asked for it.
type Request struct {
	// the id that Log gives it, so that a line that is sent twice is stored once; empty: it has none
	Line         string
	ID           string // as in the answer's X-Request-Id
	Completion   string // the answer's own id, or empty
	Received     time.Time
	Endpoint     string // "/v1/chat/completions"; "go" for a program that embeds the service
	Model        string
	Key          string // the API key's name, never the key
	Status       int    // HTTP
	Finish       string // stop, length, abort, error; empty if the request was refused
	Streamed     bool
	Gone         bool // the client left before the end of the answer
	PromptTokens int
	OutputTokens int
	CachedTokens int
	Queue        time.Duration // from reception to the first step
	First        time.Duration // from reception to the first token; 0: none
	Total        time.Duration
	Prompt       *string
}

// size estimates the memory that a request takes, in bytes.
func (r *Request) size() int64 {
	n := fixed + len(r.Line) + len(r.ID) + len(r.Completion) + len(r.Endpoint) + len(r.Model) + len(r.Key) +
		len(r.Finish)
	if r.Prompt != nil {
		n += len(*r.Prompt)
	}
	return int64(n)
}

// fixed is the size of a Request without its texts, in bytes.
const fixed = 256

var requestColumns = []string{"id", "completion_id", "received_us", "endpoint", "model", "key_name", "status",
	"finish", "streamed", "client_gone",
	"prompt_tokens", "completion_tokens", "cached_tokens", "queue_us", "first_us", "total_us", "prompt", "line"}

// AddRequests appends to the request log: all lines or none. Lines that are stored already are left out. Errors match
// ErrRefused if the database does not accept one of them.
func (d *DB) AddRequests(ctx context.Context, list []Request) error {
	if len(list) == 0 {
		return nil
	}
	rows := make([][]any, len(list))
	for i, r := range list {
		if r.Prompt != nil {
			text := clean(*r.Prompt)
			r.Prompt = &text
		}
		var line *string // two lines without an id are different lines
		if r.Line != "" {
			line = &r.Line
		}
		rows[i] = []any{clean(r.ID), clean(r.Completion), micros(r.Received), clean(r.Endpoint), clean(r.Model),
			clean(r.Key), r.Status, clean(r.Finish),
			flag(r.Streamed), flag(r.Gone), count(r.PromptTokens), count(r.OutputTokens), count(r.CachedTokens),
			r.Queue.Microseconds(), r.First.Microseconds(), r.Total.Microseconds(), r.Prompt, line}
	}
	if err := d.bulk(ctx, "requests", "line", requestColumns, rows); err != nil {
		return fmt.Errorf("log %d requests: %w", len(list), err)
	}
	return nil
}

// count limits a number of tokens, which another server may have invented, to the columns' 32 bits.
func count(n int) int { return max(0, min(n, math.MaxInt32)) }

// Requests returns the newest requests received at or after since.
func (d *DB) Requests(ctx context.Context, since time.Time, limit int) ([]Request, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT "+strings.Join(requestColumns, ", ")+` FROM requests WHERE received_us >= $1
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
	var streamed, gone int
	var line sql.NullString
	err := rows.Scan(&r.ID, &r.Completion, &received, &r.Endpoint, &r.Model, &r.Key, &r.Status, &r.Finish, &streamed,
		&gone,
		&r.PromptTokens, &r.OutputTokens, &r.CachedTokens, &queue, &first, &total, &r.Prompt, &line)
	r.Line = line.String
	r.Received, r.Streamed, r.Gone = fromMicros(received), streamed != 0, gone != 0
	us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	r.Queue, r.First, r.Total = us(queue), us(first), us(total)
	return r, err
}

// Forget deletes requests received, and responses made, before a time. It returns the number of requests.
func (d *DB) Forget(ctx context.Context, before time.Time) (int64, error) {
	if _, err := d.sql.ExecContext(ctx, "DELETE FROM responses WHERE created_us < $1", micros(before)); err != nil {
		return 0, fmt.Errorf("forget responses: %w", err)
	}
	res, err := d.sql.ExecContext(ctx, "DELETE FROM requests WHERE received_us < $1", micros(before))
	if err != nil {
		return 0, fmt.Errorf("forget requests: %w", err)
	}
	return res.RowsAffected()
}
