package certify_test

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/faults"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// The bank's settings. bankRuns is the number of seeded runs of each server, bankHealthy that of the healthy ones
// (few blamed take more runs to show than many found), bankOnly the names of some, bankParallel how many run at once.
// bankDir keeps the records of the runs: what is there is judged again instead of run again, so that the bank can be
// run in parts, and a change of the judge be tried on all of them in minutes. With bankDoc the table is written into
// docs/CERTIFIER.md.
//
//	MIXTRAL_BANK=30 MIXTRAL_BANK_ONLY=healthy,stall go test ./certify -run 'TestBank$' -v -timeout 3h
const (
	bankRuns     = "MIXTRAL_BANK"
	bankHealthy  = "MIXTRAL_BANK_HEALTHY"
	bankOnly     = "MIXTRAL_BANK_ONLY"
	bankParallel = "MIXTRAL_BANK_PARALLEL"
	bankDir      = "MIXTRAL_BANK_DIR"
	bankDoc      = "MIXTRAL_BANK_DOC"
)

// atOnce is how many runs go on at once: a server of the bank sleeps most of the time.
const atOnce = 6

// The rates that the bank demands: so many runs of a fault are found, and so many of a healthy server blamed at most.
const (
	leastFound = 0.95
	mostBlamed = 0.02
)

// shortened makes a run of the quick profile of about 25 s. Slow faults are sped up to fit: what takes an hour in life
// takes 36 s.
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

// foundBy is the check that must fail a faulty server.
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
	status  map[string]int
	found   int            // runs in which the check of foundBy failed
	failed  map[string]int // checks that failed
	invalid map[string]int // checks that could not be judged, where that decided
}

// TestBank tries the certifier on servers that are known: a faulty one must not pass, a healthy one must not fail. It
// prints the table of CERTIFIER.md.
func TestBank(t *testing.T) {
	runs, err := strconv.Atoi(os.Getenv(bankRuns))
	if err != nil || runs < 1 {
		t.Skipf("takes long: set %s to the number of runs of each server", bankRuns)
	}
	parallel, healthyRuns := bankNumber(bankParallel, atOnce), bankNumber(bankHealthy, runs)
	servers := bankServers(t)
	tallies := map[faults.Fault]*tally{}
	for _, f := range servers {
		tallies[f] = &tally{status: map[string]int{}, failed: map[string]int{}, invalid: map[string]int{}}
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
				rep := bankRun(t, f, seed+1)
				if rep == nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				tallies[f].add(f, rep)
				if rep.Status != certify.Pass && slices.Contains(faults.HealthyOnes(), f) ||
					rep.Status != certify.Fail && !slices.Contains(faults.HealthyOnes(), f) {
					t.Logf("%s, seed %d: %s", f, seed+1, said(rep))
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

// bankNumber reads a setting that has a usual value.
func bankNumber(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return usual
}

// bankServers are all servers of the bank, or those that are asked for.
func bankServers(t *testing.T) []faults.Fault {
	only := os.Getenv(bankOnly)
	if only == "" {
		return append(faults.HealthyOnes(), faults.Planted()...)
	}
	var servers []faults.Fault
	for _, name := range strings.Split(only, ",") {
		f, err := faults.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, f)
	}
	return servers
}

// bankRun certifies one server, or judges the record of an earlier run again.
func bankRun(t *testing.T, f faults.Fault, seed int) *certify.Report {
	dir, kept := t.TempDir(), ""
	if root := os.Getenv(bankDir); root != "" {
		dir, kept = filepath.Join(dir, "run"), filepath.Join(root, fmt.Sprintf("%s-%d%s", f, seed, report.EventsExt))
		if record, err := evidence.ReadFile(kept); err == nil {
			rep, err := judge.Judge(record.Events)
			if err != nil {
				t.Errorf("%s: %v", kept, err)
				return nil
			}
			return rep
		}
	}
	s := faults.New(faults.Config{Fault: f, Seed: uint64(seed), Speed: bankSpeed})
	defer s.Close()
	h := httptest.NewServer(s)
	defer h.Close()
	rep, err := certify.Run(t.Context(), certify.Options{Target: h.URL, ReportDir: dir, Seed: int64(seed),
		Set: shortened})
	if err != nil {
		t.Errorf("%s, seed %d: %v", f, seed, err)
		return nil
	}
	if kept != "" {
		if err := os.Rename(filepath.Join(dir, rep.Evidence.File), kept); err != nil {
			t.Errorf("%s, seed %d: %v", f, seed, err)
		}
	}
	return rep
}

func (y *tally) add(f faults.Fault, rep *certify.Report) {
	y.runs++
	y.status[rep.Status]++
	for _, c := range rep.Checks {
		switch {
		case c.Verdict == certify.Fail:
			y.failed[c.ID]++
			if c.ID == foundBy[f] {
				y.found++
			}
		case c.Verdict == certify.Invalid && rep.Status == certify.Invalid:
			y.invalid[c.ID]++
		}
	}
}

// said is what decided a report's status.
func said(rep *certify.Report) string {
	out := rep.Status
	for _, c := range report.Deciding(rep) {
		out += "; " + c.ID + ": " + c.Reason
	}
	return out
}

// bankTable is the table of CERTIFIER.md.
func bankTable(servers []faults.Fault, tallies map[faults.Fault]*tally) string {
	var b strings.Builder
	b.WriteString("| server | runs | PASS | FAIL | INVALID | found by its check, or blamed | checks that failed | " +
		"checks that could not be judged, where that decided |\n|---|---|---|---|---|---|---|---|\n")
	for _, f := range servers {
		y := tallies[f]
		n := max(y.runs, 1)
		rate := fmt.Sprintf("%s %d/%d = %d %%", foundBy[f], y.found, y.runs, 100*y.found/n)
		if slices.Contains(faults.HealthyOnes(), f) {
			rate = fmt.Sprintf("blamed %d/%d = %.1f %%", y.status[certify.Fail], y.runs,
				100*float64(y.status[certify.Fail])/float64(n))
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s | %s | %s |\n", f, y.runs, y.status[certify.Pass],
			y.status[certify.Fail], y.status[certify.Invalid], rate, counts(y.failed), counts(y.invalid))
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

// writeTable puts the table between its marks in docs/CERTIFIER.md.
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
