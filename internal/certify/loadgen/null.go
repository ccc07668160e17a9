package loadgen

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// NullOptions say how a NullServer answers.
type NullOptions struct {
	// TTFT returns the time from the arrival of request n to its first token; nil: at once.
	TTFT func(n int) time.Duration
	// Interval is the time between tokens. All tokens are timed from the first, so delays do not add up.
	Interval time.Duration
	// Tokens is the number of tokens in an answer, unless the request's max_tokens is lower; 0: 16.
	Tokens int
}

// NullServer is an OpenAI-compatible server without a model, on a loopback port. It answers at known times and keeps
// the times at which it really did, so that a client's error can be measured. Its answers have one token per chunk,
// and correct usage.
type NullServer struct {
	o        NullOptions
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // nil after Close
	n     int
	truth map[string]Truth
}

// Truth has the true times of one request to a NullServer, on the system's monotonic clock.
type Truth struct {
	Received time.Time   // when the request was complete, by the kernel's stamp if there is one
	Sent     []time.Time // when each token was sent: just before the write
}

// NewNullServer starts a server.
func NewNullServer(o NullOptions) (*NullServer, error) {
	if o.Tokens <= 0 {
		o.Tokens = 16
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the null server: %w", err)
	}
	s := &NullServer{o: o, listener: l, conns: map[net.Conn]bool{}, truth: map[string]Truth{}}
	s.wg.Go(s.accept)
	return s, nil
}

// URL is the server's address.
func (s *NullServer) URL() string { return "http://" + s.listener.Addr().String() }

// Truth returns the true times of the request whose field "user" was user. Times of requests without that field are
// not kept. They are available once the client has received the whole answer.
func (s *NullServer) Truth(user string) (Truth, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.truth[user]
	return t, ok
}

// publish makes the true times of a request available.
func (s *NullServer) publish(user string, t *Truth) {
	if user == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.truth[user] = *t
}

// Close stops the server and closes its connections.
func (s *NullServer) Close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *NullServer) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(time.Millisecond) // probably out of file descriptors, which passes
			continue
		}
		s.mu.Lock()
		open := s.conns != nil
		if open {
			s.conns[c] = true
			s.wg.Go(func() { s.serve(c) })
		}
		s.mu.Unlock()
		if !open {
			c.Close()
		}
	}
}

// nullRequest has the fields of a request that the server reads.
type nullRequest struct {
	User          string `json:"user"`
	Stream        bool   `json:"stream"`
	MaxTokens     int    `json:"max_tokens"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// serve answers one connection's requests until it ends.
func (s *NullServer) serve(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	in := stampArrivals(c, SystemClock())
	br := bufio.NewReaderSize(in, 2048)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(io.LimitReader(req.Body, 16<<20))
		if err != nil {
			return
		}
		if err := s.answer(c, req, body, in.arrived()); err != nil {
			return
		}
	}
}

func (s *NullServer) answer(c net.Conn, req *http.Request, body []byte, received time.Time) error {
	if req.URL.Path == "/v1/models" {
		return reply(c, "200 OK",
			`{"object":"list","data":[{"id":"null","object":"model","created":1,"owned_by":"null"}]}`)
	}
	var q nullRequest
	if req.Method != http.MethodPost || req.URL.Path != "/v1/chat/completions" {
		return reply(c, "404 Not Found", `{"error":{"message":"no such route","type":"invalid_request_error"}}`)
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return reply(c, "400 Bad Request",
			`{"error":{"message":"the body is not JSON","type":"invalid_request_error"}}`)
	}
	tokens := s.o.Tokens
	if q.MaxTokens > 0 {
		tokens = min(tokens, q.MaxTokens)
	}
	t := &Truth{Received: received, Sent: make([]time.Time, 0, tokens)}
	s.mu.Lock()
	n := s.n
	s.n++
	s.mu.Unlock()
	first := received
	if s.o.TTFT != nil {
		first = first.Add(s.o.TTFT(n))
	}
	if q.Stream {
		return s.stream(c, &q, t, first, tokens)
	}
	time.Sleep(time.Until(first.Add(time.Duration(tokens-1) * s.o.Interval)))
	text := make([]byte, 0, tokens*len(nullToken))
	for range tokens {
		text = append(text, nullToken...)
	}
	t.Sent = append(t.Sent, time.Now())
	s.publish(q.User, t)
	return reply(c, "200 OK", `{"id":"null","object":"chat.completion","created":1,"model":"null","choices":[{"index":0,"message":{"role":"assistant","content":"`+
		string(text)+`"},"finish_reason":"length"}],"usage":`+nullUsage(tokens)+`}`)
}

const (
	nullToken  = "word "
	nullPrompt = 8 // prompt tokens in usage, whatever the prompt
	nullChunk  = `{"id":"null","object":"chat.completion.chunk","created":1,"model":"null","choices":[`
)

func nullUsage(tokens int) string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, nullPrompt, tokens,
		nullPrompt+tokens)
}

// event encodes one event as one HTTP chunk.
func event(data string) string {
	data = "data: " + data + "\n\n"
	return strconv.FormatInt(int64(len(data)), 16) + "\r\n" + data + "\r\n"
}

// Parts of a stream that never change, encoded once.
var (
	nullHead = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
		event(nullChunk+`{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`))
	nullEvent = []byte(event(nullChunk + `{"index":0,"delta":{"content":"` + nullToken +
		`"},"finish_reason":null}]}`))
	nullFirst  = slices.Concat(nullHead, nullEvent)
	nullFinish = event(nullChunk + `{"index":0,"delta":{},"finish_reason":"length"}]}`)
	nullTail   = event("[DONE]") + "0\r\n\r\n"
)

func (s *NullServer) stream(c net.Conn, q *nullRequest, t *Truth, first time.Time, tokens int) error {
	for i := range tokens {
		time.Sleep(time.Until(first.Add(time.Duration(i) * s.o.Interval)))
		part := nullEvent
		if i == 0 {
			part = nullFirst
		}
		t.Sent = append(t.Sent, time.Now()) // nothing between this and the write
		if _, err := c.Write(part); err != nil {
			return err
		}
	}
	s.publish(q.User, t)
	end := nullFinish
	if q.StreamOptions.IncludeUsage {
		end += event(nullChunk + `],"usage":` + nullUsage(tokens) + `}`)
	}
	_, err := io.WriteString(c, end+nullTail)
	return err
}

func reply(c net.Conn, status, body string) error {
	_, err := fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status,
		len(body), body)
	return err
}
