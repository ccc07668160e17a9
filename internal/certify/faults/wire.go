package faults

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Servers whose HTTP is unusual, or who stand behind something that makes it so.
const (
	HTTP10       Strange = "http-1.0"      // answers in HTTP/1.0, and closes
	Trailers     Strange = "trailers"      // extensions of chunks, trailers, Server-Timing, interim responses
	BareStatus   Strange = "bare-status"   // a status line without a reason, LF alone, headers in lower case
	Closes       Strange = "closes"        // closes each connection after an answer, without having said so
	Resets       Strange = "resets"        // the same by a reset
	Unterminated Strange = "unterminated"  // [DONE], and then the body does not end
	ExtraLine    Strange = "extra-line"    // an empty line behind each body
	Timeout408   Strange = "timeout-408"   // says 408 to a connection that rests, as HAProxy
	RawDeflate   Strange = "raw-deflate"   // deflate without zlib's frame, as some servers understand it
	Zstd         Strange = "zstd"          // an encoding that the client does not know
	Buffered     Strange = "buffered"      // a proxy that holds the whole stream back
	Blocks       Strange = "blocks"        // a proxy that hands it on in blocks of 4 KiB
	Redirected   Strange = "redirected"    // 308 for chat completions
	Starting     Strange = "starting"      // 503 for everything at first, as llama.cpp's while it loads
	StartingChat Strange = "starting-chat" // 503 for chat completions at first, with Retry-After
	LimitedFirst Strange = "limited-first" // 429 at first, with Retry-After
	BareList     Strange = "bare-list"     // the models as a bare array, as Together's
	EarlyHeader  Strange = "early-header"  // the response's head at once, long before the first token
)

// WireOnes lists these.
func WireOnes() []Strange {
	return []Strange{HTTP10, Trailers, BareStatus, Closes, Resets, Unterminated, ExtraLine, Timeout408, RawDeflate,
		Zstd, Buffered, Blocks, Redirected, Starting, StartingChat, LimitedFirst, BareList, EarlyHeader}
}

// startsIn is how long Starting and its like take.
const startsIn = 1500 * time.Millisecond

// wire handles what a server does before, or instead of, answering; done says that nothing is left to do.
func (s Strange) wire(w http.ResponseWriter, r *http.Request, began time.Time, chat bool) (done bool) {
	young := time.Since(began) < startsIn
	switch {
	case s == Redirected && chat:
		http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusPermanentRedirect)
	case s == Starting && young:
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"error": map[string]any{"code": 503,
			"message": "Loading model", "type": "unavailable_error"}})
	case (s == StartingChat || s == LimitedFirst) && chat && young:
		w.Header().Set("Retry-After", "1")
		status := map[Strange]int{StartingChat: 503, LimitedFirst: 429}[s]
		writeJSON(w, status, map[string]any{"error": map[string]any{"message": "try again later"}})
	case s == BareList && r.URL.Path == "/v1/models":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `[{"id":%q,"object":"model","created":0,"type":"chat"}]`, ModelID)
	default:
		return false
	}
	return true
}

// hijacks says that a server writes its own HTTP.
func (s Strange) hijacks() bool {
	switch s {
	case HTTP10, BareStatus, Closes, Resets, Unterminated, ExtraLine, Timeout408, Trailers:
		return true
	}
	return false
}

// frames is a response of HTTP/1 that is written by hand.
type frames struct {
	s      Strange
	conn   net.Conn
	rw     *bufio.ReadWriter
	header http.Header
	status int
	began  bool
}

func (s Strange) frames(w http.ResponseWriter) (*frames, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	return &frames{s: s, conn: conn, rw: rw, header: http.Header{}, status: http.StatusOK}, nil
}

// Header is what goes before the body.
func (f *frames) Header() http.Header { return f.header }

// WriteHeader sets the status.
func (f *frames) WriteHeader(status int) { f.status = status }

// Flush does nothing: every Write goes out.
func (f *frames) Flush() {}

func (f *frames) head() string {
	var b strings.Builder
	version, end, reason := "HTTP/1.1", "\r\n", " "+http.StatusText(f.status)
	switch f.s {
	case HTTP10:
		version = "HTTP/1.0"
	case BareStatus:
		end, reason = "\n", ""
	case Trailers:
		b.WriteString("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
	}
	fmt.Fprintf(&b, "%s %d%s%s", version, f.status, reason, end)
	for name, values := range f.header {
		if f.s == BareStatus {
			name = strings.ToLower(name)
		}
		b.WriteString(name + ":" + values[0] + end)
	}
	switch f.s {
	case HTTP10:
	case Trailers:
		b.WriteString("Server-Timing: queue;dur=1.5, prefill;dur=50\r\nTrailer: X-Done\r\n" +
			"Transfer-Encoding: Chunked\r\n")
	default:
		b.WriteString("transfer-encoding: chunked" + end)
	}
	return b.String() + end
}

func (f *frames) Write(p []byte) (int, error) {
	var b bytes.Buffer
	if !f.began {
		f.began = true
		b.WriteString(f.head())
	}
	switch f.s {
	case HTTP10:
		b.Write(p)
	case Trailers:
		fmt.Fprintf(&b, "%04X;name=\"a b\";x\r\n%s\r\n", len(p), p)
	default:
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	if _, err := f.conn.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// end is how the answer ends, and the connection with it.
func (f *frames) end() {
	defer f.conn.Close()
	switch f.s {
	case HTTP10:
	case Trailers:
		io.WriteString(f.conn, "0\r\nX-Done: yes\r\nServer-Timing: decode;dur=99\r\n\r\n")
	case Unterminated:
		time.Sleep(IdleTimeout)
	case ExtraLine:
		io.WriteString(f.conn, "0\r\n\r\n\r\n")
		time.Sleep(IdleTimeout)
	case Timeout408:
		io.WriteString(f.conn, "0\r\n\r\n")
		time.Sleep(IdleTimeout)
		io.WriteString(f.conn, "HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	case Resets:
		io.WriteString(f.conn, "0\r\n\r\n")
		time.Sleep(IdleTimeout) // what is not read by then is lost
		if tcp, ok := f.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	default:
		io.WriteString(f.conn, "0\r\n\r\n")
	}
}

// held hands a body on later than it comes.
type held struct {
	s     Strange
	w     http.ResponseWriter
	buf   bytes.Buffer
	block int
	flate *flate.Writer
}

func (s Strange) held(w http.ResponseWriter) *held {
	h := &held{s: s, w: w}
	switch s {
	case Buffered:
		h.block = 1 << 30
	case Blocks:
		h.block = 4096
	}
	return h
}

// Header is the response's.
func (h *held) Header() http.Header { return h.w.Header() }

// WriteHeader sends the status.
func (h *held) WriteHeader(status int) { h.w.WriteHeader(status) }

// Flush hands on what may be.
func (h *held) Flush() {}

func (h *held) Write(p []byte) (int, error) {
	if h.s == RawDeflate {
		if h.flate == nil {
			h.w.Header().Set("Content-Encoding", "deflate")
			h.w.Header().Del("Content-Length")
			h.flate, _ = flate.NewWriter(h.w, flate.BestSpeed)
		}
		if _, err := h.flate.Write(p); err != nil {
			return 0, err
		}
		err := h.flate.Flush()
		h.w.(http.Flusher).Flush()
		return len(p), err
	}
	h.buf.Write(p)
	for h.buf.Len() >= h.block {
		if _, err := h.w.Write(h.buf.Next(h.block)); err != nil {
			return 0, err
		}
		h.w.(http.Flusher).Flush()
	}
	return len(p), nil
}

func (h *held) end() {
	if h.flate != nil {
		_ = h.flate.Close() // the client has gone
		return
	}
	_, _ = h.w.Write(h.buf.Bytes())
}
