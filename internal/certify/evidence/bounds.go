package evidence

import (
	"errors"
	"fmt"
)

// Bounds of what an event holds. Code that receives data from a server applies them on receipt, so that every line
// fits MaxLine. The reader refuses a record beyond them, because it was made to exhaust the reader.
const (
	MaxLine    = 8 << 20   // bytes of a line
	MaxItems   = 1 << 18   // values and keys of a line, all levels together
	MaxChunks  = 1 << 17   // of an answer, and so of its gaps
	MaxText    = 512 << 10 // bytes of an answer's text, and of its reasoning
	MaxDetail  = 200       // bytes of a failure's reason
	MaxMessage = 400       // bytes of any other error or explanation
	MaxFinish  = 40        // bytes of a finish_reason
	MaxName    = 200       // bytes of a name from the server: a model, a version, a metric

	MaxGenerators = 256 // generators of a run

	MaxReasons = 32  // finish reasons by which a counter is split
	MaxBuckets = 512 // of a histogram
)

// Bounds of a record. Ten million requests with thirty chunks each are 4.5 GB of lines.
const (
	MaxTotal    = 16 << 30 // bytes of all lines
	MaxRequests = 20e6
	MaxOthers   = 8e6 // events of other kinds: there are ten samples per second

	// maxRatio bounds how many times larger the lines may be than their compressed form, beyond the first maxRatioFree
	// bytes. Lines of real runs are 4 to 20 times larger. Those of a file made to exhaust its reader are up to 1,032
	// times larger.
	maxRatio     = 64
	maxRatioFree = 16 << 20
)

// maxRare bounds the events of kinds of which a run has few. mostLost bounds the lines that are not events, of which a
// damaged disk causes a few.
const (
	maxRare  = 10_000
	mostLost = 100_000
)

// ErrTooLarge matches errors about an event or a record that exceeds its bounds.
var ErrTooLarge = errors.New("too large for a record of events")

// tally counts the contents of a record and checks them against the bounds.
type tally struct {
	bytes                  int64
	requests, rare, others int
}

// line counts the n bytes of a line.
func (t *tally) line(n int) error {
	if t.bytes += int64(n); t.bytes > MaxTotal {
		return fmt.Errorf("evidence: %w: more than %d GiB of lines", ErrTooLarge, MaxTotal>>30)
	}
	return nil
}

// event counts an event by its kind.
func (t *tally) event(e *Event) error {
	switch {
	case e.Request != nil:
		t.requests++
	case e.Condition != nil, e.Client != nil, e.Phase != nil, e.Audit != nil, e.End != nil, e.Header != nil,
		e.Part != nil:
		t.rare++
	default:
		t.others++
	}
	switch {
	case t.requests > MaxRequests:
		return fmt.Errorf("evidence: %w: more than %d requests", ErrTooLarge, int(MaxRequests))
	case t.rare > maxRare:
		return fmt.Errorf("evidence: %w: more than %d headers, conditions, phases, parts and audits", ErrTooLarge,
			maxRare)
	case t.others > MaxOthers:
		return fmt.Errorf("evidence: %w: more than %d samples, scrapes and scores", ErrTooLarge, int(MaxOthers))
	}
	return nil
}
