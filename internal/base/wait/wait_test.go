package wait

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, test := range []struct {
			d, took time.Duration
			err     error
		}{{0, 0, nil}, {-1, 0, nil}, {20 * time.Second, 20 * time.Second, nil},
			{time.Hour, 40 * time.Second, context.DeadlineExceeded}, {0, 0, nil}} {
			began := time.Now()
			if err := For(ctx, test.d); !errors.Is(err, test.err) || time.Since(began) != test.took {
				t.Errorf("%v: %v after %v", test.d, err, time.Since(began))
			}
		}
	})
}
