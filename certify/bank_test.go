package certify_test

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/faults"
)

// bankRuns is set to the number of seeded runs of each server, bankOnly to the names of some:
//
//	MIXTRAL_BANK=30 MIXTRAL_BANK_ONLY=healthy,stall go test ./certify -run TestBank -v -timeout 3h
const (
	bankRuns = "MIXTRAL_BANK"
	bankOnly = "MIXTRAL_BANK_ONLY"
)

// bankParallel runs go on at once: a server of the bank sleeps most of the time.
const bankParallel = 6

// shortened makes a run of the quick profile of about 25 s. Slow faults are sped up to fit: what takes an hour in life
// takes 36 s.
var shortened = []string{
	"profiles.quick.warmup.duration_s=1", "profiles.quick.warmup.max_s=4",
	"profiles.quick.single.requests=10", "profiles.quick.single.duration_s=1",
	"profiles.quick.concurrent.requests=40", "profiles.quick.concurrent.duration_s=2",
	"profiles.quick.sustained.duration_s=13", "profiles.quick.sustained.ramp_s=1", "profiles.quick.sustained.rps_factor=1.2",
	"profiles.quick.single-again.requests=10", "profiles.quick.single-again.duration_s=1",
	"profiles.quick.idle.duration_s=2",
}

const bankSpeed = 100

// foundBy is the check that must fail a faulty server.
var foundBy = map[faults.Fault]string{
	faults.Stall: "stalls", faults.Leak: "leak", faults.LyingTokens: "metrics", faults.MissedCounts: "metrics", faults.CachedReplies: "audits",
	faults.EmptyFirst: "audits", faults.InflatedUsage: "audits", faults.Drift: "degradation-within", faults.Errors: "errors", faults.Truncated: "errors",
	faults.SlowFirst: "latency-single", faults.CPUBurner: "cpu", faults.IgnoresMax: "valid-responses", faults.FalseFinish: "audits",
	faults.LyingTTFT: "metrics", faults.TooSlow: "throughput-sustained", faults.Garbled: "quality-under-load", faults.MemoryHog: "memory",
}

func TestEveryFaultHasACheckThatFindsIt(t *testing.T) {
	loaded, err := certify.Load("", shortened)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults.Planted() {
		id, ok := foundBy[f]
		known := false
		for _, c := range loaded.Case.Checks {
			known = known || c.ID == id && (c.Gate == nil || *c.Gate)
		}
		if !ok || !known {
			t.Errorf("fault %s: no gate finds it (%q)", f, id)
		}
	}
}

// tally counts the outcomes of one server's runs.
type tally struct {
	status map[string]int
	found  int            // runs in which the check of foundBy failed
	failed map[string]int // checks that failed
}

// TestBank tries the certifier on servers that are known: a faulty one must not pass, a healthy one must not fail. The
// rates are those of CERTIFIER.md; it prints the table.
func TestBank(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv(bankRuns))
	if err != nil || runs < 1 {
		t.Skipf("takes long: set %s to the number of runs of each server", bankRuns)
	}
	servers := append(faults.HealthyOnes(), faults.Planted()...)
	if only := os.Getenv(bankOnly); only != "" {
		servers = nil
		for _, name := range strings.Split(only, ",") {
			f, err := faults.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			servers = append(servers, f)
		}
	}
	tallies := map[faults.Fault]*tally{}
	var mu sync.Mutex
	slots := make(chan struct{}, bankParallel)
	var wg sync.WaitGroup
	for seed := range runs {
		for _, f := range servers {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				rep := bankRun(t, f, seed+1)
				if rep == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				y := tallies[f]
				if y == nil {
					y = &tally{status: map[string]int{}, failed: map[string]int{}}
					tallies[f] = y
				}
				y.add(f, rep)
			})
		}
	}
	wg.Wait()
	var table strings.Builder
	table.WriteString("| server | runs | PASS | FAIL | INVALID | found by its check | checks that failed |\n|---|---|---|---|---|---|---|\n")
	healthy := faults.HealthyOnes()
	for _, f := range servers {
		y := tallies[f]
		if y == nil {
			continue
		}
		isHealthy := slices.Contains(healthy, f)
		found := "healthy"
		if !isHealthy {
			found = fmt.Sprintf("%s %d/%d", foundBy[f], y.found, runs)
		}
		fmt.Fprintf(&table, "| %s | %d | %d | %d | %d | %s | %s |\n", f, runs, y.status[certify.Pass], y.status[certify.Fail], y.status[certify.Invalid], found, y.checks())
		if isHealthy && float64(y.status[certify.Fail]) > 0.02*float64(runs) {
			t.Errorf("%s failed in %d of %d runs", f, y.status[certify.Fail], runs)
		}
		if !isHealthy && float64(y.found) < 0.95*float64(runs) {
			t.Errorf("%s was found in %d of %d runs", f, y.found, runs)
		}
	}
	t.Logf("\n%s", table.String())
}

func bankRun(t *testing.T, f faults.Fault, seed int) *certify.Report {
	s := faults.New(faults.Config{Fault: f, Seed: uint64(seed), Speed: bankSpeed})
	defer s.Close()
	h := httptest.NewServer(s)
	defer h.Close()
	rep, err := certify.Run(t.Context(), certify.Options{Target: h.URL, ReportDir: t.TempDir(), Seed: int64(seed), Set: shortened})
	if err != nil {
		t.Errorf("%s, seed %d: %v", f, seed, err)
		return nil
	}
	return rep
}

func (y *tally) add(f faults.Fault, rep *certify.Report) {
	y.status[rep.Status]++
	for _, c := range rep.Checks {
		if c.Verdict == certify.Fail {
			y.failed[c.ID]++
			if c.ID == foundBy[f] {
				y.found++
			}
		}
	}
}

func (y *tally) checks() string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(y.failed)) {
		out = append(out, fmt.Sprintf("%s %d", id, y.failed[id]))
	}
	return strings.Join(out, ", ")
}
