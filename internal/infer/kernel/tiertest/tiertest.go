package tiertest

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// Runner runs tests; testing.M is one.
type Runner interface{ Run() int }

var only = flag.String("tiers", "", "run the tests on these tiers alone, separated by commas")

// Every is a Runner of m's tests on each of these tiers, which use switches to. A fuzz target and a benchmark run
// once, on the tier that the program would take. Unless the flags select tests, TestTier has to have called Ran on
// every tier. The flag -tiers leaves tiers out, for those who run a test binary on several machines.
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
	tiers, err := selected(*only, e.tiers)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tiertest:", err)
		return 1
	}
	for _, tier := range tiers {
		restore, err := e.use(tier)
		if err != nil {
			fmt.Fprintln(os.Stderr, "tiertest:", err)
			return 1
		}
		fmt.Println("== tier", tier)
		code = max(code, e.m.Run())
		restore()
	}
	some := given("test.run") || given("test.skip")
	if !some && code == 0 && (len(tiers) == 0 || !slices.Equal(unique(ran), tiers)) {
		fmt.Fprintf(os.Stderr, "tiertest: tests ran on tiers %q, want %q\n", ran, tiers)
		return 1
	}
	return code
}

// selected gives the tiers that names lists; all if it is empty.
func selected(names string, all []string) ([]string, error) {
	if names == "" {
		return all, nil
	}
	list := strings.Split(names, ",")
	for _, name := range list {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("-tiers: this machine cannot run %q; it can run %q", name, all)
		}
	}
	return list, nil
}

// unique drops repetitions, as -count makes them.
func unique(tiers []string) []string { return slices.Compact(slices.Clone(tiers)) }

// given says whether a flag has a value other than its default.
func given(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() != f.DefValue
}
