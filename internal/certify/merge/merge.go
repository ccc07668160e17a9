package merge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/remote"
)

// ErrPlan matches errors about records that do not belong together.
var ErrPlan = errors.New("these are not records of one run")

// Result says what was added. Its JSON is what mixtral report merge --json prints.
type Result struct {
	Record     string      `json:"record"`     // file of the coordinator's record
	Added      int         `json:"added"`      // number of events that it did not have
	Requests   int         `json:"requests"`   // how many of them are requests
	Generators map[int]int `json:"generators"` // requests added, by generator
}

// Files joins records of one run: that of the coordinator, which may be incomplete, and those of any of its
// generators. Events that the coordinator's record already has stay unchanged. Times of the others are converted to
// its clock by the comparisons in it. write is called with all events in the order of the new record. Errors match
// ErrPlan, or are those of evidence.ScanFile, ctx and write.
func Files(ctx context.Context, paths []string, write func(*evidence.Event) error) (*Result, error) {
	m := &merger{ctx: ctx, have: map[key]bool{}, parts: map[key]bool{}, from: map[int]string{},
		result: &Result{Generators: map[int]int{}}}
	own, err := m.sort(paths)
	if err != nil {
		return nil, err
	}
	if err := m.read(); err != nil {
		return nil, err
	}
	for _, path := range own {
		if err := m.add(path); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(m.added, func(a, b evidence.Event) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(generatorOf(&a), generatorOf(&b)))
	})
	return m.result, m.write(write)
}

// key identifies an event of a generator: a request by its phase and number, other events by their kind and time.
type key struct {
	generator int
	what      string
	n         int64
}

type merger struct {
	ctx    context.Context
	header *evidence.Header
	from   map[int]string // the file of each generator
	have   map[key]bool   // events in the coordinator's record
	parts  map[key]bool
	folds  []*remote.Fold
	added  []evidence.Event
	ended  bool  // the coordinator's record has its end
	begun  int64 // when its first phase began
	over   int64 // when its last phase ended
	result *Result
}

// errEnough stops the reading of a record after its first line.
var errEnough = errors.New("enough")

// sort finds the coordinator's record among the files, and checks that all belong to one run.
func (m *merger) sort(paths []string) (own []string, err error) {
	headers := map[string]*evidence.Header{}
	for _, path := range paths {
		_, err := evidence.ScanFile(path, func(e *evidence.Event) error {
			headers[path] = e.Header
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
		switch h := headers[path]; {
		case h.Run == "" || h.Case == nil:
			return nil, fmt.Errorf("%w: the load of %s came from no generators", ErrPlan, path)
		case h.Generator == 0 && m.header != nil:
			return nil, fmt.Errorf("%w: %s and %s are both of coordinators", ErrPlan, m.result.Record, path)
		case h.Generator == 0:
			m.header, m.result.Record = h, path
		}
	}
	if m.header == nil {
		return nil, fmt.Errorf("%w: the record of the coordinator is missing, %s", ErrPlan,
			"which has the comparisons of clocks")
	}
	for _, path := range paths {
		if h := headers[path]; h.Generator != 0 {
			if err := m.belongs(path, h); err != nil {
				return nil, err
			}
			own = append(own, path)
		}
	}
	return own, nil
}

// belongs checks that a generator's record belongs to the coordinator's run.
func (m *merger) belongs(path string, h *evidence.Header) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrPlan, path, fmt.Sprintf(format, args...))
	}
	switch {
	case h.Run != m.header.Run:
		return bad("run %s, the coordinator's is %s", h.Run, m.header.Run)
	case h.Seed != m.header.Seed:
		return bad("seed %d, the coordinator has %d", h.Seed, m.header.Seed)
	case h.Profile != m.header.Profile || h.Case == nil || m.header.Case == nil || h.Case.ID != m.header.Case.ID:
		return bad("another case or profile than the coordinator's")
	case h.Generator < 1 || h.Generator > len(m.header.Generators):
		return bad("generator %d of %d", h.Generator, len(m.header.Generators))
	case m.from[h.Generator] != "":
		return bad("generator %d, as %s", h.Generator, m.from[h.Generator])
	}
	m.from[h.Generator] = path
	return nil
}

// read collects which events the coordinator's record has, and its comparisons of clocks.
func (m *merger) read() error {
	for i := range m.header.Generators {
		m.folds = append(m.folds, remote.NewFold(i+1, m.keep))
	}
	var comparisons []*evidence.Comparison
	_, err := evidence.ScanFile(m.result.Record, func(e *evidence.Event) error {
		if k, ok := keyOf(e); ok {
			m.have[k] = true
		}
		if c := e.Comparison; c != nil && c.Generator >= 1 && c.Generator <= len(m.folds) {
			comparisons = append(comparisons, c)
		}
		if p := e.Phase; p != nil {
			if m.over == 0 || p.Start < m.begun {
				m.begun = p.Start
			}
			m.over = max(m.over, p.End)
		}
		m.ended = m.ended || e.End != nil
		if p := e.Part; p != nil {
			m.parts[key{p.Generator, p.Phase, 0}] = true
		}
		return m.ctx.Err()
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(comparisons, func(a, b *evidence.Comparison) int {
		return cmp.Or(cmp.Compare(a.Generator, b.Generator), cmp.Compare(a.There, b.There))
	})
	for _, c := range comparisons {
		_ = m.folds[c.Generator-1].Compare(c) // Compare refuses a repeated comparison, which changes nothing
	}
	return nil
}

// add adds the events of a generator's record that the coordinator's does not have.
func (m *merger) add(path string) error {
	var fold *remote.Fold
	number := 0
	_, err := evidence.ScanFile(path, func(e *evidence.Event) error {
		switch {
		case e.Header != nil:
			number = e.Header.Generator
			if fold = m.folds[number-1]; !fold.Compared() {
				return fmt.Errorf("%w: %s: the coordinator never compared its clock with that of generator %d",
					ErrPlan,
					path, number)
			}
		case e.Part != nil && !m.parts[key{number, e.Part.Phase, 0}]:
			m.added = append(m.added, evidence.Event{At: fold.At(e.At), Part: e.Part})
		case remote.Foldable(e):
			fold.Add(*e)
		}
		return m.ctx.Err()
	})
	if fold != nil {
		fold.Flush()
	}
	return err
}

// keep adds an event whose times are on the coordinator's clock, unless the coordinator's record has it.
func (m *merger) keep(e evidence.Event) {
	k, ok := keyOf(&e)
	if !ok || m.have[k] {
		return
	}
	// A generator observes its machine from before the run until the coordinator releases it. Observations outside the
	// run are not missing.
	if m.ended && e.Request == nil && (e.At < m.begun || e.At > m.over) {
		return
	}
	m.have[k] = true
	m.added = append(m.added, e)
	m.result.Added++
	if e.Request != nil {
		m.result.Requests++
		m.result.Generators[e.Request.Generator]++
	}
}

// write passes on the coordinator's events, with the added ones before its end.
func (m *merger) write(write func(*evidence.Event) error) error {
	rest := func() error {
		for i := range m.added {
			if err := write(&m.added[i]); err != nil {
				return err
			}
		}
		m.added = nil
		return nil
	}
	_, err := evidence.ScanFile(m.result.Record, func(e *evidence.Event) error {
		if e.End != nil {
			if err := rest(); err != nil {
				return err
			}
		}
		return errors.Join(m.ctx.Err(), write(e))
	})
	return errors.Join(err, rest())
}

func generatorOf(e *evidence.Event) int {
	k, _ := keyOf(e)
	return k.generator
}

// keyOf returns the key of an event. ok is false unless a generator recorded it.
func keyOf(e *evidence.Event) (k key, ok bool) {
	switch {
	case e.Request != nil:
		k = key{e.Request.Generator, "request " + e.Request.Phase, int64(e.Request.N)}
	case e.Host != nil:
		k = key{e.Host.Generator, "host", e.At}
	case e.Clock != nil:
		k = key{e.Clock.Generator, "clock", e.At}
	case e.Client != nil:
		k = key{e.Client.Generator, "client", e.At}
	case e.Condition != nil:
		k = key{e.Condition.Generator, "condition " + string(e.Condition.ID), 0}
	}
	return k, k.generator > 0
}
