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
	// Search is the environment variable that makes each test look for new cases, for as long as its value says.
	Search = "MIXTRAL_SEARCH"

	// FailVersion begins the data of a file that a failure leaves. Rapid ignores files of any other version.
	FailVersion = "v0.4.8"
)

// Rapid reads these before the go command records what a test reads, so a cached result would not depend on them.
var untracked = []string{"RAPID_CHECKS", "RAPID_STEPS", "RAPID_FAILFILE", "RAPID_NOFAILFILE", "RAPID_SEED"}

var setUp sync.Once

// search returns how long tests look for new cases; 0 means that they do not.
func search(t rapid.TB) time.Duration {
	t.Helper()
	text := os.Getenv(Search) // in each test, so that the go command records it for its cache
	if text == "" {
		return 0
	}
	lasts, err := time.ParseDuration(text)
	if err != nil || lasts <= 0 {
		t.Fatalf("%s=%s: want a time above 0, as in 30s", Search, text)
	}
	return lasts
}

// Seed returns the seed of a test that draws its own random numbers: 1, another one each time in a search, or the
// value of the environment variable named override. It is in the test's log.
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

// Check tests that prop holds for the values that it draws. The flags -rapid.checks, -rapid.seed and -rapid.failfile
// work as usual.
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

// fix makes rapid's cases the same each time. A failure then needs no file: it happens again in the next run.
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
