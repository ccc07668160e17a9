package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// waiter writes a comment into a stream that is passed on if nothing else was written for a while, as streamWriter
// does in our own streams: to a proxy, an upstream's queue or long prompt must not look like a dead connection. The
// first comment may be sent before the upstream has answered. The status has then been sent, so an error of the
// upstream becomes an error event.
type waiter struct {
	w       http.ResponseWriter
	a       *answer // below w
	control *http.ResponseController
	every   time.Duration

	mu     sync.Mutex
	header http.Header // the upstream's; w's belongs to the holder of mu
	status int         // the upstream's; 0: it has not answered
	begun  bool        // a comment was sent before the upstream's answer
	tail   []byte      // the last bytes written
	alive  *time.Timer
	over   bool // the stream has ended or the handler is about to return: keepAlive may not write
}

func newWaiter(w http.ResponseWriter, a *answer, every time.Duration) *waiter {
	o := &waiter{w: w, a: a, control: http.NewResponseController(w), every: every, header: http.Header{}}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alive = time.AfterFunc(every, o.keepAlive)
	return o
}

// keepAlive writes a comment, which clients ignore, between two events.
func (o *waiter) keepAlive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over || o.status != 0 && (o.status != http.StatusOK || !isStream(o.header)) {
		return
	}
	o.alive.Reset(o.every)
	if len(o.tail) > 0 && !betweenEvents(o.tail) {
		return
	}
	if o.status == 0 && !o.begun {
		o.begun = true
		h := o.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
		o.w.WriteHeader(http.StatusOK)
	}
	o.w.Write([]byte(": waiting\n\n")) // the next event meets the same error
	o.a.waited = o.status == 0
	o.control.Flush()
}

// end stops the comments. If a comment was sent and the upstream has not answered, the client gets the error as an
// event.
func (o *waiter) end(e *httpError) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.alive.Stop()
	if e != nil && o.begun && o.status == 0 {
		o.w.Write(o.a.errorEvent(e))
		o.control.Flush()
	}
}

// Header is the upstream's header until WriteHeader.
func (o *waiter) Header() http.Header { return o.header }

// WriteHeader implements http.ResponseWriter.
func (o *waiter) WriteHeader(status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status = status
	if !o.begun {
		maps.Copy(o.w.Header(), o.header)
		o.w.WriteHeader(status)
	}
}

func (o *waiter) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alive.Reset(o.every)
	if o.begun && (o.status != http.StatusOK || !isStream(o.header)) { // a whole answer, but the stream has begun
		if _, err := o.w.Write(o.late(p)); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	o.tail = append(o.tail, p[max(0, len(p)-longestTail):]...)
	o.tail = append(o.tail[:0], o.tail[max(0, len(o.tail)-longestTail):]...)
	o.over = o.over || endsStream(o.tail) // the handler may need a while to return
	return o.w.Write(p)
}

// late makes an event of a whole answer, which may be an error.
func (o *waiter) late(body []byte) []byte {
	var refusal struct {
		Error struct{ Message, Code any }
	}
	if o.status != http.StatusOK && o.a.event != nil {
		_ = json.Unmarshal(body, &refusal) // fields of another form stay empty
		message, _ := refusal.Error.Message.(string)
		code, _ := refusal.Error.Code.(string)
		return o.a.event(&httpError{status: o.status, code: code, message: cmp.Or(message, http.StatusText(o.status))})
	}
	var line bytes.Buffer
	if json.Compact(&line, body) != nil {
		line.Reset()
		line.Write(encode(string(body)))
	}
	return openai.AppendEvent(nil, line.Bytes())
}

// FlushError is called by http.ResponseController.
func (o *waiter) FlushError() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.control.Flush()
}

func isStream(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "text/event-stream")
}

func betweenEvents(tail []byte) bool {
	return bytes.HasSuffix(tail, []byte("\n\n")) || bytes.HasSuffix(tail, []byte("\r\n\r\n"))
}

// longestTail is how much of a stream's end must be known, however it came in pieces: a chat's last event with the end
// of the line before it.
const longestTail = len("\ndata: "+openai.Done) + len("\r\n\r\n")

// endsStream says whether a stream ends with the event that clients of chats take for its end.
func endsStream(tail []byte) bool {
	lines := bytes.TrimRight(tail, "\r\n")
	return betweenEvents(tail) && string(lines[bytes.LastIndexByte(lines, '\n')+1:]) == "data: "+openai.Done
}
