package leak

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// limit is how long goroutines may take to end. A connection that was closed last has goroutines that may wait long
// for a processor, and goleak itself has less than half a second of patience.
const limit = time.Minute

// Runner runs tests; testing.M is one.
type Runner interface{ Run() int }

// Main runs m and ends the process with its code, or with 1 if m succeeds and goroutines stay behind.
func Main(m Runner, options ...goleak.Option) {
	os.Exit(run(m, os.Stderr, func() error { return find(limit, options) }))
}

// Check fails a test if goroutines stay behind for longer than a time. That must be less than the limits that end
// them in any case.
func Check(t testing.TB, within time.Duration, options ...goleak.Option) {
	t.Helper()
	if err := find(within, options); err != nil {
		t.Error(err)
	}
}

func run(m Runner, out io.Writer, find func() error) int {
	code := m.Run()
	if code != 0 { // a test that failed may have left something behind
		return code
	}
	if err := find(); err != nil {
		fmt.Fprintln(out, "leak: the tests succeeded, and then:", err)
		return 1
	}
	return 0
}

// find looks for goroutines until there are none or a time is over.
func find(within time.Duration, options []goleak.Option) error {
	for began := time.Now(); ; {
		err := goleak.Find(options...)
		if err == nil || time.Since(began) >= within {
			return err
		}
	}
}
