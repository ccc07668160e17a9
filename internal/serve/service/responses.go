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

// Where answers of /v1/responses are stored.
const (
	ResponsesNone     = "none"
	ResponsesMemory   = "memory"
	ResponsesDatabase = "database"
)

// responsesKept is the maximum size in bytes of the responses in memory: about ten thousand short ones.
const responsesKept = 64 << 20

// openResponses returns the store of responses, or nil.
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

// databaseResponses stores responses in the database, which need not be available at the start and may become
// unavailable.
type databaseResponses struct {
	connect func(context.Context) (*store.DB, error)

	mu sync.Mutex
	db *store.DB // nil: not connected
}

// databaseTimeout bounds an attempt, since a client waits for it. Tests raise it.
var databaseTimeout = 5 * time.Second

// use does some work with the database. Errors match llm.ErrNotReady, except those that match store.ErrNotFound; after
// one, the next attempt opens a new connection.
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

// lose closes a connection that failed.
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
