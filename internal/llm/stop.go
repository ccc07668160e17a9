package llm

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A stop string is text, and it is looked for in the text that the client reads, not in the bytes of the tokens that
// made it. There each byte that belongs to no UTF-8 sequence is U+FFFD already, so U+FFFD as a stop string finds it,
// also where a character was cut off by the answer's end. Tokens and events may end anywhere in a stop string.

// CheckStop says what is wrong with a request's stop strings: each must be valid UTF-8 and not empty.
func CheckStop(stops []string) error {
	for i, stop := range stops {
		field := fmt.Sprintf("stop[%d]", i)
		switch {
		case stop == "":
			return BadField(field, "must not be empty")
		case !utf8.ValidString(stop):
			return BadField(field, "must be valid UTF-8, got %q", stop)
		}
	}
	return nil
}

// Stops finds the first of some stop strings in a stream of valid UTF-8, wherever the text is cut into pieces. It is
// for one goroutine.
type Stops struct {
	stops   []string
	pending string // the end of the text so far, as far as it may be the start of a stop string
	hit     bool
	found   string
}

// NewStops looks for these strings; empty ones count for nothing. It is nil, which finds nothing, if none is left.
func NewStops(stops []string) *Stops {
	s := &Stops{}
	for _, stop := range stops {
		if stop != "" {
			s.stops = append(s.stops, stop)
		}
	}
	if len(s.stops) == 0 {
		return nil
	}
	return s
}

// Write takes a piece and gives the text that is now certain to be before any stop string, and whether one was found:
// the first to be complete, the longest among those that end together. After that, all text is dropped.
func (s *Stops) Write(piece string) (text string, hit bool) {
	if s == nil {
		return piece, false
	}
	if s.hit || piece == "" {
		return "", s.hit
	}
	all := s.pending + piece
	start, end := -1, len(all)+1
	for _, stop := range s.stops {
		if i := strings.Index(all, stop); i >= 0 && (i+len(stop) < end || i+len(stop) == end && i < start) {
			start, end = i, i+len(stop)
			s.found = stop
		}
	}
	if start >= 0 {
		s.hit, s.pending = true, ""
		return all[:start], true
	}
	keep := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(all)); n > keep; n-- {
			if strings.HasSuffix(all, stop[:n]) {
				keep = n
				break
			}
		}
	}
	s.pending = all[len(all)-keep:]
	return all[:len(all)-keep], false
}

// Flush ends the stream and gives what was held back.
func (s *Stops) Flush() string {
	if s == nil {
		return ""
	}
	text := s.pending
	s.pending = ""
	return text
}

// Found is the stop string that was found, or empty.
func (s *Stops) Found() string {
	if s == nil {
		return ""
	}
	return s.found
}
