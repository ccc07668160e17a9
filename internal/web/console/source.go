package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/attest"
	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/store"
	"github.com/hxp-enterprise/mixtral/internal/base/store/open"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
)

// errNoRun is matched when no run has the id.
var errNoRun = errors.New("there is no such run")

const (
	mostFiles  = 5000             // maximum number of reports that are read of a directory: the newest
	askTimeout = 15 * time.Second // for all that one page does with the database

	// mostRecord is the largest record, compressed, whose plots are drawn for a page: judging it takes seconds.
	mostRecord = 64 << 20
	mostDrawn  = 6 // records whose plots are kept
)

// Row is a run in the list.
type Row struct {
	ID, Case, Profile, Status, Target, Model, Version string
	Start                                             time.Time
	Summary                                           report.Summary
	file                                              string // the report's file; empty: it is only in the database
}

// filter selects rows; empty fields select all.
type filter struct {
	Case, Profile, Status, Target, Text string
	Since, Until                        time.Time
}

func (f filter) takes(r Row) bool {
	all := strings.ToLower(strings.Join([]string{r.Case, r.Profile, r.Target, r.Model, r.Version, r.ID}, " "))
	return (f.Case == "" || r.Case == f.Case) && (f.Profile == "" || r.Profile == f.Profile) &&
		(f.Status == "" || r.Status == f.Status) && strings.Contains(r.Target, f.Target) &&
		strings.Contains(all, strings.ToLower(f.Text)) && (f.Since.IsZero() || !r.Start.Before(f.Since)) &&
		(f.Until.IsZero() || r.Start.Before(f.Until))
}

// source finds the runs of a database and of a directory of reports.
type source struct {
	database string // as open.DB accepts it
	dir      string // empty: none

	mu    sync.Mutex
	db    *store.DB
	files map[string]known // by path
	drawn []drawn          // the newest first
	slow  chan struct{}    // one record is judged at a time
}

// known is a report's file as it was last read.
type known struct {
	size int64
	at   time.Time
	row  Row
	err  error // it is not a report
}

// drawn holds the data for plots from a record.
type drawn struct {
	path   string
	at     time.Time
	series report.Series
}

func newSource(database, dir string) *source {
	return &source{database: database, dir: dir, files: map[string]known{}, slow: make(chan struct{}, 1)}
}

func (s *source) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return db.Close()
}

// ask opens the database when it is first needed. nil: there is none, or none yet.
func (s *source) ask(ctx context.Context) (*store.DB, error) {
	if s.database == open.None {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		return s.db, nil
	}
	db, err := open.Existing(ctx, s.database)
	if errors.Is(err, open.ErrNoFile) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", open.Name(s.database), err)
	}
	s.db = db
	return db, nil
}

// list returns the newest runs that a filter selects, from both places, and the errors of what could not be read.
func (s *source) list(ctx context.Context, f filter, limit int) (rows []Row, problems []string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	seen := map[string]int{}
	files, err := s.scan()
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, r := range files {
		if _, twice := seen[r.ID]; !twice && f.takes(r) {
			seen[r.ID] = len(rows)
			rows = append(rows, r)
		}
	}
	kept, err := s.stored(ctx, f, limit)
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, r := range kept {
		if _, twice := seen[r.ID]; !twice {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(b.Start.Compare(a.Start), strings.Compare(b.ID, a.ID))
	})
	return rows[:min(limit, len(rows))], problems
}

func (s *source) stored(ctx context.Context, f filter, limit int) ([]Row, error) {
	db, err := s.ask(ctx)
	if db == nil || err != nil {
		return nil, err
	}
	runs, err := db.Runs(ctx, store.Filter{TestCase: f.Case, Status: f.Status, Target: f.Target, Profile: f.Profile,
		Text: f.Text, Since: f.Since, Until: f.Until, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", open.Name(s.database), err)
	}
	rows := make([]Row, len(runs))
	for i, r := range runs {
		rows[i] = Row{ID: r.ID, Case: r.TestCase, Profile: r.Profile, Status: r.Status, Target: r.Target,
			Model: r.Model, Version: r.Version, Start: r.Started,
			Summary: report.Summary{AvgLatencyMS: r.LatencyMS, AvgThroughputRPS: r.RPS, AvgQualityScore: r.Quality,
				PeakMemoryGB: r.MemoryGB, PeakCPUCores: r.CPUCores}}
	}
	return rows, nil
}

// cases lists the test cases that have runs.
func (s *source) cases(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var out []string
	if db, err := s.ask(ctx); db != nil && err == nil {
		out, _ = db.Cases(ctx) // the list shows the error
	}
	rows, _ := s.scan()
	for _, r := range rows {
		out = append(out, r.Case)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// scan lists the reports of the directory. Files that have not changed are not read again.
func (s *source) scan() ([]Row, error) {
	if s.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // no run has written one yet
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var infos []os.FileInfo
	for _, e := range entries {
		if e.Type().IsRegular() && filepath.Ext(e.Name()) == report.JSONExt {
			if info, err := e.Info(); err == nil {
				infos = append(infos, info)
			}
		}
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	var rows []Row
	now := map[string]known{}
	for _, info := range infos[:min(mostFiles, len(infos))] {
		path := filepath.Join(s.dir, info.Name())
		k, ok := s.files[path]
		if !ok || k.size != info.Size() || !k.at.Equal(info.ModTime()) {
			k = known{size: info.Size(), at: info.ModTime()}
			var r *report.Report
			if r, _, k.err = report.ReadFile(path); k.err == nil {
				k.row = rowOf(r, path)
			}
		}
		now[path] = k
		if k.err == nil {
			rows = append(rows, k.row)
		}
	}
	s.files = now
	return rows, nil
}

// hexID is the id of a run.
var hexID = regexp.MustCompile(`^[0-9a-f]{4,16}$`)

func rowOf(r *report.Report, file string) Row {
	id := store.RunID(r.Evidence.SHA256)
	if !hexID.MatchString(id) { // a report that another program made gets an id all the same
		id = "file-" + strings.TrimSuffix(filepath.Base(file), report.JSONExt)
	}
	return Row{ID: id, Case: r.TestCase, Profile: r.Profile, Status: string(r.Status), Target: r.Target.URL,
		Model: r.Target.Model, Version: r.Fingerprints["version"], Summary: r.Summary, file: file,
		Start: time.UnixMilli(int64(r.Timestamp * 1000)).UTC()}
}

// loaded is a run with its report.
type loaded struct {
	Row
	report *report.Report
	data   []byte
	paths  report.Paths // beside the report's file, or where they would be
}

// load reads the run with an id.
func (s *source) load(ctx context.Context, id string) (*loaded, error) {
	rows, _ := s.scan()
	for _, row := range rows {
		if row.ID != id {
			continue
		}
		r, data, err := report.ReadFile(row.file)
		if err != nil {
			return nil, err
		}
		return &loaded{row, r, data, report.PathsFor(s.dir, r)}, nil
	}
	if !hexID.MatchString(id) {
		return nil, fmt.Errorf("%w: %q", errNoRun, id)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	db, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, fmt.Errorf("%w: %q", errNoRun, id)
	}
	if id, err = db.Find(ctx, id); err != nil {
		return nil, err
	}
	kept, err := db.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := report.Parse(kept.Report)
	if err != nil {
		return nil, err
	}
	l := &loaded{rowOf(r, ""), r, kept.Report, report.PathsFor(s.dir, r)}
	l.ID = id
	if s.dir == "" {
		l.paths = report.Paths{}
	}
	return l, nil
}

// record returns the path of a run's record, if it exists and is small enough to be judged for a page.
func (l *loaded) record() (path string, ok bool) {
	info, err := os.Stat(l.paths.Events)
	return l.paths.Events, l.paths.Events != "" && err == nil && info.Size() <= mostRecord
}

// series returns the data of a run's plots; nothing if its record is not available.
func (s *source) series(ctx context.Context, l *loaded) (report.Series, error) {
	path, ok := l.record()
	if !ok {
		return report.Series{}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return report.Series{}, nil
	}
	select {
	case s.slow <- struct{}{}:
		defer func() { <-s.slow }()
	case <-ctx.Done():
		return report.Series{}, ctx.Err()
	}
	s.mu.Lock()
	i := slices.IndexFunc(s.drawn, func(d drawn) bool { return d.path == path && d.at.Equal(info.ModTime()) })
	if i >= 0 {
		defer s.mu.Unlock()
		return s.drawn[i].series, nil
	}
	s.mu.Unlock()
	d, err := judge.DeriveFile(ctx, path)
	if err != nil {
		return report.Series{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = append([]drawn{{path, info.ModTime(), d.Series}}, s.drawn[:min(len(s.drawn), mostDrawn-1)]...)
	return d.Series, nil
}

// signatures returns those of the attestation beside a report, if it belongs to this report.
func (l *loaded) signatures() []report.Signature {
	if l.paths.Attestation == "" {
		return nil
	}
	e, err := attest.ReadFile(l.paths.Attestation)
	if err != nil || !e.Statement.Names(l.data) {
		return nil
	}
	return e.Signatures(filepath.Base(l.paths.Attestation))
}
