package kernel

import "time"

// How an arena gets its memory. A huge page is worth having: decoding is 3 to 6 % faster in them, and up to 20 %
// where the processor does not join small ones. Zeroing one takes 0.15 ms. But it takes 3 to 6 ms on a virtual
// machine whose host has taken free memory back, and where free memory is in small pieces, so that the system has to
// move other pages away: two seconds for a model of 1.2 GB that is copied in 0.3 s. So whoever fills an arena
// measures what huge pages cost, takes small ones where they are dear, and has them joined when the model is in use:
// the system does the same work then, and nobody waits for it.

// hugePage is what x86-64 and most arm64 systems have.
const hugePage = 2 << 20

// backing decides, while an arena is filled, when to stop asking for huge pages.
type backing struct {
	bytes int64
	spent time.Duration
}

const (
	// dearPage is where two workers that take huge pages are as late as with small ones, which cost 0.2 s of 1.2 GB.
	dearPage = time.Millisecond
	// patience is spent before anything is decided: some pages are dear anywhere.
	patience = 40 * time.Millisecond
)

// note takes what it took to get memory for so many bytes, and says whether it is too long.
func (b *backing) note(bytes int, took time.Duration) bool {
	b.bytes += int64(bytes)
	b.spent += took
	return b.dear()
}

func (b *backing) dear() bool {
	return b.spent > patience && float64(b.spent)*hugePage > float64(dearPage)*float64(b.bytes)
}

// joining decides how small pages are joined afterwards: some at a time, with rests.
type joining struct {
	left   int // bytes
	piece  int // bytes that are joined at a time
	failed int // pieces, one after the other
}

const (
	// joinPiece is joined at a time. Each call first waits for all processors to give up pages that they have set
	// aside, which takes milliseconds where they are busy; a huge page then takes 0.4 ms, and no page is locked for
	// longer.
	joinPiece = 8 * hugePage
	// joinShare is the rest after each piece, in times of what it took: at most a quarter of one core's time is for
	// joining.
	joinShare = 3
	// joinFails is how many pieces in a row may fail: there is then no memory to make huge pages of.
	joinFails = 8
	// joinDelay leaves the first request alone.
	joinDelay = time.Second
)

// next is the size of the next piece; 0: there is none.
func (j *joining) next() int {
	if j.failed == joinFails {
		return 0
	}
	return min(j.left, j.piece)
}

// done takes what the next piece took and whether all of it is joined, and says how long to rest.
func (j *joining) done(took time.Duration, ok bool) time.Duration {
	j.left -= j.next()
	j.failed++
	if ok {
		j.failed = 0
	}
	return joinShare * took
}
