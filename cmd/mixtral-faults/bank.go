package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sync/errgroup"

	"github.com/hxp-enterprise/mixtral/certify"
	"github.com/hxp-enterprise/mixtral/internal/faults"
	"github.com/hxp-enterprise/mixtral/internal/stats"
	"github.com/hxp-enterprise/mixtral/internal/testcase"
)

type bankCmd struct {
	Runs     int    `default:"30" help:"Seeded runs of each server."`
	Parallel int    `default:"6" help:"Runs at the same time."`
	Only     string `help:"Names, separated by commas; all if not given."`
	Seed     int64  `default:"1" help:"Of the first run; each run has the next."`
	Write    string `help:"A Markdown file whose lines between <!-- bank --> and <!-- /bank --> are replaced by the table."`
	Keep     string `help:"A folder for the reports of wrong verdicts."`
}

// speed is how much faster than in life slow faults happen: 12 s stand for an hour.
const speed = 300

// profile is the short profile: every phase of the case, as short as its statistics allow; the open loop is longer than the
// 10 s from one stall to the next.
var profile = testcase.Phases{
	{ID: "warmup", Kind: testcase.KindWarmup, Concurrency: 2, Requests: 10, DurationS: 0.5, MaxS: 5, MaxTokens: 16},
	{ID: "single", Kind: testcase.KindClosed, Concurrency: 1, Prompts: []string{"reasoning/complex", "analysis/medium"}, Requests: 12, DurationS: 3, MaxS: 40, MaxTokens: 32},
	{ID: "batch", Kind: testcase.KindBatch, Prompts: []string{"reasoning/simple"}, Requests: 50, MaxTokens: 8},
	{ID: "concurrent", Kind: testcase.KindClosed, Prompts: []string{"analysis/medium"}, Requests: 40, DurationS: 3, RampS: 0.5, MaxS: 30, MaxTokens: 32},
	{ID: "sustained", Kind: testcase.KindOpen, Prompts: []string{"reasoning/simple"}, RPSFactor: 1.15, DurationS: 14, RampS: 1, MaxTokens: 8},
	{ID: "single-again", Kind: testcase.KindClosed, Concurrency: 1, Prompts: []string{"reasoning/complex", "analysis/medium"}, Requests: 12, DurationS: 3, MaxS: 40, MaxTokens: 32, CompareTo: "single"},
	{ID: "idle", Kind: testcase.KindIdle, DurationS: 2},
	{ID: "audits", Kind: testcase.KindAudit},
	{ID: "quality", Kind: testcase.KindQuality, Concurrency: 1, MaxTokens: 512, KeepText: true},
	{ID: "quality-under-load", Kind: testcase.KindQuality, Concurrency: 10, MaxTokens: 512, KeepText: true},
}

// result of one run.
type result struct {
	fault  faults.Fault
	seed   int64
	status string
	failed []string // ids of the checks that say FAIL
	other  []string // … INVALID
}

func (c bankCmd) Run(ctx context.Context) error {
	list, err := pick(c.Only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bank")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	caseFile, err := writeCase(dir)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var results []result
	begin := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Parallel))
	total := c.Runs * len(list)
	for i := range c.Runs {
		for _, f := range list {
			g.Go(func() error {
				r, err := c.one(ctx, f, c.Seed+int64(i), caseFile, dir)
				if err != nil {
					return fmt.Errorf("%s, seed %d: %w", f, c.Seed+int64(i), err)
				}
				mu.Lock()
				defer mu.Unlock()
				results = append(results, r)
				fmt.Fprintf(os.Stderr, "%4d of %d, %4.0f s  %-18s seed %-3d %-8s %s\n", len(results), total, time.Since(begin).Seconds(), f, r.seed, r.status, strings.Join(append(r.failed, r.other...), " "))
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	table := tabulate(list, results)
	fmt.Print(table)
	if c.Write != "" {
		return rewrite(c.Write, table)
	}
	return nil
}

// writeCase writes the test case with the short profile in place of its own.
func writeCase(dir string) (string, error) {
	loaded, err := certify.Load("", nil)
	if err != nil {
		return "", err
	}
	loaded.Case.Profiles = map[string]testcase.Phases{"bank": profile}
	data, err := yaml.Marshal(loaded.Case)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "case.yaml")
	return path, os.WriteFile(path, data, 0o644)
}

// one certifies one server once.
func (c bankCmd) one(ctx context.Context, f faults.Fault, seed int64, caseFile, dir string) (result, error) {
	s := faults.New(faults.Config{Fault: f, Seed: uint64(seed), Speed: speed})
	h := httptest.NewServer(s)
	defer func() { h.CloseClientConnections(); h.Close(); s.Close() }()
	reports := filepath.Join(dir, fmt.Sprintf("%s-%d", f, seed))
	defer os.RemoveAll(reports)
	rep, err := certify.Run(ctx, certify.Options{Case: caseFile, Profile: "bank", Target: h.URL, Seed: seed, ReportDir: reports})
	if err != nil {
		return result{}, err
	}
	r := result{fault: f, seed: seed, status: rep.Status}
	for _, check := range rep.Checks {
		switch {
		case !check.Gate:
		case check.Verdict == certify.Fail:
			r.failed = append(r.failed, check.ID)
		case check.Verdict == certify.Invalid:
			r.other = append(r.other, "("+check.ID+")")
		}
	}
	if healthy := slices.Contains(faults.HealthyOnes(), f); c.Keep != "" && healthy != (rep.Status == certify.Pass) {
		return r, os.CopyFS(filepath.Join(c.Keep, filepath.Base(reports)), os.DirFS(reports))
	}
	return r, nil
}

// tabulate counts verdicts. A fault is detected when the run says FAIL; a healthy server that gets FAIL is a false alarm.
func tabulate(list []faults.Fault, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| server | runs | PASS | FAIL | INVALID | rate | 95 %% interval | found by |\n|---|---:|---:|---:|---:|---:|---|---|\n")
	for _, f := range list {
		n, count, by := 0, map[string]int{}, map[string]int{}
		for _, r := range results {
			if r.fault != f {
				continue
			}
			n++
			count[r.status]++
			if r.status == certify.Fail {
				for _, id := range r.failed {
					by[id]++
				}
			}
		}
		if n == 0 {
			continue
		}
		what, k := "detected", count[certify.Fail]
		if slices.Contains(faults.HealthyOnes(), f) {
			what = "false alarms"
		}
		lo, hi := stats.Wilson(k, n, 0.95)
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %.0f %% %s | %.0f–%.0f %% | %s |\n", f, n, count[certify.Pass], count[certify.Fail], count[certify.Invalid],
			100*float64(k)/float64(n), what, 100*lo, 100*hi, strings.Join(ranked(by), ", "))
	}
	return b.String()
}

// ranked lists what is counted, most first, with counts.
func ranked(count map[string]int) []string {
	var ids []string
	for id := range count {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	for i, id := range ids {
		ids[i] = fmt.Sprintf("%s %d", id, count[id])
	}
	return ids
}

const (
	opening = "<!-- bank -->\n"
	closing = "<!-- /bank -->\n"
)

// rewrite puts the table between the file's marks.
func rewrite(path, table string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(data), opening)
	_, after, closed := strings.Cut(rest, closing)
	if !ok || !closed {
		return fmt.Errorf("%s: has no lines %q and %q", path, strings.TrimSpace(opening), strings.TrimSpace(closing))
	}
	return os.WriteFile(path, []byte(before+opening+table+closing+after), 0o644)
}
