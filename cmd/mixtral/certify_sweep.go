package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/hxp-enterprise/mixtral/certify"
	certreport "github.com/hxp-enterprise/mixtral/certify/report"
)

// sweep searches for the rate at which the server saturates, prints what it tried and keeps it beside the reports. It
// exits with 1 when the highest rate that held is below the case's target.
func (c certifyCmd) sweep(a *app, o certify.Options) error {
	loaded, err := certify.Load(c.Case, c.Set)
	if err != nil {
		return certifyError(a, err)
	}
	begun := time.Now()
	res, err := certify.Sweep(a.ctx, o, c.SweepStep, func(s certify.SweepStep) {
		fmt.Fprintf(a.stderr, "%.4g requests/s: %s\n", s.RPS, s.Why)
	})
	if res == nil {
		return certifyError(a, err)
	}
	path := filepath.Join(c.ReportDir, "sweep_"+certreport.BaseName(res.TestCase, begun)[len("performance_"):]+".json")
	data, jerr := json.MarshalIndent(res, "", "  ")
	if jerr == nil {
		jerr = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if jerr != nil {
		return jerr
	}
	if c.JSON {
		_, jerr = fmt.Fprintf(a.stdout, "%s\n", data)
	} else {
		jerr = sweepTable(a.stdout, res, path)
	}
	switch {
	case jerr != nil:
		return jerr
	case errors.Is(err, certify.ErrInterrupted):
		return exitWith(exitInterrupted)
	case res.Highest < loaded.Case.Targets.ThroughputRPS:
		return exitWith(exitFail)
	}
	return nil
}

func sweepTable(w io.Writer, res *certify.SweepResult, path string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "offered/s\tcompleted/s\trequests\tfailed\tmean ms\tup to\tin flight\t\t")
	for _, s := range res.Steps {
		fmt.Fprintf(t, "%.4g\t%.4g\t%d\t%d\t%.1f\t%.1f\t%d\t%s\t\n", s.RPS, s.CompletedRPS, s.Requests, s.Failed,
			s.MeanMS, s.HighMS, s.MaxInFlight, s.Why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "no rate that was tried held"
	if res.Highest > 0 {
		verdict = fmt.Sprintf("%s at %s holds %.4g requests/s", res.Model, res.Target, res.Highest)
	}
	if res.Lowest > 0 {
		verdict += fmt.Sprintf(", and %.4g no more", res.Lowest)
	}
	_, err := fmt.Fprintf(w, "%s\nsweep: %s\n", verdict, path)
	return err
}
