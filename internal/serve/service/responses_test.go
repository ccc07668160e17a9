package service

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/responses"
)

// TestResponsesInDatabase: one process finds what another one stored. While the database is unavailable, requests get
// an error; afterwards they are served again.
func TestResponsesInDatabase(t *testing.T) {
	defer func(d time.Duration) { databaseTimeout = d }(databaseTimeout)
	databaseTimeout = llmtest.Limit
	url := "sqlite:" + filepath.Join(t.TempDir(), "db")
	away := true
	opened := func() *databaseResponses {
		d := &databaseResponses{connect: func(ctx context.Context) (*store.DB, error) {
			if away {
				return nil, store.ErrUnavailable
			}
			return open.DB(ctx, url)
		}}
		t.Cleanup(d.close)
		return d
	}
	first, second := opened(), opened()
	r := &responses.Record{ID: "resp_1", Created: 5, Response: []byte(`{"a":1}`)}
	if err := first.Put(t.Context(), "key", r); !errors.Is(err, llm.ErrNotReady) {
		t.Errorf("away: %v", err)
	}
	away = false
	if err := first.Put(t.Context(), "key", r); err != nil {
		t.Fatal(err)
	}
	got, err := second.Get(t.Context(), "key", "resp_1")
	if err != nil || got.ID != r.ID || string(got.Response) != string(r.Response) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := second.Get(t.Context(), "other", "resp_1"); !errors.Is(err, responses.ErrNotFound) {
		t.Errorf("another's: %v", err)
	}
	second.db.Close() // as if the connection broke
	if _, err := second.Get(t.Context(), "key", "resp_1"); !errors.Is(err, llm.ErrNotReady) {
		t.Errorf("broken: %v", err)
	}
	if err := second.Delete(t.Context(), "key", "resp_1"); err != nil {
		t.Errorf("after a new connection: %v", err)
	}
	if err := first.Delete(t.Context(), "key", "resp_1"); !errors.Is(err, responses.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}
