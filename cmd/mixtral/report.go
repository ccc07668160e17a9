package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/evidence"
	"github.com/hxp-enterprise/mixtral/internal/judge"
	reports "github.com/hxp-enterprise/mixtral/internal/report"
)

type reportCmd struct {
	Show   reportShowCmd   `cmd:"" help:"Print a report as a table."`
	HTML   reportHTMLCmd   `cmd:"" name:"html" help:"Write a report as one self-contained page."`
	Verify reportVerifyCmd `cmd:"" help:"Derive the verdict again from the recorded events and compare it byte for byte."`
	Diff   reportDiffCmd   `cmd:"" help:"What got better or worse between two reports; exit code 1 if anything got worse."`
	List   reportListCmd   `cmd:"" help:"The reports of a directory."`
	Schema reportSchemaCmd `cmd:"" help:"Print the JSON Schema of a report."`
}

const noReportHint = "mixtral certify writes reports into reports/, mixtral report list shows them"

// openReport reads a report's JSON, or derives it if path is a record of events.
func openReport(path string) (*reports.Report, []byte, error) {
	if strings.HasSuffix(path, reports.EventsExt) || strings.HasSuffix(path, reports.EventsExt+".part") {
		rec, err := openRecord(path)
		if err != nil {
			return nil, nil, err
		}
		r, err := judge.Judge(rec.Events)
		if err != nil {
			return nil, nil, usageError(fmt.Errorf("%s: %w", path, err))
		}
		data, err := reports.JSON(r)
		return r, data, err
	}
	r, data, err := reports.ReadFile(path)
	if err != nil {
		return nil, nil, usageError(withHint(err, noReportHint))
	}
	return r, data, nil
}

func openRecord(path string) (*evidence.Record, error) {
	rec, err := evidence.ReadFile(path)
	if err != nil {
		return nil, usageError(withHint(err, "the events lie beside the report, in its name with "+reports.EventsExt))
	}
	return rec, nil
}

// recordOf finds the events of a report: beside its file, under the name that it gives.
func recordOf(path string, r *reports.Report) string {
	if strings.HasSuffix(path, reports.EventsExt) || strings.HasSuffix(path, reports.EventsExt+".part") {
		return path
	}
	return reports.PathsFor(filepath.Dir(path), r).Events
}

type reportShowCmd struct {
	File string `arg:"" help:"A report's .json, or its .events.jsonl.gz."`
	JSON bool   `help:"Print the JSON."`
}

func (c *reportShowCmd) Run(a *app) error {
	r, data, err := openReport(c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = a.stdout.Write(data)
		return err
	}
	return printReport(a, r)
}

// printReport prints a report as a table, in colour on a terminal unless NO_COLOR is set.
func printReport(a *app, r *reports.Report) error {
	return printPainted(a, func(w io.Writer) error { return reports.Text(w, r) })
}

func printPainted(a *app, write func(io.Writer) error) error {
	if !isTerminal(a.stdout) || a.getenv("NO_COLOR") != "" {
		return write(a.stdout)
	}
	var b strings.Builder
	if err := write(&b); err != nil {
		return err
	}
	_, err := io.WriteString(a.stdout, reports.Paint(b.String()))
	return err
}

type reportHTMLCmd struct {
	File string `arg:"" help:"A report's .json, or its .events.jsonl.gz."`
	Out  string `help:"The page's file, - for stdout; default: beside the report."`
}

func (c *reportHTMLCmd) Run(a *app) error {
	r, _, err := openReport(c.File)
	if err != nil {
		return err
	}
	var series reports.Series
	events := recordOf(c.File, r)
	if rec, err := evidence.ReadFile(events); err != nil {
		fmt.Fprintf(a.stderr, "mixtral: no plots: %v\n", err)
	} else if _, series, err = judge.Derive(rec.Events); err != nil {
		return usageError(fmt.Errorf("%s: %w", events, err))
	}
	write := func(w io.Writer) error { return reports.WriteHTML(w, r, series) }
	if c.Out == "-" {
		return write(a.stdout)
	}
	if c.Out == "" {
		c.Out = reports.PathsFor(filepath.Dir(c.File), r).HTML
	}
	if err := reports.WriteFile(c.Out, write); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, c.Out)
	return err
}

type reportVerifyCmd struct {
	File   string `arg:"" help:"A report's .json."`
	Events string `help:"The record of events; default: beside the report."`
}

func (c *reportVerifyCmd) Run(a *app) error {
	r, data, err := openReport(c.File)
	if err != nil {
		return err
	}
	if c.Events == "" {
		c.Events = recordOf(c.File, r)
	}
	rec, err := openRecord(c.Events)
	if err != nil {
		return err
	}
	again, err := judge.Judge(rec.Events)
	if err != nil {
		return usageError(fmt.Errorf("%s: %w", c.Events, err))
	}
	want, err := reports.JSON(again)
	if err != nil {
		return err
	}
	if rec.Lost > 0 || rec.Cut {
		fmt.Fprintf(a.stderr, "mixtral: %s breaks off: %d lines are lost\n", c.Events, rec.Lost)
	}
	differences, err := reports.Differences(data, want)
	if err != nil {
		return usageError(fmt.Errorf("%s: %w", c.File, err))
	}
	if len(differences) == 0 {
		_, err = fmt.Fprintf(a.stdout, "verified: %s follows from %d events, byte for byte\n  %s\n  events sha256 %s\n", r.Status, len(rec.Events), c.File, again.Evidence.SHA256)
		return err
	}
	fmt.Fprintf(a.stdout, "NOT verified: %s does not follow from %s\n", c.File, c.Events)
	for i, d := range differences {
		if i == mostDifferences {
			fmt.Fprintf(a.stdout, "  and %d more\n", len(differences)-i)
			break
		}
		fmt.Fprintf(a.stdout, "  %s\n", d)
	}
	if v := again.Fingerprints["version"]; v != "" && v != versionString() {
		fmt.Fprintf(a.stderr, "hint: the report was made by %s, this is %s: rules may have changed between them\n", v, versionString())
	}
	return exitWith(exitFail)
}

const mostDifferences = 20

type reportSchemaCmd struct{}

func (reportSchemaCmd) Run(a *app) error {
	_, err := a.stdout.Write(reports.Schema())
	return err
}

type reportDiffCmd struct {
	A    string `arg:"" help:"The report before."`
	B    string `arg:"" help:"The report after."`
	All  bool   `help:"Show what stayed the same too."`
	JSON bool   `help:"Print JSON."`
}

func (c *reportDiffCmd) Run(a *app) error {
	before, _, err := openReport(c.A)
	if err != nil {
		return err
	}
	after, _, err := openReport(c.B)
	if err != nil {
		return err
	}
	cmp := reports.DiffWith(before, after, shiftOf(recordOf(c.A, before), recordOf(c.B, after)))
	if c.JSON {
		err = printJSON(a.stdout, cmp)
	} else {
		err = printPainted(a, func(w io.Writer) error { return reports.DiffText(w, cmp, c.All) })
	}
	if err == nil && cmp.Worse() {
		return exitWith(exitFail)
	}
	return err
}

// shiftOf compares single latencies where both records are at hand; the reports' intervals do otherwise.
func shiftOf(a, b string) reports.Shift {
	x, errX := evidence.ReadFile(a)
	y, errY := evidence.ReadFile(b)
	if errX != nil || errY != nil {
		return nil
	}
	shift, err := judge.Shift(x.Events, y.Events)
	if err != nil {
		return nil
	}
	return shift
}

type reportListCmd struct {
	Dir  string `arg:"" optional:"" default:"reports" help:"Where the reports lie."`
	JSON bool   `help:"Print JSON."`
}

// listed is a line of report list.
type listed struct {
	File    string          `json:"file"`
	Status  string          `json:"status"`
	Case    string          `json:"test_case"`
	Profile string          `json:"profile"`
	Start   time.Time       `json:"start"`
	Target  string          `json:"target"`
	Summary reports.Summary `json:"summary"`
}

func (c *reportListCmd) Run(a *app) error {
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.json"))
	if err != nil {
		return usageError(fmt.Errorf("report list: %q: %w", c.Dir, err))
	}
	if info, err := os.Stat(c.Dir); err != nil || !info.IsDir() {
		return usageError(withHint(fmt.Errorf("report list: %s is no directory", c.Dir), noReportHint))
	}
	list := []listed{}
	for _, f := range files {
		r, _, err := reports.ReadFile(f)
		if errors.Is(err, reports.ErrFormat) {
			fmt.Fprintf(a.stderr, "mixtral: skipped: %v\n", err)
			continue
		} else if err != nil {
			return err
		}
		list = append(list, listed{f, r.Status, r.TestCase, r.Profile, time.UnixMilli(int64(r.Timestamp * 1000)).UTC(), r.Target.URL, r.Summary})
	}
	slices.SortStableFunc(list, func(x, y listed) int { return x.Start.Compare(y.Start) })
	if c.JSON {
		return printJSON(a.stdout, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(a.stdout, "no reports in %s\n", c.Dir)
		return err
	}
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "STATUS\tSTART\tPROFILE\tLATENCY MS\tRATE\tQUALITY\tFILE")
	for _, l := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", reports.Clean(l.Status), l.Start.Format("2006-01-02 15:04"), reports.Clean(l.Profile),
			reports.Optional(l.Summary.AvgLatencyMS), reports.Optional(l.Summary.AvgThroughputRPS), reports.Optional(l.Summary.AvgQualityScore), l.File)
	}
	return tw.Flush()
}
