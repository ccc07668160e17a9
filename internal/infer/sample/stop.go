package sample

import "strings"

// Stops finds the first of some stop strings in a stream of text, wherever the text is cut into pieces. It is for one
// goroutine.
type Stops struct {
	stops   []string
	pending string // the end of the text so far, as far as it may be the start of a stop string
	hit     bool
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
