package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/hxp-enterprise/mixtral"
	reports "github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
)

// databaseFlag is for commands that keep runs in a database or read them from it.
type databaseFlag struct {
	Database string `name:"database-url" env:"MIXTRAL_DATABASE_URL" placeholder:"URL" help:"Database that keeps the runs: postgres://user@host/database or sqlite:PATH; none keeps none. Default: an SQLite file in the user's data directory."`
}

const databaseHint = "--database-url or MIXTRAL_DATABASE_URL names another: postgres://user@host:port/database or " +
	"sqlite:PATH; none turns it off"

// valid refuses a malformed URL before any work is done. A missing home directory for the default file is not an error
// here.
func (d databaseFlag) valid() error {
	c := mixtral.DefaultConfig()
	c.DatabaseURL = d.Database // a key of the configuration with the same rule
	var e *mixtral.ConfigError
	if errors.As(c.Validate(), &e) {
		return usageError(fmt.Errorf("--database-url: %s, got %s", e.Problems[0].Allowed, e.Problems[0].Value))
	}
	return nil
}

// databaseTimeout bounds all database work of one command: a verdict must not wait for ever for its copy.
const databaseTimeout = 15 * time.Second

// save stores runs. The files of the report are complete by then, and the verdict does not change: an error here
// concerns only the copy. An interrupted run is stored too.
func (d databaseFlag) save(a *app, list ...*store.Run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), databaseTimeout)
	defer cancel()
	db, err := open.DB(ctx, d.Database)
	if err != nil {
		return fmt.Errorf("%s: %w", open.Name(d.Database), err)
	}
	defer db.Close()
	for _, r := range list {
		if err := db.SaveRun(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", open.Name(d.Database), err)
		}
	}
	return nil
}

// keep is save for a command whose exit code has another meaning: it returns the run's id, or prints a warning and
// returns none.
func (d databaseFlag) keep(a *app, rep *reports.Report, file string) (id string) {
	if d.Database == open.None {
		return ""
	}
	data, err := reports.JSON(rep)
	if err == nil {
		r := runOf(rep, data)
		if err = d.save(a, r); err == nil {
			return r.ID
		}
	}
	fmt.Fprintf(a.stderr, "mixtral: the run could not be saved in the database: %v\nhint: the report is "+
		"complete; when the database is available, mixtral report save %s adds it\n", err, file)
	return ""
}

// with opens the database for reading. If there is none yet, f is not called, and found is false.
func (d databaseFlag) with(a *app, f func(context.Context, *store.DB) error) (found bool, err error) {
	if d.Database == open.None {
		return false, nil
	}
	if err := d.valid(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(a.ctx, databaseTimeout)
	defer cancel()
	db, err := open.Existing(ctx, d.Database)
	if errors.Is(err, open.ErrNoFile) {
		return false, nil
	}
	if err != nil {
		return false, setupError(withHint(fmt.Errorf("%s: %w", open.Name(d.Database), err), databaseHint))
	}
	defer db.Close()
	return true, f(ctx, db)
}

// runID matches an id or the beginning of one. Four digits are short enough to type.
var runID = regexp.MustCompile(`^[0-9a-f]{4,16}$`)

// stored finds a run's report by its id or the beginning of it. ok is false if ref means a file: there is one with
// this name, or ref does not look like an id.
func (d databaseFlag) stored(a *app, ref string) (data []byte, ok bool, err error) {
	if _, err := os.Stat(ref); err == nil || !runID.MatchString(ref) {
		return nil, false, nil
	}
	found, err := d.with(a, func(ctx context.Context, db *store.DB) error {
		id, err := db.Find(ctx, ref)
		if err != nil {
			return err
		}
		r, err := db.Run(ctx, id)
		if err == nil {
			data = r.Report
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !found:
		return nil, true, usageError(withHint(fmt.Errorf("%s is neither a file nor the id of a run in %s", ref,
			open.Name(d.Database)), "mixtral report list shows the runs"))
	case errors.Is(err, store.ErrAmbiguous):
		return nil, true, usageError(withHint(err, "give more of its digits: mixtral report list shows the runs"))
	case err != nil:
		return nil, true, err
	}
	return data, true, nil
}

// runOf returns what the database stores of a report. data is its JSON.
func runOf(rep *reports.Report, data []byte) *store.Run {
	r := &store.Run{
		ID: store.RunID(rep.Evidence.SHA256), TestCase: rep.TestCase, Profile: rep.Profile, Status: string(rep.Status),
		Started: startOf(rep), Target: rep.Target.URL,
		Model: rep.Target.Model, Version: rep.Fingerprints["version"], LatencyMS: rep.Summary.AvgLatencyMS,
		RPS:     rep.Summary.AvgThroughputRPS,
		Quality: rep.Summary.AvgQualityScore, MemoryGB: rep.Summary.PeakMemoryGB, CPUCores: rep.Summary.PeakCPUCores,
		Report: data,
	}
	for _, c := range rep.Checks {
		r.Checks = append(r.Checks, store.Check{ID: c.ID, Phase: c.Phase, Verdict: string(c.Verdict), Gate: c.Gate,
			Measured: c.Measured, Target: c.Target, Unit: c.Unit, Reason: c.Reason})
	}
	for _, p := range rep.Phases {
		kept := store.Phase{ID: p.ID, Kind: string(p.Kind), DurationS: p.DurationS, Scheduled: p.Scheduled,
			Completed: p.Completed, Failed: p.Failed, RPS: p.RPS}
		if p.Latency != nil {
			kept.LatencyMS = &p.Latency.Mean
		}
		r.Phases = append(r.Phases, kept)
	}
	return r
}

// startOf returns the start time of a run.
func startOf(r *reports.Report) time.Time { return time.UnixMilli(int64(r.Timestamp * 1000)).UTC() }

// reportSaveCmd adds reports to the database: those of runs that could not reach it, or that were made on other
// machines.
type reportSaveCmd struct {
	Files []string `arg:"" name:"file" help:"Reports' .json, or their .events.jsonl.gz."`
	JSON  bool     `help:"Print JSON."`
	databaseFlag
}

// savedReport is what save --json prints for each file.
type savedReport struct {
	Run  string `json:"run"` // the run's id in the database
	File string `json:"file"`
}

func (c *reportSaveCmd) Run(a *app) error {
	if err := c.valid(); err != nil {
		return err
	}
	var list []*store.Run
	for _, f := range c.Files {
		rep, data, err := openReport(a, f)
		if err != nil {
			return err
		}
		r := runOf(rep, data)
		if !runID.MatchString(r.ID) {
			return usageError(withHint(fmt.Errorf("%s: evidence.sha256: must be a SHA-256, whose first digits are "+
				"the run's id; got %q", f, rep.Evidence.SHA256),
				"mixtral report save takes the record of events too"))
		}
		list = append(list, r)
	}
	if err := c.save(a, list...); err != nil {
		return setupError(withHint(err, databaseHint))
	}
	if c.JSON {
		all := make([]savedReport, len(list))
		for i, r := range list {
			all[i] = savedReport{Run: r.ID, File: c.Files[i]}
		}
		return printJSON(a.stdout, all)
	}
	for i, r := range list {
		if _, err := fmt.Fprintf(a.stdout, "%s  %s\n", r.ID, c.Files[i]); err != nil {
			return err
		}
	}
	return nil
}
