package loadgen

import (
	"bytes"
	"errors"
)

// maxLine bounds a line of a stream: a thousand times a usual chunk.
const maxLine = 1 << 20

// maxName is more than the names that decide anything.
const maxName = 16

var errLongLine = errors.New("a line of the stream is longer than 1 MiB")

// events cuts a stream into events as it comes, by the rules of the WHATWG's HTML standard. It keeps bytes only while
// an event is incomplete; whole ones are handed on from the read buffer.
type events struct {
	line    []byte // an incomplete line
	data    []byte // data lines of an incomplete event, joined by LF
	name    []byte // of the event, cut to maxName
	hasData bool
	skipLF  bool // the last byte was CR: an LF now belongs to it
	started bool
	share   *share // of memory, that line and data take
	most    int    // bytes of line and data together so far
}

// feed takes what came and calls each for the data of every event that it completes. "[DONE]" counts as complete
// without the empty line behind it.
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
		if end == len(b) { // no end of the line yet
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

// take handles a whole line; next is what follows it in the buffer.
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
		return nil // a comment, or a field that decides nothing here
	}
	if !ok {
		data = nil // a field's name alone: an empty value
	}
	data = bytes.TrimPrefix(data, []byte(" "))
	if !e.hasData && len(next) > 0 && next[0] == '\n' && !e.skipLF || isDone(data) {
		return each(data) // one line of data with the empty line right behind it, which then has nothing to dispatch
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

// finish is called at the stream's regular end: an event of whole lines counts even without the empty line.
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
