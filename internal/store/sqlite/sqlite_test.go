package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/hxp-enterprise/mixtral/internal/store"
	"github.com/hxp-enterprise/mixtral/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(context.Context) (*store.DB, error) {
		path := filepath.Join(t.TempDir(), "new dir", "what? #1.db") // characters that a URL would take apart
		return func(ctx context.Context) (*store.DB, error) { return Open(ctx, path) }
	})
}

func TestGarbageIsNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte("this is a text file, and long enough to be looked at as a database header"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil {
		t.Error("opened garbage")
	}
	if _, err := Open(t.Context(), filepath.Join(path, "below", "a file.db")); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
