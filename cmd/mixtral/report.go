package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

type reportCmd struct {
	Show   reportShowCmd   `cmd:"" help:"Print a report as a table."`
	HTML   reportHTMLCmd   `cmd:"" name:"html" help:"Write a report as a self-contained HTML page."`
	Verify reportVerifyCmd `cmd:"" help:"Derive the verdict again from the recorded events, compare it byte for byte, and check its signature."`
	Sign   reportSignCmd   `cmd:"" help:"Sign a report and its record as an in-toto attestation."`
	Diff   reportDiffCmd   `cmd:"" help:"Compare reports; exit code 1 if anything got worse than in the first."`
	Trend  reportTrendCmd  `cmd:"" help:"Show how the figures of a test case changed over its runs in the database."`
	Merge  reportMergeCmd  `cmd:"" help:"Join the records of generators with that of their coordinator, and judge them as one run."`
	List   reportListCmd   `cmd:"" help:"List the runs in the database, or the reports in a directory."`
	Save   reportSaveCmd   `cmd:"" help:"Add reports to the database, such as that of a run that could not reach it."`
	Schema reportSchemaCmd `cmd:"" help:"Print the JSON Schema of a report."`
}

const noReportHint = "mixtral certify writes reports into reports/; mixtral report list shows the runs that were " +
	"kept, mixtral report list reports the files"

// openRef reads a report's file, or a run's report from the database.
func (d databaseFlag) openRef(a *app, ref string) (*reports.Report, []byte, error) {
	data, ok, err := d.stored(a, ref)
	switch {
	case err != nil:
		return nil, nil, err
	case !ok:
		if _, err := os.Stat(ref); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, usageError(withHint(fmt.Errorf("%s is neither a file nor the id of a run", ref),
				noReportHint))
		}
		return openReport(a, ref)
	}
	r, err := reports.Parse(data)
	if err != nil {
		return nil, nil, usageError(fmt.Errorf("run %s: %w", ref, err))
	}
	return r, data, nil
}

// openReport reads a report's JSON, or derives it if path is a record of events.
func openReport(a *app, path string) (*reports.Report, []byte, error) {
	if strings.HasSuffix(path, reports.EventsExt) || strings.HasSuffix(path, reports.EventsExt+".part") {
		d, err := derive(a, path)
		if err != nil {
			return nil, nil, err
		}
		data, err := reports.JSON(d.Report)
		return d.Report, data, err
	}
	r, data, err := reports.ReadFile(path)
	if err != nil {
		return nil, nil, usageError(withHint(err, noReportHint))
	}
	return r, data, nil
}

const noEventsHint = "the events lie beside the report, in its name with " + reports.EventsExt

// derive judges a record of events.
func derive(a *app, path string) (*judge.Derived, error) {
	return judged(a, func() (*judge.Derived, error) { return judge.DeriveFile(a.ctx, path) })
}

// judged runs a function that judges a record. A signal ends it at once.
func judged[T any](a *app, judge func() (*T, error)) (*T, error) {
	type result struct {
		d   *T
		err error
	}
	done := make(chan result, 1)
	go func() {
		d, err := judge()
		done <- result{d, err}
	}()
	select {
	case <-a.ctx.Done():
		return nil, exitWith(exitInterrupted)
	case x := <-done:
		switch {
		case a.ctx.Err() != nil:
			return nil, exitWith(exitInterrupted)
		case errors.Is(x.err, evidence.ErrTooLarge):
			return nil, usageError(x.err)
		case x.err != nil:
			return nil, usageError(withHint(x.err, noEventsHint))
		}
		return x.d, nil
	}
}

// recordOf returns the path of a report's record: beside its file, with the name that the report gives.
func recordOf(path string, r *reports.Report) string {
	if strings.HasSuffix(path, reports.EventsExt) || strings.HasSuffix(path, reports.EventsExt+".part") {
		return path
	}
	return reports.PathsFor(filepath.Dir(path), r).Events
}

// recordIn is recordOf. If that file does not exist, it returns the path in a directory of reports, which is that of a
// run from the database.
func recordIn(ref, dir string, r *reports.Report) string {
	path := recordOf(ref, r)
	if _, err := os.Stat(path); err != nil {
		path = reports.PathsFor(dir, r).Events
	}
	return path
}

type reportShowCmd struct {
	Report string `arg:"" help:"A report's .json, its .events.jsonl.gz, or a run's id or the beginning of it."`
	JSON   bool   `help:"Print the JSON."`
	databaseFlag
}

func (c *reportShowCmd) Run(a *app) error {
	r, data, err := c.openRef(a, c.Report)
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
	_, err := io.WriteString(raw(a.stdout), reports.Paint(visible(b.String())))
	return err
}

type reportHTMLCmd struct {
	File string   `arg:"" name:"report" help:"A report's .json, its .events.jsonl.gz, or a run's id or the beginning of it."`
	Out  string   `placeholder:"FILE" help:"File to write, - for standard output; default: beside the report."`
	Key  []string `sep:"none" placeholder:"FILE" help:"Public keys, one of which must have signed the report, as for report verify; repeatable. The page then names the signer, and is not written if the signature is not accepted."`
	JSON bool     `help:"Print the file's name as JSON."`
	databaseFlag
}

func (c *reportHTMLCmd) Run(a *app) error {
	r, data, err := c.openRef(a, c.File)
	if err != nil {
		return err
	}
	var series reports.Series
	events := recordOf(c.File, r)
	if _, err := os.Stat(events); err != nil {
		if _, err = os.Stat(events + ".part"); err != nil {
			fmt.Fprintf(a.stderr, "mixtral: no plots: %v\n", err)
			events = ""
		}
	}
	if events != "" {
		d, err := derive(a, events)
		if err != nil {
			return err
		}
		series = d.Series
	}
	signed := signaturesOf(reports.PathsFor(filepath.Dir(c.File), r).Attestation, data)
	if len(c.Key) > 0 {
		if signed, err = checkedSigners(a, c.File, c.Key); err != nil {
			return err
		}
	}
	write := func(w io.Writer) error { return reports.WriteHTML(w, r, series, signed...) }
	if c.Out == "-" {
		if c.JSON {
			return usageError(errors.New("--json and --out - cannot be used together: the page itself goes " +
				"to standard output"))
		}
		return write(a.stdout)
	}
	if c.Out == "" {
		c.Out = reports.PathsFor(filepath.Dir(c.File), r).HTML
	}
	if err := reports.WriteFile(c.Out, write); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a.stdout, map[string]string{"html": c.Out})
	}
	_, err = fmt.Fprintln(a.stdout, c.Out)
	return err
}

type reportSchemaCmd struct {
	JSON bool `help:"Print JSON; the schema is JSON in any case."`
}

func (reportSchemaCmd) Run(a *app) error {
	_, err := a.stdout.Write(reports.Schema())
	return err
}

type reportDiffCmd struct {
	A    string   `arg:"" help:"The earlier report: a file, or a run's id."`
	B    []string `arg:"" help:"The later reports. Each is compared with the first."`
	All  bool     `help:"Also show what stayed the same."`
	JSON bool     `help:"Print JSON."`
	databaseFlag
}

func (c *reportDiffCmd) Run(a *app) error {
	before, _, err := c.openRef(a, c.A)
	if err != nil {
		return err
	}
	names, statuses, with := []string{c.A}, []string{string(before.Status)}, []reports.Comparison{}
	for _, ref := range c.B {
		after, _, err := c.openRef(a, ref)
		if err != nil {
			return err
		}
		names, statuses = append(names, ref), append(statuses, string(after.Status))
		with = append(with, reports.DiffWith(before, after, shiftOf(a, recordOf(c.A, before), recordOf(ref, after))))
	}
	if a.ctx.Err() != nil {
		return exitWith(exitInterrupted)
	}
	if len(with) > 1 {
		return c.many(a, reports.NewTable(names, statuses, with))
	}
	cmp := with[0]
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

// many prints a comparison of more than two reports.
func (c *reportDiffCmd) many(a *app, t reports.Table) error {
	var err error
	if c.JSON {
		err = printJSON(a.stdout, t)
	} else {
		err = printPainted(a, func(w io.Writer) error { return reports.TableText(w, t, c.All) })
	}
	if err == nil && t.Worse() {
		return exitWith(exitFail)
	}
	return err
}

// shiftOf compares single latencies if both records are available; otherwise the intervals of the reports are used.
func shiftOf(a *app, before, after string) reports.Shift {
	done := make(chan reports.Shift, 1)
	go func() {
		shift, err := judge.Shift(a.ctx, before, after)
		if err != nil {
			shift = nil
		}
		done <- shift
	}()
	select {
	case shift := <-done:
		return shift
	case <-a.ctx.Done():
		return nil
	}
}
