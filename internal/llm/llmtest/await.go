package llmtest

import (
	"testing"
	"time"
)

// Limit bounds every wait of a test: far above what anything here takes on a loaded machine under the race detector,
// and far below the time after which the go command kills a test without a word on what it waited for.
const Limit = time.Minute

// Await gives the next value of a channel, the zero value if it is closed. When none comes within Limit, the test
// fails and says what it waited for. It is for the test's own goroutine.
func Await[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	timer := time.NewTimer(Limit)
	defer timer.Stop()
	select {
	case v := <-ch:
		return v
	case <-timer.C:
		t.Fatalf("waited %v for %s", Limit, what)
		panic("unreachable")
	}
}

// Done gives a channel that is closed when wait returns, for Await: of a WaitGroup, a process, a Close.
func Done(wait func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	return done
}

// Until waits for what happens on its own time. When it does not within Limit, the test fails and names what it
// waited for.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); {
		waited := time.Since(began)
		if waited > Limit {
			t.Fatalf("waited %v for %s", Limit, what)
		}
		time.Sleep(min(max(waited/16, time.Millisecond), 32*time.Millisecond))
	}
}
