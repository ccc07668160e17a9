package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/merge"
)

// reportMergeCmd joins the records of one run's generators.
type reportMergeCmd struct {
	Records   []string `arg:"" help:"Records (.events.jsonl.gz, or .part of a run that was killed) of the coordinator and of its generators."`
	ReportDir string   `default:"merged" placeholder:"DIR" help:"Directory for the merged record and its report; default: ${default}."`
	JSON      bool     `help:"Print JSON."`
}

// mergedReport is what report merge --json prints.
type mergedReport struct {
	*merge.Result
	Status string `json:"status"`
	Report string `json:"report"`
	Events string `json:"events"`
}

func (c *reportMergeCmd) Run(a *app) error {
	if err := os.MkdirAll(c.ReportDir, 0o755); err != nil {
		return usageError(err)
	}
	var (
		record *evidence.Writer
		err    error
	)
	result, err := merge.Files(a.ctx, c.Records, func(e *evidence.Event) error {
		if e.Header != nil && record == nil {
			name := reports.BaseName(e.Header.Case.ID, e.Header.Start) + reports.EventsExt
			record, err = evidence.Create(filepath.Join(c.ReportDir, name))
			if err != nil {
				return err
			}
		}
		return record.Add(*e)
	})
	if err == nil {
		err = record.Close()
	}
	if err != nil && record != nil {
		err = errors.Join(err, record.Discard())
	}
	switch {
	case err != nil && a.ctx.Err() != nil:
		return exitWith(exitInterrupted)
	case errors.Is(err, os.ErrExist):
		return usageError(withHint(err, "give another --report-dir"))
	case err != nil:
		return usageError(err)
	}
	d, err := derive(a, record.Path())
	if err != nil { // the command may be repeated
		return errors.Join(err, os.Remove(record.Path()))
	}
	paths, err := reports.Save(c.ReportDir, d.Report, d.Series)
	if err != nil {
		return err
	}
	out := mergedReport{Result: result, Status: string(d.Report.Status), Report: paths.JSON, Events: paths.Events}
	if c.JSON {
		return printJSON(a.stdout, out)
	}
	var by []string
	for g := range len(d.Report.Generators) {
		if n := result.Generators[g+1]; n > 0 {
			by = append(by, fmt.Sprintf("%d of generator %d", n, g+1))
		}
	}
	if len(by) == 0 {
		by = []string{"none: the record had all of them"}
	}
	if err := printReport(a, d.Report); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "requests added: %s\nreport: %s\nevents: %s\n", strings.Join(by, ", "), paths.JSON,
		paths.Events)
	return err
}
