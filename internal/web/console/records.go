package console

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

const (
	partExt = ".part"

	// mostRecords is how many records of a directory are read: the newest.
	mostRecords = 50
)

// recordExts are the extensions of records, compressed or not.
var recordExts = []string{report.EventsExt, strings.TrimSuffix(report.EventsExt, ".gz")}

// Record is a run without a report: it is being written, or its writer was killed.
type Record struct {
	Name                         string // name of the record's file once it is complete
	Case, Profile, Target, Model string
	Start                        time.Time
	Running                      bool
	Closed                       bool // its run has ended without a report
	Generator                    int  // it is the record of the run's generator with this number
}

// records finds records in a directory. The header of each is read once.
type records struct {
	dir   string
	mu    sync.Mutex
	heads map[string]Record // by path
}

func newRecords(dir string) *records { return &records{dir: dir, heads: map[string]Record{}} }

// recordName returns the name of a record by its file's name; ok is false for other files.
func recordName(file string) (name string, part, ok bool) {
	name, part = strings.CutSuffix(file, partExt)
	return name, part, slices.ContainsFunc(recordExts, func(ext string) bool {
		return strings.HasSuffix(name, ext) && len(name) > len(ext)
	})
}

// list returns the records that have no report yet: first those that are being written, then the newest.
func (r *records) list() []Record {
	entries, err := os.ReadDir(r.dir)
	if r.dir == "" || err != nil {
		return nil // the list of runs shows the error
	}
	type found struct {
		path string
		at   time.Time
	}
	var all []found
	for _, e := range entries {
		name, part, ok := recordName(e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(r.dir, name)
		if _, err := os.Stat(reportOf(path)); err == nil && !part {
			continue
		}
		if info, err := e.Info(); err == nil {
			all = append(all, found{path, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return b.at.Compare(a.at) })
	var out []Record
	for _, f := range all[:min(len(all), mostRecords)] {
		if rec, ok := r.head(f.path); ok {
			state := evidence.StateOf(f.path)
			rec.Running, rec.Closed = state == evidence.Writing, state == evidence.Closed
			if rec.Generator == 0 || rec.Running { // a generator's own record never has a report
				out = append(out, rec)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Record) int {
		switch {
		case a.Running == b.Running:
			return b.Start.Compare(a.Start)
		case a.Running:
			return -1
		}
		return 1
	})
	return out
}

// reportOf returns the path of the report that belongs to a record.
func reportOf(path string) string {
	for _, ext := range recordExts {
		if base, ok := strings.CutSuffix(path, ext); ok {
			return base + report.JSONExt
		}
	}
	return path + report.JSONExt
}

var errHeadRead = errors.New("the header is read")

// head reads a record's first event.
func (r *records) head(path string) (Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.heads[path]; ok {
		return h, true
	}
	var rec Record
	_, err := evidence.ScanFile(path, func(e *evidence.Event) error {
		if h := e.Header; h != nil {
			rec = Record{Name: filepath.Base(path), Profile: h.Profile, Target: h.Target.URL, Model: h.Target.Model,
				Start: h.Start, Generator: h.Generator}
			if h.Case != nil {
				rec.Case = h.Case.ID
			}
		}
		return errHeadRead
	})
	if !errors.Is(err, errHeadRead) {
		return Record{}, false
	}
	if len(r.heads) > 10*mostRecords {
		clear(r.heads)
	}
	r.heads[path] = rec
	return rec, true
}

// path finds a record by its name; ok is false if the name is invalid or leads to another directory.
func (r *records) path(name string) (string, bool) {
	if _, part, ok := recordName(name); !ok || part || r.dir == "" || name[0] == '.' || !filepath.IsLocal(name) ||
		strings.ContainsAny(name, `/\`) {
		return "", false
	}
	return filepath.Join(r.dir, name), true
}
