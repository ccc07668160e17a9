package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Run is one certification, with what people search for beside the whole report.
type Run struct {
	ID        string // unique; "TC-L1-COMP-MIXTRAL-003_1700000000"
	TestCase  string
	Profile   string
	Status    string // PASS, FAIL, INVALID
	Started   time.Time
	Target    string
	Model     string
	Version   string
	LatencyMS *float64 // nil: not measured
	RPS       *float64
	Quality   *float64
	MemoryGB  *float64
	CPUCores  *float64
	Checks    []Check
	Phases    []Phase
	Report    []byte // the JSON report, byte for byte
}

// Check is one judged criterion of a run.
type Check struct {
	ID, Phase, Verdict string
	Gate               bool
	Measured, Target   *float64
	Unit, Reason       string
}

// Phase is one phase of a run.
type Phase struct {
	ID, Kind                     string
	DurationS                    float64
	Scheduled, Completed, Failed int
	RPS                          float64
	LatencyMS                    *float64
}

// SaveRun stores a run with its checks and phases, all or nothing. A run with the same ID is replaced: saving twice is
// harmless.
func (d *DB) SaveRun(ctx context.Context, r *Run) error {
	err := d.inTx(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"checks", "phases"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE run_id = $1", r.ID); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO runs (id, test_case, profile, status, started_us, target, model, version, latency_ms, rps, quality, memory_gb, cpu_cores, report)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
			ON CONFLICT (id) DO UPDATE SET test_case = excluded.test_case, profile = excluded.profile, status = excluded.status,
				started_us = excluded.started_us, target = excluded.target, model = excluded.model, version = excluded.version,
				latency_ms = excluded.latency_ms, rps = excluded.rps, quality = excluded.quality, memory_gb = excluded.memory_gb,
				cpu_cores = excluded.cpu_cores, report = excluded.report`,
			r.ID, r.TestCase, r.Profile, r.Status, micros(r.Started), r.Target, r.Model, r.Version,
			r.LatencyMS, r.RPS, r.Quality, r.MemoryGB, r.CPUCores, string(r.Report)); err != nil {
			return err
		}
		for i, c := range r.Checks {
			if _, err := tx.ExecContext(ctx, insertText("checks", []string{"run_id", "position", "id", "phase", "verdict", "gate", "measured", "target", "unit", "reason"}),
				r.ID, i, c.ID, c.Phase, c.Verdict, flag(c.Gate), c.Measured, c.Target, c.Unit, c.Reason); err != nil {
				return err
			}
		}
		for i, p := range r.Phases {
			if _, err := tx.ExecContext(ctx, insertText("phases", []string{"run_id", "position", "id", "kind", "duration_s", "scheduled", "completed", "failed", "rps", "latency_ms"}),
				r.ID, i, p.ID, p.Kind, p.DurationS, p.Scheduled, p.Completed, p.Failed, p.RPS, p.LatencyMS); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save run %s: %w", r.ID, err)
	}
	return nil
}

const runColumns = "id, test_case, profile, status, started_us, target, model, version, latency_ms, rps, quality, memory_gb, cpu_cores"

func scanRun(row interface{ Scan(...any) error }, r *Run, more ...any) error {
	var us int64
	err := row.Scan(append([]any{&r.ID, &r.TestCase, &r.Profile, &r.Status, &us, &r.Target, &r.Model, &r.Version,
		&r.LatencyMS, &r.RPS, &r.Quality, &r.MemoryGB, &r.CPUCores}, more...)...)
	r.Started = fromMicros(us)
	return err
}

// Runs lists the newest runs first, without checks, phases and report. testCase may be empty: all cases.
func (d *DB) Runs(ctx context.Context, testCase string, limit int) ([]Run, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT "+runColumns+" FROM runs WHERE ($1 = '' OR test_case = $1) ORDER BY started_us DESC, id DESC LIMIT $2", testCase, limit)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	defer rows.Close()
	var out []Run
	for rows.Next() {
		var r Run
		if err := scanRun(rows, &r); err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// Run loads one run whole. ErrNotFound is matched if it is not there.
func (d *DB) Run(ctx context.Context, id string) (*Run, error) {
	r := &Run{}
	var text string
	err := scanRun(d.sql.QueryRowContext(ctx, "SELECT "+runColumns+", report FROM runs WHERE id = $1", id), r, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("run %q: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("run %q: %w", id, err)
	}
	r.Report = []byte(text)
	if err := d.checks(ctx, r); err != nil {
		return nil, fmt.Errorf("run %q: %w", id, err)
	}
	if err := d.phases(ctx, r); err != nil {
		return nil, fmt.Errorf("run %q: %w", id, err)
	}
	return r, nil
}

func (d *DB) checks(ctx context.Context, r *Run) error {
	rows, err := d.sql.QueryContext(ctx, "SELECT id, phase, verdict, gate, measured, target, unit, reason FROM checks WHERE run_id = $1 ORDER BY position", r.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Check
		var gate int
		if err := rows.Scan(&c.ID, &c.Phase, &c.Verdict, &gate, &c.Measured, &c.Target, &c.Unit, &c.Reason); err != nil {
			return err
		}
		c.Gate = gate != 0
		r.Checks = append(r.Checks, c)
	}
	return rows.Err()
}

func (d *DB) phases(ctx context.Context, r *Run) error {
	rows, err := d.sql.QueryContext(ctx, "SELECT id, kind, duration_s, scheduled, completed, failed, rps, latency_ms FROM phases WHERE run_id = $1 ORDER BY position", r.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p Phase
		if err := rows.Scan(&p.ID, &p.Kind, &p.DurationS, &p.Scheduled, &p.Completed, &p.Failed, &p.RPS, &p.LatencyMS); err != nil {
			return err
		}
		r.Phases = append(r.Phases, p)
	}
	return rows.Err()
}
