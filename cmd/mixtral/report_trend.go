package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
)

type reportTrendCmd struct {
	Case    string   `arg:"" help:"Id of the test case."`
	Figure  []string `sep:"none" placeholder:"TEXT" help:"Show only figures whose name contains TEXT, such as latency; repeatable. Default: those of the checks."`
	Target  string   `placeholder:"TEXT" help:"Show only runs whose target's URL contains TEXT."`
	Profile string   `placeholder:"NAME" help:"Show only runs of this profile."`
	Limit   int      `range:"1.." default:"20" placeholder:"N" help:"Show at most N runs, the newest; default: ${default}."`
	SVG     string   `name:"svg" placeholder:"FILE" help:"Also draw the figures into FILE; with -, print the drawing instead of the table."`
	JSON    bool     `help:"Print JSON."`
	databaseFlag
}

func (c *reportTrendCmd) Run(a *app) error {
	if c.JSON && c.SVG == "-" {
		return usageError(errors.New("--json and --svg - cannot be used together: both go to standard output"))
	}
	if c.Database == open.None {
		return usageError(errors.New("report trend: --database-url is none, so there are no runs"))
	}
	ids, list, err := c.runs(a)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return usageError(withHint(fmt.Errorf("no runs of %s in %s", c.Case, open.Name(c.Database)),
			"mixtral report list shows the runs"))
	}
	t := reports.NewTrend(ids, list)
	t.Only(c.Figure)
	if c.SVG == "-" {
		return reports.TrendSVG(a.stdout, t)
	}
	if c.SVG != "" {
		if err := reports.WriteFile(c.SVG, func(w io.Writer) error { return reports.TrendSVG(w, t) }); err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(a.stdout, t)
	}
	return printPainted(a, func(w io.Writer) error { return reports.TrendText(w, t) })
}

// runs reads the newest runs and returns them oldest first.
func (c *reportTrendCmd) runs(a *app) (ids []string, list []*reports.Report, err error) {
	_, err = c.with(a, func(ctx context.Context, db *store.DB) error {
		found, err := db.Runs(ctx, store.Filter{TestCase: c.Case, Target: c.Target, Limit: 10 * c.Limit})
		if err != nil {
			return err
		}
		for _, f := range found {
			if c.Profile != "" && f.Profile != c.Profile || len(list) == c.Limit {
				continue
			}
			whole, err := db.Run(ctx, f.ID)
			if err != nil {
				return err
			}
			r, err := reports.Parse(whole.Report)
			if err != nil {
				return fmt.Errorf("run %s: %w", f.ID, err)
			}
			ids, list = append(ids, f.ID), append(list, r)
		}
		return nil
	})
	slices.Reverse(ids)
	slices.Reverse(list)
	return ids, list, err
}
