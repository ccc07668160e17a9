package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Run is one certification: the whole report, and the fields that people search for.
type Run struct {
	ID        string // unique, hexadecimal: see RunID
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

// SaveRun stores a run with its checks and phases: all or nothing. A run with the same ID is replaced, so saving twice
// does no harm.
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
			r.ID, clean(r.TestCase), clean(r.Profile), r.Status, micros(r.Started), clean(r.Target), clean(r.Model),
			clean(r.Version),
			r.LatencyMS, r.RPS, r.Quality, r.MemoryGB, r.CPUCores, clean(string(r.Report))); err != nil {
			return err
		}
		for i, c := range r.Checks {
			if _, err := tx.ExecContext(ctx, insertText("checks",
				[]string{"run_id", "position", "id", "phase", "verdict", "gate", "measured", "target", "unit",
					"reason"}),
				r.ID, i, clean(c.ID), clean(c.Phase), c.Verdict, flag(c.Gate), c.Measured, c.Target, clean(c.Unit),
				clean(c.Reason)); err != nil {
				return err
			}
		}
		for i, p := range r.Phases {
			if _, err := tx.ExecContext(ctx, insertText("phases",
				[]string{"run_id", "position", "id", "kind", "duration_s", "scheduled", "completed", "failed", "rps",
					"latency_ms"}),
				r.ID, i, clean(p.ID), p.Kind, p.DurationS, p.Scheduled, p.Completed, p.Failed, p.RPS,
				p.LatencyMS); err != nil {
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

const runColumns = "id, test_case, profile, status, started_us, target, model, version, latency_ms, rps, quality, " +
	"memory_gb, cpu_cores"

func scanRun(row interface{ Scan(...any) error }, r *Run, more ...any) error {
	var us int64
	err := row.Scan(append([]any{&r.ID, &r.TestCase, &r.Profile, &r.Status, &us, &r.Target, &r.Model, &r.Version,
		&r.LatencyMS, &r.RPS, &r.Quality, &r.MemoryGB, &r.CPUCores}, more...)...)
	r.Started = fromMicros(us)
	return err
}

// RunID derives a run's id from its record: the beginning of the SHA-256 of its events. It differs for two runs that
// start in the same second on two machines, and stays the same if a report is saved or judged again.
func RunID(eventsSHA256 string) string { return eventsSHA256[:min(16, len(eventsSHA256))] }

// Filter selects runs; empty fields select all.
type Filter struct {
	TestCase string // the whole id
	Status   string // PASS, FAIL or INVALID
	Target   string // a part of the target's URL
	Profile  string // the whole name
	// part of the case's id, the profile, the target, the model, the version or the run's id, in upper or lower case
	Text  string
	Since time.Time // runs that started then or later
	Until time.Time // runs that started earlier
	Limit int
}

// Runs lists the newest runs first, without checks, phases and report.
func (d *DB) Runs(ctx context.Context, f Filter) ([]Run, error) {
	since, until := int64(math.MinInt64), int64(math.MaxInt64)
	if !f.Since.IsZero() {
		since = micros(f.Since)
	}
	if !f.Until.IsZero() {
		until = micros(f.Until)
	}
	rows, err := d.sql.QueryContext(ctx, "SELECT "+runColumns+` FROM runs
		WHERE ($1 = '' OR test_case = $1) AND ($2 = '' OR status = $2) AND target LIKE $3 ESCAPE '!'
			AND ($5 = '' OR profile = $5) AND started_us >= $6 AND started_us < $7
			AND lower(test_case || ' ' || profile || ' ' || target || ' ' || model || ' ' || version || ' ' || id)
				LIKE lower($8) ESCAPE '!'
		ORDER BY started_us DESC, id DESC LIMIT $4`, clean(f.TestCase), clean(f.Status), "%"+likeEscape.Replace(clean(f.Target))+"%",
		f.Limit, clean(f.Profile), since, until, "%"+likeEscape.Replace(clean(f.Text))+"%")
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

// Cases lists the ids of the test cases that have runs, sorted.
func (d *DB) Cases(ctx context.Context) ([]string, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT DISTINCT test_case FROM runs ORDER BY test_case LIMIT 1000")
	if err != nil {
		return nil, fmt.Errorf("list cases: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list cases: %w", err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

var likeEscape = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// Find returns the id of the only run whose id begins with prefix. Errors match ErrNotFound if there is none, and
// ErrAmbiguous if there are several.
func (d *DB) Find(ctx context.Context, prefix string) (string, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT id FROM runs WHERE id LIKE $1 ESCAPE '!' LIMIT 2",
		likeEscape.Replace(prefix)+"%")
	if err != nil {
		return "", fmt.Errorf("run %q: %w", prefix, err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return "", fmt.Errorf("run %q: %w", prefix, err)
		}
		ids = append(ids, id)
	}
	switch {
	case rows.Err() != nil:
		return "", fmt.Errorf("run %q: %w", prefix, rows.Err())
	case len(ids) == 0:
		return "", fmt.Errorf("run %q: %w", prefix, ErrNotFound)
	case len(ids) > 1:
		return "", fmt.Errorf("run %q: %w", prefix, ErrAmbiguous)
	}
	return ids[0], nil
}

// Run loads a whole run. Errors match ErrNotFound if it does not exist.
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
	rows, err := d.sql.QueryContext(ctx,
		"SELECT id, phase, verdict, gate, measured, target, unit, reason FROM checks WHERE run_id = $1 ORDER BY "+
			"position", r.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Check
		var gate int
		if err := rows.Scan(&c.ID, &c.Phase, &c.Verdict, &gate, &c.Measured, &c.Target, &c.Unit,
			&c.Reason); err != nil {
			return err
		}
		c.Gate = gate != 0
		r.Checks = append(r.Checks, c)
	}
	return rows.Err()
}

func (d *DB) phases(ctx context.Context, r *Run) error {
	rows, err := d.sql.QueryContext(ctx,
		"SELECT id, kind, duration_s, scheduled, completed, failed, rps, latency_ms FROM phases WHERE run_id = $1 "+
			"ORDER BY position", r.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p Phase
		if err := rows.Scan(&p.ID, &p.Kind, &p.DurationS, &p.Scheduled, &p.Completed, &p.Failed, &p.RPS,
			&p.LatencyMS); err != nil {
			return err
		}
		r.Phases = append(r.Phases, p)
	}
	return rows.Err()
}
