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

// Servers whose HTTP is unusual, or which stand behind a proxy that makes it unusual.
const (
	HTTP10   Strange = "http-1.0" // answers in HTTP/1.0 and closes the connection
	Trailers Strange = "trailers" // sends chunk extensions, trailers, Server-Timing and interim responses
	// sends a status line without a reason, lines that end in LF alone, and header names in lower case
	BareStatus   Strange = "bare-status"
	Closes       Strange = "closes"        // closes each connection after an answer without announcing it
	Resets       Strange = "resets"        // the same, but with a TCP reset
	Unterminated Strange = "unterminated"  // the body does not end after [DONE]
	ExtraLine    Strange = "extra-line"    // sends an empty line after each body
	Timeout408   Strange = "timeout-408"   // sends 408 on an idle connection, as HAProxy does
	RawDeflate   Strange = "raw-deflate"   // compresses with deflate but without zlib's header, as some servers do
	Zstd         Strange = "zstd"          // claims an encoding that the client does not know
	Buffered     Strange = "buffered"      // a proxy that sends the stream only when it is complete
	Blocks       Strange = "blocks"        // a proxy that forwards the stream in blocks of 4 KiB
	Redirected   Strange = "redirected"    // redirects chat completions to another host with 308
	Starting     Strange = "starting"      // answers everything with 503 at first, as llama.cpp does while it loads
	StartingChat Strange = "starting-chat" // answers chat completions with 503 and Retry-After at first
	LimitedFirst Strange = "limited-first" // answers chat completions with 429 and Retry-After at first
	BareList     Strange = "bare-list"     // lists its models as a bare array, as Together does
	EarlyHeader  Strange = "early-header"  // sends the response's header at once, long before the first token
)

// WireOnes lists the servers with unusual HTTP.
func WireOnes() []Strange {
	return []Strange{HTTP10, Trailers, BareStatus, Closes, Resets, Unterminated, ExtraLine, Timeout408, RawDeflate,
		Zstd, Buffered, Blocks, Redirected, Starting, StartingChat, LimitedFirst, BareList, EarlyHeader}
}

// StartsIn is how long Starting, StartingChat and LimitedFirst refuse requests.
const StartsIn = 1500 * time.Millisecond

// wire does what a server does instead of answering. done says that the response is complete.
func (s Strange) wire(w http.ResponseWriter, r *http.Request, began time.Time, chat bool) (done bool) {
	young := time.Since(began) < StartsIn
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

// hijacks says whether a server writes its own HTTP.
func (s Strange) hijacks() bool {
	switch s {
	case HTTP10, BareStatus, Closes, Resets, Unterminated, ExtraLine, Timeout408, Trailers:
		return true
	}
	return false
}

// frames is an HTTP/1 response that is written to the connection byte by byte, without net/http.
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

// Header returns the header, which the first Write sends.
func (f *frames) Header() http.Header { return f.header }

// WriteHeader sets the status.
func (f *frames) WriteHeader(status int) { f.status = status }

// Flush does nothing because Write buffers nothing.
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

// end ends the response and closes the connection.
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
		time.Sleep(IdleTimeout) // a reset discards what the client has not read by then
		if tcp, ok := f.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	default:
		io.WriteString(f.conn, "0\r\n\r\n")
	}
}

// held delays a body or compresses it: it forwards blocks of block bytes, and the rest at the end.
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

// Header returns the response's header.
func (h *held) Header() http.Header { return h.w.Header() }

// WriteHeader sends the status.
func (h *held) WriteHeader(status int) { h.w.WriteHeader(status) }

// Flush does nothing: only Write and end forward bytes.
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
