package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
)

type reportListCmd struct {
	Dir     string `arg:"" optional:"" help:"Directory of report files to list instead of the database."`
	Case    string `placeholder:"ID" help:"List only runs of this test case."`
	Target  string `placeholder:"TEXT" help:"List only runs whose target's URL contains TEXT."`
	Verdict string `enum:"PASS,FAIL,INVALID," default:"" placeholder:"VERDICT" help:"List only runs with this verdict: PASS, FAIL or INVALID."`
	Limit   int    `range:"1.." default:"50" placeholder:"N" help:"List at most N runs, the newest; default: ${default}."`
	JSON    bool   `help:"Print JSON."`
	databaseFlag
}

// listed is a line of report list. Run is set if it comes from the database, File if it comes from a directory.
type listed struct {
	Run     string          `json:"run,omitempty"`
	File    string          `json:"file,omitempty"`
	Status  string          `json:"status"`
	Case    string          `json:"test_case"`
	Profile string          `json:"profile"`
	Start   time.Time       `json:"start"`
	Target  string          `json:"target"`
	Model   string          `json:"model"`
	Summary reports.Summary `json:"summary"`
}

func (c *reportListCmd) Run(a *app) error {
	read, where := c.fromDatabase, "in "+open.Name(c.Database)
	if c.Dir != "" {
		read, where = c.fromDir, "in "+c.Dir
	}
	list, err := read(a)
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(x, y listed) int {
		return cmp.Or(x.Start.Compare(y.Start),
			strings.Compare(x.Run, y.Run))
	})
	list = list[max(0, len(list)-c.Limit):]
	if c.JSON {
		return printJSON(a.stdout, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(a.stdout, "no reports %s\n", where)
		return err
	}
	return printListed(a, list)
}

func printListed(a *app, list []listed) error {
	last := "RUN"
	if list[0].Run == "" {
		last = "FILE"
	}
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "STATUS\tSTART\tPROFILE\tLATENCY MS\tRATE\tQUALITY\tCASE\tTARGET\t"+last)
	for _, l := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", reports.Clean(l.Status),
			l.Start.Format("2006-01-02 15:04"), reports.Clean(l.Profile),
			reports.Optional(l.Summary.AvgLatencyMS), reports.Optional(l.Summary.AvgThroughputRPS),
			reports.Optional(l.Summary.AvgQualityScore),
			reports.Clean(l.Case), reports.Clean(l.Target), cmp.Or(reports.Clean(l.Run), l.File))
	}
	return tw.Flush()
}

// fromDatabase lists the newest runs of the database.
func (c *reportListCmd) fromDatabase(a *app) ([]listed, error) {
	if c.Database == open.None {
		return nil, usageError(withHint(
			errors.New("report list: --database-url is none, so there are no runs to list"),
			"give a directory of report files, as in mixtral report list reports"))
	}
	list := []listed{}
	_, err := c.with(a, func(ctx context.Context, db *store.DB) error {
		runs, err := db.Runs(ctx, store.Filter{TestCase: c.Case, Status: c.Verdict, Target: c.Target, Limit: c.Limit})
		for _, r := range runs {
			list = append(list, listed{Run: r.ID, Status: r.Status, Case: r.TestCase, Profile: r.Profile,
				Start: r.Started, Target: r.Target, Model: r.Model,
				Summary: reports.Summary{AvgLatencyMS: r.LatencyMS, AvgThroughputRPS: r.RPS,
					AvgQualityScore: r.Quality, PeakMemoryGB: r.MemoryGB, PeakCPUCores: r.CPUCores}})
		}
		return err
	})
	return list, err
}

// fromDir lists the reports of a directory.
func (c *reportListCmd) fromDir(a *app) ([]listed, error) {
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.json"))
	if err != nil {
		return nil, usageError(fmt.Errorf("report list: %q: %w", c.Dir, err))
	}
	if info, err := os.Stat(c.Dir); err != nil || !info.IsDir() {
		return nil, usageError(withHint(fmt.Errorf("report list: %s is not a directory", c.Dir), noReportHint))
	}
	list := []listed{}
	for _, f := range files {
		r, _, err := reports.ReadFile(f)
		if errors.Is(err, reports.ErrFormat) {
			fmt.Fprintf(a.stderr, "mixtral: skipped: %v\n", err)
			continue
		} else if err != nil {
			return nil, err
		}
		if c.Case != "" && r.TestCase != c.Case || c.Verdict != "" && string(r.Status) != c.Verdict ||
			!strings.Contains(r.Target.URL, c.Target) {
			continue
		}
		list = append(list, listed{File: f, Status: string(r.Status), Case: r.TestCase, Profile: r.Profile,
			Start: startOf(r), Target: r.Target.URL, Model: r.Target.Model, Summary: r.Summary})
	}
	return list, nil
}
