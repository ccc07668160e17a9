package kernel

import "time"

// How an arena gets its memory. A huge page is worth having: decoding is 3 to 6 % faster in them, and up to 20 % where the processor
// does not join small ones. Zeroing one takes 0.15 ms. But on a machine that has been up for a while free memory is page cache in
// small pieces, and the system then moves other pages away to make one: 6 ms each, 2 s for a model of 1.2 GB that is copied in 0.3 s.
// So whoever fills an arena measures what huge pages cost, takes small ones where they are dear, and has them joined when the model
// is in use: the system does the same work then, and nobody waits for it.

// hugePage is what x86-64 and most arm64 systems have.
const hugePage = 2 << 20

// backing decides, while an arena is filled, when to stop asking for huge pages.
type backing struct {
	bytes int64
	spent time.Duration
}

const (
	// dearPage is three times what zeroing takes.
	dearPage = 500 * time.Microsecond
	// patience is spent before anything is decided: some pages are dear anywhere.
	patience = 40 * time.Millisecond
)

// note takes what it took to get memory for so many bytes, and says whether it is too long.
func (b *backing) note(bytes int, took time.Duration) bool {
	b.bytes += int64(bytes)
	b.spent += took
	return b.spent > patience && float64(b.spent)*hugePage > float64(dearPage)*float64(b.bytes)
}

// joining decides how small pages are joined afterwards: one huge page after the other, with rests.
type joining struct {
	left   int // huge pages still to be made
	failed int // one after the other
}

const (
	// joinShare is the rest after each page, in times of what it took: a quarter of one core's time is for joining.
	joinShare = 3
	// joinRest is at least a step of decoding, in which nothing is moved.
	joinRest = 2 * time.Millisecond
	// joinFails is how many pages in a row may fail: there is then no memory to make any of.
	joinFails = 32
	// joinDelay leaves the first request alone.
	joinDelay = time.Second
)

// done takes what one page took and whether it failed, and says how long to rest; more is false at the end.
func (j *joining) done(took time.Duration, ok bool) (rest time.Duration, more bool) {
	j.left--
	j.failed++
	if ok {
		j.failed = 0
	}
	return max(joinShare*took, joinRest), j.left > 0 && j.failed < joinFails
}
