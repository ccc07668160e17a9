package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/responses"
)

// Where answers of /v1/responses are kept.
const (
	ResponsesNone     = "none"
	ResponsesMemory   = "memory"
	ResponsesDatabase = "database"
)

// responsesKept is how many bytes of responses are kept in memory: some ten thousand short ones.
const responsesKept = 64 << 20

// openResponses gives what keeps responses, or nil.
func (s *Service) openResponses() responses.Store {
	switch s.o.Responses {
	case ResponsesMemory:
		return responses.NewMemory(responsesKept)
	case ResponsesDatabase:
		s.responses = &databaseResponses{connect: func(ctx context.Context) (*store.DB, error) {
			return open.DB(ctx, s.o.DatabaseURL)
		}}
		return s.responses
	}
	return nil
}

// databaseResponses keeps responses in the database, which need not be there from the start and may go away.
type databaseResponses struct {
	connect func(context.Context) (*store.DB, error)

	mu sync.Mutex
	db *store.DB // nil: not connected
}

// databaseTimeout bounds an attempt: a client waits for it.
const databaseTimeout = 5 * time.Second

// use works with the database. Errors but those that match store.ErrNotFound are an llm.ErrNotReady; after one, the
// next attempt connects anew.
func (d *databaseResponses) use(ctx context.Context, work func(context.Context, *store.DB) error) error {
	ctx, cancel := context.WithTimeout(ctx, databaseTimeout)
	defer cancel()
	db, err := d.connected(ctx)
	if err == nil {
		err = work(ctx, db)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: %w", responses.ErrNotFound, err)
	}
	d.lose(db)
	return fmt.Errorf("%w: the database that keeps responses cannot be used", llm.ErrNotReady)
}

func (d *databaseResponses) connected(ctx context.Context) (*store.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.db != nil {
		return d.db, nil
	}
	db, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	d.db = db
	return db, nil
}

// lose gives up a connection.
func (d *databaseResponses) lose(db *store.DB) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if db != nil && d.db == db {
		d.db = nil
		db.Close()
	}
}

// close ends the connection.
func (d *databaseResponses) close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	db := d.db
	d.mu.Unlock()
	d.lose(db)
}

// Put implements responses.Store.
func (d *databaseResponses) Put(ctx context.Context, owner string, r *responses.Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return d.use(ctx, func(ctx context.Context, db *store.DB) error {
		return db.PutResponse(ctx, owner, r.ID, time.Unix(r.Created, 0), data)
	})
}

// Get implements responses.Store.
func (d *databaseResponses) Get(ctx context.Context, owner, id string) (*responses.Record, error) {
	r := &responses.Record{}
	return r, d.use(ctx, func(ctx context.Context, db *store.DB) error {
		data, err := db.Response(ctx, owner, id)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, r)
	})
}

// Delete implements responses.Store.
func (d *databaseResponses) Delete(ctx context.Context, owner, id string) error {
	return d.use(ctx, func(ctx context.Context, db *store.DB) error { return db.DeleteResponse(ctx, owner, id) })
}
