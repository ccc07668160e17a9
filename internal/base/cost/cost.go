package cost

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
)

// Of runs work and returns the most memory that its objects took at once, and the processor time that the process
// used; other programs on the machine do not change either. Objects that are not collected yet count too, and so does
// what other goroutines of the test use meanwhile, so both are upper bounds.
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
	begun := host.CPUTime()
	work()
	took = host.CPUTime() - begun
	close(stop)
	return <-done - base, took
}

// Within fails a test whose work takes more than so many bytes or so much processor time. Bounds should be several
// times what the work takes, since machines differ.
func Within(t testing.TB, mostBytes int64, longest time.Duration, work func()) {
	t.Helper()
	bytes, took := Of(t, work)
	t.Logf("%d MB at most, %s of a processor", bytes>>20, took.Round(time.Millisecond))
	if bytes > mostBytes {
		t.Errorf("it took %d MB, at most %d are allowed", bytes>>20, mostBytes>>20)
	}
	if took > longest {
		t.Errorf("it took %s of a processor, at most %s are allowed", took.Round(time.Millisecond), longest)
	}
}

func live() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
