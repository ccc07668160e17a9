package property

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"pgregory.net/rapid"
)

const (
	// Search is the environment variable that makes tests look for new cases, as long as it says.
	Search = "MIXTRAL_SEARCH"

	// FailVersion begins the data of a file that a failure leaves. Rapid passes over files of any other version.
	FailVersion = "v0.4.8"
)

// Rapid reads these before the go command notes what a test reads, so a result from the cache would not depend on
// them.
var untracked = []string{"RAPID_CHECKS", "RAPID_STEPS", "RAPID_FAILFILE", "RAPID_NOFAILFILE", "RAPID_SEED"}

var setUp sync.Once

// search gives how long tests look for new cases; 0 means that they do not.
func search(t rapid.TB) time.Duration {
	t.Helper()
	text := os.Getenv(Search) // in each test, so that the go command notes it for its cache
	if text == "" {
		return 0
	}
	lasts, err := time.ParseDuration(text)
	if err != nil || lasts <= 0 {
		t.Fatalf("%s=%s: want a time above 0, as in 30s", Search, text)
	}
	return lasts
}

// Seed gives the seed of a test that draws by itself: 1, in a search another one each time, or what the environment
// variable named override says. The test's log has it.
func Seed(t rapid.TB, override string) uint64 {
	t.Helper()
	seed := uint64(1)
	if search(t) > 0 {
		seed = rand.Uint64()
	}
	if v := os.Getenv(override); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("%s=%s: want a number: %v", override, v, err)
		}
		seed = n
	}
	t.Logf("%s=%d", override, seed)
	return seed
}

// Check tests that prop holds for what it draws. The flags -rapid.checks, -rapid.seed and -rapid.failfile work as
// usual.
func Check(t rapid.TB, prop func(*rapid.T)) {
	t.Helper()
	for _, name := range untracked {
		if os.Getenv(name) != "" {
			t.Fatalf("%s is set, and test results from the cache would not depend on it: use the flag instead", name)
		}
	}
	lasts := search(t)
	setUp.Do(func() {
		if lasts == 0 {
			fix()
		}
	})
	for start := time.Now(); ; {
		rapid.Check(t, prop)
		if time.Since(start) >= lasts {
			return
		}
	}
}

// fix makes rapid's cases the same each time. A failure needs no file then: it comes again by itself.
func fix() {
	set := func(name, value string) {
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
		if given {
			return
		}
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	set("rapid.seed", "1")
	set("rapid.nofailfile", "true")
}
