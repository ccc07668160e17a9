package judge

import (
	"context"
	"fmt"
	"io"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// mostPhases bounds the number of phases in a record. A case has about a dozen.
const mostPhases = 1000

// Derived is what DeriveFile and DeriveReader derive from a record.
type Derived struct {
	Report *report.Report
	Series report.Series // what the report's plots show
	Record evidence.Info
}

// DeriveFile derives the report of a record while it reads the file, so its events are not all in memory at once. It
// stops reading when ctx ends. Its errors match ErrEvidence, or are those of evidence.ScanFile and of ctx.
func DeriveFile(ctx context.Context, path string) (*Derived, error) {
	return derive(ctx, path, fileScanner(path))
}

func fileScanner(path string) scanner {
	return func(each func(*evidence.Event) error) (evidence.Info, error) { return evidence.ScanFile(path, each) }
}

// DeriveReader is DeriveFile for a record that is not in a file. name only appears in errors.
func DeriveReader(ctx context.Context, name string, record io.Reader) (*Derived, error) {
	return derive(ctx, name, func(each func(*evidence.Event) error) (evidence.Info, error) {
		info, err := evidence.Scan(record, each)
		if err != nil {
			return info, fmt.Errorf("%s: %w", name, err)
		}
		return info, nil
	})
}

// scanner calls each for every event of a record.
type scanner func(each func(*evidence.Event) error) (evidence.Info, error)

func derive(ctx context.Context, name string, scan scanner) (*Derived, error) {
	end := func() {}
	defer func() { end() }()
	r, info, err := readRun(ctx, name, scan, func() { end = beLean() })
	if err != nil {
		return nil, err
	}
	rep, err := r.derive(info.Count, info.SHA256)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Derived{rep, r.series(), info}, nil
}

// readRun reads a record. It calls many once if the record has manyRequests or more.
func readRun(ctx context.Context, name string, scan scanner, many func()) (*run, evidence.Info, error) {
	c := newCollector()
	requests := 0
	info, err := scan(func(e *evidence.Event) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Request != nil {
			if requests++; requests == manyRequests {
				many()
			}
		}
		return c.add(e)
	})
	if err != nil {
		return nil, info, err
	}
	r, err := c.run()
	if err != nil {
		return nil, info, fmt.Errorf("%s: %w", name, err)
	}
	return r, info, nil
}

// collector sorts events into a run as they are read.
type collector struct {
	r        *run
	n        int
	ran      map[string]*evidence.Phase
	requests map[string][]*request
	kept     store
}

func newCollector() *collector {
	return &collector{r: &run{}, ran: map[string]*evidence.Phase{}, requests: map[string][]*request{}}
}

func (c *collector) add(e *evidence.Event) error {
	r, i := c.r, c.n
	c.n++
	switch {
	case e.Header != nil:
		if r.header != nil {
			return fmt.Errorf("%w: event %d: a second header", ErrEvidence, i)
		}
		r.header = e.Header
	case e.Condition != nil:
		r.conditions = append(r.conditions, at[*evidence.Condition]{e.At, e.Condition})
	case e.Client != nil:
		r.clients = append(r.clients, at[*evidence.Client]{e.At, e.Client})
	case e.Phase != nil:
		if _, twice := c.ran[e.Phase.ID]; twice {
			return fmt.Errorf("%w: event %d: phase %q ended twice", ErrEvidence, i, bounded.Short(e.Phase.ID, 80))
		}
		c.ran[e.Phase.ID] = e.Phase
	case e.Request != nil:
		c.requests[e.Request.Phase] = append(c.requests[e.Request.Phase], c.kept.add(e.Request))
	case e.Sample != nil:
		r.samples = append(r.samples, at[*evidence.Sample]{e.At, e.Sample})
	case e.Scrape != nil:
		r.scrapes = append(r.scrapes, at[*evidence.Scrape]{e.At, gist(e.Scrape)})
	case e.Score != nil:
		r.scores = append(r.scores, e.Score)
	case e.Grade != nil:
		r.grades = append(r.grades, e.Grade)
	case e.Audit != nil:
		r.audits = append(r.audits, at[*evidence.Audit]{e.At, e.Audit})
	case e.Clock != nil:
		r.clocks = append(r.clocks, at[*evidence.Clock]{e.At, e.Clock})
	case e.Host != nil:
		r.hosts = append(r.hosts, at[*evidence.Host]{e.At, e.Host})
	case e.GPU != nil:
		r.gpus = append(r.gpus, at[*evidence.GPU]{e.At, e.GPU})
	case e.Part != nil:
		r.parts = append(r.parts, e.Part)
	case e.Comparison != nil:
		r.comparisons = append(r.comparisons, e.Comparison)
	case e.Against != nil:
		r.against = e.Against
	case e.End != nil:
		r.end = e.End
	}
	if len(c.requests) > mostPhases {
		return fmt.Errorf("%w: event %d: requests of more than %d phases", ErrEvidence, i, mostPhases)
	}
	return nil
}

// gist keeps what the rules read of a scrape. Histograms are compared over whole phases, so only the scrapes before
// and after a phase need their buckets. Buckets take most of the memory of a scrape, so those of the many scrapes
// during phases are dropped.
func gist(s *evidence.Scrape) *evidence.Scrape {
	if _, during := s.Label.At(evidence.ScrapeDuring); !during || len(s.Histograms) == 0 {
		return s
	}
	slim := *s
	slim.Histograms = make(map[string]evidence.Histogram, len(s.Histograms))
	for name, h := range s.Histograms {
		slim.Histograms[name] = evidence.Histogram{Count: h.Count, Sum: h.Sum}
	}
	return &slim
}

// run joins the collected events and measures every phase. It fails on a record that cannot be judged; see
// ErrEvidence.
func (c *collector) run() (*run, error) {
	r := c.r
	switch {
	case r.header == nil:
		return nil, fmt.Errorf("%w: no header", ErrEvidence)
	case r.header.SchemaVersion < 1 || r.header.SchemaVersion > evidence.SchemaVersion:
		return nil, fmt.Errorf("%w: schema_version %d, this build reads 1 to %d", ErrEvidence, r.header.SchemaVersion,
			evidence.SchemaVersion)
	case r.header.Case == nil:
		return nil, fmt.Errorf("%w: the header has no case", ErrEvidence)
	}
	if r.header.Generator != 0 {
		return nil, fmt.Errorf("%w: this is the record of one generator of a run, number %d: report merge joins "+
			"it with "+
			"its coordinator's", ErrEvidence, r.header.Generator)
	}
	if n := len(r.header.Generators); n > evidence.MaxGenerators {
		return nil, fmt.Errorf("%w: %d generators, at most %d", ErrEvidence, n, evidence.MaxGenerators)
	}
	r.c = r.header.Case
	r.sort()
	r.track()
	r.join(c.ran, c.requests)
	c.requests = nil
	r.uses = uses(r.hosts, r.header.Rules)
	r.problems = r.generatorProblems()
	r.rows = r.reconcile()
	r.leak = r.fitLeak()
	return r, nil
}
