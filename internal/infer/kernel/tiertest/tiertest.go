package tiertest

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
)

// Runner runs tests; testing.M is one.
type Runner interface{ Run() int }

// Every is a Runner of m's tests on each of these tiers, which use switches to. A fuzz target and a benchmark run
// once, on the tier that the program would take. Unless the flags select tests, TestTier has to have called Ran on
// every tier.
func Every(m Runner, tiers []string, use func(string) (restore func(), err error)) Runner {
	return &every{m: m, tiers: tiers, use: use}
}

type every struct {
	m     Runner
	tiers []string
	use   func(string) (func(), error)
}

// ran are the tiers on which tests have run, in order.
var ran []string

// Ran notes that tests run on this tier.
func Ran(t testing.TB, tier string) {
	t.Helper()
	t.Log("tier " + tier)
	ran = append(ran, tier)
}

func (e *every) Run() int {
	flag.Parse()
	if given("test.fuzz") || given("test.bench") || given("test.list") {
		return e.m.Run()
	}
	ran = nil
	code := 0
	for _, tier := range e.tiers {
		restore, err := e.use(tier)
		if err != nil {
			fmt.Fprintln(os.Stderr, "tiertest:", err)
			return 1
		}
		fmt.Println("== tier", tier)
		code = max(code, e.m.Run())
		restore()
	}
	selected := given("test.run") || given("test.skip")
	if !selected && code == 0 && (len(e.tiers) == 0 || !slices.Equal(unique(ran), e.tiers)) {
		fmt.Fprintf(os.Stderr, "tiertest: tests ran on tiers %q, want %q\n", ran, e.tiers)
		return 1
	}
	return code
}

// unique drops repetitions, as -count makes them.
func unique(tiers []string) []string { return slices.Compact(slices.Clone(tiers)) }

// given says whether a flag has a value other than its default.
func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != f.DefValue
}
