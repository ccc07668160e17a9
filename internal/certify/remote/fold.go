package remote

import (
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/offset"
)

// Fold converts the events of a generator to the clock of the run's record. All times of a request are moved by the
// offset of the clocks when it was sent, so durations stay as they were measured. Events wait until there is a later
// comparison of the clocks, so that the same events and comparisons always give the same times.
type Fold struct {
	number int // number of the generator, from 1
	track  offset.Track
	held   []evidence.Event
	sink   func(evidence.Event)
}

// NewFold returns the Fold of a generator. sink is called with the converted events.
func NewFold(number int, sink func(evidence.Event)) *Fold { return &Fold{number: number, sink: sink} }

// Compare adds a comparison of clocks. It returns an error unless the comparison is later than the last one.
func (f *Fold) Compare(c *evidence.Comparison) error {
	if err := f.track.Add(offset.Reading{There: c.There, Offset: c.Offset, Error: c.Error}); err != nil {
		return err
	}
	f.release(false)
	return nil
}

// Add adds an event with times of the generator's clock.
func (f *Fold) Add(e evidence.Event) {
	f.held = append(f.held, e)
	if f.track.Known(begin(&e)) {
		f.release(false)
	}
}

// Flush converts all waiting requests with the comparisons so far. Other events keep waiting, so that they get the
// same times whenever and wherever they are converted.
func (f *Fold) Flush() { f.release(true) }

// At converts a time of the generator's clock.
func (f *Fold) At(there int64) int64 {
	off, _, _ := f.track.At(there)
	return there + off
}

func (f *Fold) release(requests bool) {
	kept := f.held[:0]
	for _, e := range f.held {
		if !f.track.Known(begin(&e)) && !(requests && e.Request != nil) {
			kept = append(kept, e)
			continue
		}
		f.sink(f.moved(e))
	}
	clear(f.held[len(kept):])
	f.held = kept
}

// begin is the time of the generator's clock at which the offset for an event is taken.
func begin(e *evidence.Event) int64 {
	if e.Request != nil {
		return e.Request.Issued
	}
	return e.At
}

// moved converts an event to the record's clock, and adds the generator's number.
func (f *Fold) moved(e evidence.Event) evidence.Event {
	off, _, _ := f.track.At(begin(&e))
	e.At += off
	switch {
	case e.Request != nil:
		q := *e.Request
		q.Generator = f.number
		q.Scheduled, q.Issued, q.Done = q.Scheduled+off, q.Issued+off, q.Done+off
		for _, t := range []*int64{&q.First, &q.FirstAny, &q.Opened, &q.Last} {
			if *t != 0 { // 0 means that it did not happen
				*t += off
			}
		}
		e.Request = &q
	case e.Host != nil:
		h := *e.Host
		h.Generator = f.number
		e.Host = &h
	case e.Clock != nil:
		c := *e.Clock
		c.Generator = f.number
		e.Clock = &c
	case e.Client != nil:
		c := *e.Client
		c.Generator = f.number
		e.Client = &c
	case e.Condition != nil:
		c := *e.Condition
		c.Generator = f.number
		e.Condition = &c
	}
	return e
}

// Foldable says whether an event is of a kind that generators record.
func Foldable(e *evidence.Event) bool {
	return e.Request != nil || e.Host != nil || e.Clock != nil || e.Client != nil || e.Condition != nil
}

// Compared says whether there was a comparison with the generator's clock.
func (f *Fold) Compared() bool { return f.track.Len() > 0 }
