package cost

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// Of runs work and gives the most bytes that its objects took at once beyond what was there before, and how long it
// took. Objects that are not collected yet count, so that it is an upper bound; so does what other goroutines of the
// test take meanwhile.
func Of(t testing.TB, work func()) (bytes int64, took time.Duration) {
	t.Helper()
	runtime.GC()
	base := live()
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		most := base
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, live())
			case <-stop:
				done <- max(most, live())
				return
			}
		}
	}()
	begun := time.Now()
	work()
	took = time.Since(begun)
	close(stop)
	return <-done - base, took
}

// Within fails a test whose work takes more than so many bytes or so much time. Bounds are to be several times what
// the work takes: machines differ.
func Within(t testing.TB, mostBytes int64, longest time.Duration, work func()) {
	t.Helper()
	bytes, took := Of(t, work)
	t.Logf("%d MB at most, %s", bytes>>20, took.Round(time.Millisecond))
	if bytes > mostBytes {
		t.Errorf("it took %d MB, at most %d are allowed", bytes>>20, mostBytes>>20)
	}
	if took > longest {
		t.Errorf("it took %s, at most %s are allowed", took.Round(time.Millisecond), longest)
	}
}

func live() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
