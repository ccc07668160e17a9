package certify_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
)

// The bank's settings. bankRuns is the number of seeded runs of each server, and bankHealthy that of the healthy ones,
// whose low rate of failures takes more runs to show. bankKinds has the names of servers, or "all-healthy" or
// "planted". bankParallel is how many run at once, and no run begins after bankTime.
//
// The bank can be run in parts. bankLog is a file to which each run adds a line; runs that are in it are not repeated.
// bankDir keeps the records of the runs. A kept record is judged again instead of running again, so that a change of
// the judge is tried on all records in minutes. With bankDoc the table is written into docs/CERTIFIER.md.
//
//	MIXTRAL_BANK=30 MIXTRAL_BANK_KINDS=healthy,stall go test ./certify -run 'TestBank$' -v -timeout 3h
const (
	bankRuns     = "MIXTRAL_BANK"
	bankHealthy  = "MIXTRAL_BANK_HEALTHY"
	bankKinds    = "MIXTRAL_BANK_KINDS"
	bankOnly     = "MIXTRAL_BANK_ONLY" // the same as bankKinds
	bankParallel = "MIXTRAL_BANK_PARALLEL"
	bankTime     = "MIXTRAL_BANK_TIME"
	bankLog      = "MIXTRAL_BANK_LOG"
	bankDir      = "MIXTRAL_BANK_DIR"
	bankDoc      = "MIXTRAL_BANK_DOC"
)

// atOnce is how many runs go on at once. That is more than there are cores, because a server of the bank sleeps most
// of the time.
const atOnce = 6

// The rates that the bank demands: the least share of faulty runs that are found, and the most of healthy runs that
// fail.
const (
	leastFound = 0.95
	mostBlamed = 0.02
)

// shortened makes a run of the quick profile take about 25 s. Slow faults are sped up: what takes an hour in
// production takes 36 s.
var shortened = []string{
	"profiles.quick.warmup.duration_s=1", "profiles.quick.warmup.max_s=4",
	"profiles.quick.single.requests=10", "profiles.quick.single.duration_s=1",
	"profiles.quick.concurrent.requests=40", "profiles.quick.concurrent.duration_s=2",
	"profiles.quick.sustained.duration_s=13", "profiles.quick.sustained.ramp_s=1",
	"profiles.quick.sustained.rps_factor=1.2",
	"profiles.quick.single-again.requests=10", "profiles.quick.single-again.duration_s=1",
	"profiles.quick.idle.duration_s=2",
}

const bankSpeed = 100

// foundBy is, for each faulty server, the check that must fail.
var foundBy = map[faults.Fault]string{
	faults.Stall: "stalls", faults.Leak: "leak", faults.LeakGo: "leak", faults.LyingCache: "leak",
	faults.LyingTokens:  "metrics",
	faults.MissedCounts: "metrics", faults.CachedReplies: "audits",
	faults.EmptyFirst: "audits", faults.InflatedUsage: "audits", faults.Drift: "degradation-within",
	faults.Errors: "errors", faults.Truncated: "errors",
	faults.SlowFirst: "latency-single", faults.CPUBurner: "cpu", faults.IgnoresMax: "valid-responses",
	faults.FalseFinish: "audits",
	faults.LyingTTFT:   "metrics", faults.TooSlow: "throughput-sustained", faults.Garbled: "quality-under-load",
	faults.MemoryHog: "memory",
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
	runs    int
	status  map[certify.Verdict]int
	found   int            // runs in which the check of foundBy failed
	failed  map[string]int // how often each check failed
	invalid map[string]int // how often each check could not be judged, in runs that were INVALID because of it
	others  []float64      // of each run, the share of the machine that other programs took
}

// TestBank tries the certifier on servers whose faults are known: a faulty one must not pass, a healthy one must not
// fail. It prints the table of CERTIFIER.md.
func TestBank(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv(bankRuns))
	if err != nil || runs < 1 {
		t.Skipf("takes long: set %s to the number of runs of each server", bankRuns)
	}
	parallel, healthyRuns := bankNumber(bankParallel, atOnce), bankNumber(bankHealthy, runs)
	servers, log := bankServers(t), openBankLog(t, os.Getenv(bankLog))
	limit, err := time.ParseDuration(cmp.Or(os.Getenv(bankTime), "1000h"))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	tallies := map[faults.Fault]*tally{}
	for _, f := range servers {
		tallies[f] = &tally{status: map[certify.Verdict]int{}, failed: map[string]int{}, invalid: map[string]int{}}
	}
	var mu sync.Mutex
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for seed := range max(runs, healthyRuns) {
		for _, f := range servers {
			if slices.Contains(faults.HealthyOnes(), f) && seed >= healthyRuns ||
				!slices.Contains(faults.HealthyOnes(), f) && seed >= runs {
				continue
			}
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				res := log.of(f, seed+1)
				if kept(f, seed+1) || res == nil && time.Since(begun) < limit {
					if res = bankRun(t, f, seed+1); res != nil {
						log.add(t, res)
					}
				}
				if res == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				tallies[f].add(res)
				if res.Status != certify.Pass && slices.Contains(faults.HealthyOnes(), f) ||
					res.Status != certify.Fail && !slices.Contains(faults.HealthyOnes(), f) {
					t.Logf("%s, seed %d: %s", f, seed+1, res.Why)
				}
			})
		}
	}
	wg.Wait()
	for _, f := range servers {
		y := tallies[f]
		if slices.Contains(faults.HealthyOnes(), f) {
			if float64(y.status[certify.Fail]) > mostBlamed*float64(y.runs) {
				t.Errorf("%s failed in %d of %d runs", f, y.status[certify.Fail], y.runs)
			}
		} else if slices.Contains(faults.Unseen(), f) {
			if y.status[certify.Pass] > 0 {
				t.Errorf("%s passed in %d of %d runs", f, y.status[certify.Pass], y.runs)
			}
		} else if float64(y.found) < leastFound*float64(y.runs) {
			t.Errorf("%s was found in %d of %d runs", f, y.found, y.runs)
		}
	}
	table := bankTable(servers, tallies)
	t.Logf("\n%s", table)
	if os.Getenv(bankDoc) != "" {
		writeTable(t, table)
	}
}

// bankNumber reads a numeric setting.
func bankNumber(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return usual
}

// bankServers returns the servers that bankKinds names, or all servers of the bank.
func bankServers(t *testing.T) []faults.Fault {
	only := cmp.Or(os.Getenv(bankKinds), os.Getenv(bankOnly))
	if only == "" {
		return faults.All()
	}
	var servers []faults.Fault
	for _, name := range strings.Split(only, ",") {
		switch name {
		case "all-healthy":
			servers = append(servers, faults.HealthyOnes()...)
			continue
		case "planted":
			servers = append(servers, append(faults.Planted(), faults.Unseen()...)...)
			continue
		}
		f, err := faults.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, f)
	}
	return servers
}

// bankTable returns the table of CERTIFIER.md.
func bankTable(servers []faults.Fault, tallies map[faults.Fault]*tally) string {
	var b strings.Builder
	b.WriteString("| server | runs | PASS | FAIL | INVALID | found by its check, or blamed | checks that failed | " +
		"checks that could not be judged, where that decided | others took of the machine: median, most |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	for _, f := range servers {
		y := tallies[f]
		n := max(y.runs, 1)
		rate := fmt.Sprintf("%s %d/%d = %d %%", foundBy[f], y.found, y.runs, 100*y.found/n)
		if slices.Contains(faults.HealthyOnes(), f) {
			rate = fmt.Sprintf("blamed %d/%d = %.1f %%", y.status[certify.Fail], y.runs,
				100*float64(y.status[certify.Fail])/float64(n))
		}
		if slices.Contains(faults.Unseen(), f) {
			rate = fmt.Sprintf("passed %d/%d", y.status[certify.Pass], y.runs)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s | %s | %s | %s |\n", f, y.runs, y.status[certify.Pass],
			y.status[certify.Fail], y.status[certify.Invalid], rate, counts(y.failed), counts(y.invalid),
			shares(y.others))
	}
	return b.String()
}

func counts(m map[string]int) string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %d", id, m[id]))
	}
	return strings.Join(out, ", ")
}

// shares formats the median and the largest of shares, in percent.
func shares(x []float64) string {
	if len(x) == 0 {
		return ""
	}
	slices.Sort(x)
	return fmt.Sprintf("%.0f %%, %.0f %%", 100*x[len(x)/2], 100*x[len(x)-1])
}

// writeTable writes the table between its marks in docs/CERTIFIER.md.
func writeTable(t *testing.T, table string) {
	const path, begin, end = "../docs/CERTIFIER.md", "<!-- bank: begin -->\n", "<!-- bank: end -->"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, okBegin := strings.Cut(string(doc), begin)
	_, after, okEnd := strings.Cut(rest, end)
	if !okBegin || !okEnd {
		t.Fatalf("%s has no marks for the table", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
