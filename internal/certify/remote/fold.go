package remote

import (
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/offset"
)

// Fold brings what a generator recorded to the clock of the run's record. A request's times are all moved by the
// offset of the clocks when it was issued: what it took stays as it was measured, on one clock. Events wait until a
// comparison has come from after them, so that the same events and comparisons always give the same times.
type Fold struct {
	number int // of the generator, from 1
	track  offset.Track
	held   []evidence.Event
	sink   func(evidence.Event)
}

// NewFold makes the fold of a generator. sink is given its events.
func NewFold(number int, sink func(evidence.Event)) *Fold { return &Fold{number: number, sink: sink} }

// Compare takes in a comparison of clocks.
func (f *Fold) Compare(c *evidence.Comparison) error {
	if err := f.track.Add(offset.Reading{There: c.There, Offset: c.Offset, Error: c.Error}); err != nil {
		return err
	}
	f.release(false)
	return nil
}

// Add takes in an event of the generator's own clock.
func (f *Fold) Add(e evidence.Event) {
	f.held = append(f.held, e)
	if f.track.Known(begin(&e)) {
		f.release(false)
	}
}

// Flush lets go of all requests, with the comparisons that there are. Anything else goes on waiting, so that it has
// the same time whoever brings it to the record's clock, and when.
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

// begin is the time whose offset an event is moved by.
func begin(e *evidence.Event) int64 {
	if e.Request != nil {
		return e.Request.Issued
	}
	return e.At
}

// moved gives an event on the record's clock, with the generator's number.
func (f *Fold) moved(e evidence.Event) evidence.Event {
	off, _, _ := f.track.At(begin(&e))
	e.At += off
	switch {
	case e.Request != nil:
		q := *e.Request
		q.Generator = f.number
		q.Scheduled, q.Issued, q.Done = q.Scheduled+off, q.Issued+off, q.Done+off
		for _, t := range []*int64{&q.First, &q.FirstAny, &q.Opened, &q.Last} {
			if *t != 0 { // 0: it did not happen
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

// Foldable says that an event may come from a generator.
func Foldable(e *evidence.Event) bool {
	return e.Request != nil || e.Host != nil || e.Clock != nil || e.Client != nil || e.Condition != nil
}

// Compared says that the clock of the generator was compared at all.
func (f *Fold) Compared() bool { return f.track.Len() > 0 }
