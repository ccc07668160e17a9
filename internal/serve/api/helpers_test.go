package api

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// holdUntil is a step of the fake model that takes until release is closed or sent to, or the client has left.
func holdUntil(release <-chan struct{}) func(context.Context, *llm.Request, int) error {
	return func(ctx context.Context, _ *llm.Request, _ int) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	}
}

// syncBuffer is a log that may be read while it is being written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	return v
}

// keysOf parses the text of a key file.
func keysOf(t *testing.T, text string) *access.Keys {
	t.Helper()
	k, err := access.ParseKeys(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// failAt is a step of the fake model that fails at the n-th token.
func failAt(n int) func(context.Context, *llm.Request, int) error {
	return func(_ context.Context, _ *llm.Request, i int) error {
		if i == n {
			return llmtest.ErrScripted
		}
		return nil
	}
}
