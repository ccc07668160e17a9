package loadgen

import (
	"bytes"
	"errors"
)

// maxLine bounds a line of a stream, in bytes. It is a thousand times as long as a usual chunk.
const maxLine = 1 << 20

// maxName is longer than the event names that matter.
const maxName = 16

var errLongLine = errors.New("a line of the stream is longer than 1 MiB")

// events splits a stream into events as it is read, by the rules of the WHATWG's HTML standard. It stores bytes only
// while an event is incomplete; complete ones are passed on from the read buffer.
type events struct {
	line    []byte // an incomplete line
	data    []byte // data lines of an incomplete event, joined by LF
	name    []byte // name of the event, cut to maxName
	hasData bool
	skipLF  bool // the last byte was CR, so an LF that follows belongs to it
	started bool
	share   *share // memory that line and data use
	most    int    // largest size of line and data so far
}

// feed takes the next bytes and calls each for the data of every event that they complete. "[DONE]" counts as complete
// without the empty line after it.
func (e *events) feed(b []byte, each func(data []byte) error) error {
	for len(b) > 0 {
		if e.skipLF && b[0] == '\n' {
			b, e.skipLF = b[1:], false
			continue
		}
		e.skipLF = false
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			end = len(b)
		}
		if cr := bytes.IndexByte(b[:end], '\r'); cr >= 0 {
			end = cr
		}
		if len(e.line)+end > maxLine || len(e.data)+end > maxLine {
			return errLongLine
		}
		if held := len(e.line) + len(e.data) + end; held > e.most && held > len(b) {
			if err := e.share.take(held - e.most); err != nil {
				return err
			}
			e.most = held
		}
		if end == len(b) { // the line has no end yet
			e.line = append(e.line, b...)
			return nil
		}
		e.skipLF = b[end] == '\r'
		line := b[:end]
		b = b[end+1:]
		if len(e.line) > 0 {
			e.line = append(e.line, line...)
			line, e.line = e.line, e.line[:0]
		}
		if err := e.take(line, b, each); err != nil {
			return err
		}
	}
	return nil
}

// take handles a complete line. next is what follows it in the buffer.
func (e *events) take(line, next []byte, each func(data []byte) error) error {
	if !e.started {
		e.started = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // a byte order mark
	}
	if len(line) == 0 {
		return e.dispatch(each)
	}
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	if name, named := bytes.CutPrefix(line, []byte("event:")); named {
		name = bytes.TrimSpace(name)
		e.name = append(e.name[:0], name[:min(len(name), maxName)]...)
		return nil
	}
	if !ok && string(line) != "data" {
		return nil // a comment, or a field that is not used here
	}
	if !ok {
		data = nil // a field's name without a colon has an empty value
	}
	data = bytes.TrimPrefix(data, []byte(" "))
	if !e.hasData && len(next) > 0 && next[0] == '\n' && !e.skipLF || isDone(data) {
		return each(data) // one line of data followed by an empty line, which then has nothing left to dispatch
	}
	if e.hasData {
		e.data = append(e.data, '\n')
	}
	e.data, e.hasData = append(e.data, data...), true
	return nil
}

// dispatch ends an event.
func (e *events) dispatch(each func(data []byte) error) error {
	var err error
	if e.hasData {
		data := e.data
		e.data, e.hasData = e.data[:0], false
		err = each(data)
	}
	e.name = e.name[:0]
	return err
}

// finish must be called at the regular end of the stream. An event of complete lines counts even without the empty
// line.
func (e *events) finish(each func(data []byte) error) error {
	if len(e.line) > 0 {
		line := e.line
		e.line = nil
		if err := e.take(line, nil, each); err != nil {
			return err
		}
	}
	return e.dispatch(each)
}

func isDone(data []byte) bool { return string(bytes.TrimSpace(data)) == "[DONE]" }
