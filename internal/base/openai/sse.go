package openai

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Done is the data of the event that ends a stream.
const Done = "[DONE]"

// DefaultMaxEvent bounds an event in bytes: a chunk with 20 alternatives for each of hundreds of tokens is far
// smaller.
const DefaultMaxEvent = 4 << 20

// ErrEventTooLong is matched when an event is longer than the reader allows.
var ErrEventTooLong = errors.New("server-sent event too long")

// AppendEvent appends an event with one line of data. JSON as this package writes it contains no newline.
func AppendEvent(dst, data []byte) []byte {
	dst = append(dst, "data: "...)
	dst = append(dst, data...)
	return append(dst, '\n', '\n')
}

// Event is one event of a stream. Its slices are valid until the next call of Next.
type Event struct {
	Type string // the event field; empty means "message"
	Data []byte
}

// Done says whether the event is the regular end of the stream.
func (e Event) Done() bool { return string(bytes.TrimSpace(e.Data)) == Done }

// Reader reads a stream of events by the WHATWG HTML specification (section 9.2): lines end with CR, LF or both,
// comments and unknown fields are skipped, several data lines are joined by LF, and an event without data is ignored.
type Reader struct {
	r       *bufio.Reader
	max     int
	line    []byte
	data    []byte
	hasData bool
	typ     string
	skipLF  bool // the last line ended with CR: an LF right after it belongs to the same line end
	started bool
}

// NewReader reads events of at most maxEvent bytes from r; 0 means DefaultMaxEvent.
func NewReader(r io.Reader, maxEvent int) *Reader {
	if maxEvent <= 0 {
		maxEvent = DefaultMaxEvent
	}
	return &Reader{r: bufio.NewReader(r), max: maxEvent}
}

// Next returns the next event. At the end it returns io.EOF, or io.ErrUnexpectedEOF if the stream stops within a line.
// Some servers omit the empty line after the last event; an event of complete lines at the end is returned all the
// same.
func (r *Reader) Next() (Event, error) {
	r.data, r.hasData, r.typ = r.data[:0], false, ""
	for {
		line, err := r.readLine()
		if err != nil {
			if err == io.EOF && r.hasData {
				return Event{Type: r.typ, Data: r.data}, nil
			}
			return Event{}, err
		}
		if len(line) == 0 {
			if r.hasData {
				return Event{Type: r.typ, Data: r.data}, nil
			}
			r.typ = ""
			continue
		}
		if err := r.field(line); err != nil {
			return Event{}, err
		}
	}
}

// field reads one line that is not empty.
func (r *Reader) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) {
	case "data":
		if len(r.data)+len(value)+1 > r.max {
			return fmt.Errorf("%w: more than %d bytes", ErrEventTooLong, r.max)
		}
		if r.hasData {
			r.data = append(r.data, '\n')
		}
		r.data = append(r.data, value...)
		r.hasData = true
	case "event":
		r.typ = string(value)
	}
	return nil
}

// readLine returns the next line without its line end, valid until the next call.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		// Fill the buffer if it is empty, then search all of it.
		if _, err := r.r.Peek(1); err != nil {
			if err == io.EOF && len(r.line) > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return nil, err
		}
		chunk, _ := r.r.Peek(r.r.Buffered())
		if r.skipLF {
			r.skipLF = false
			if chunk[0] == '\n' {
				r.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		if end < 0 {
			r.line = append(r.line, chunk...)
			r.r.Discard(len(chunk))
			if len(r.line) > r.max {
				return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrEventTooLong, r.max)
			}
			continue
		}
		r.line = append(r.line, chunk[:end]...)
		r.skipLF = chunk[end] == '\r'
		r.r.Discard(end + 1)
		if !r.started {
			r.started = true
			r.line = bytes.TrimPrefix(r.line, []byte("\xef\xbb\xbf")) // a byte order mark may come first
		}
		return r.line, nil
	}
}
