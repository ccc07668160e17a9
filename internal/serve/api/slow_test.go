package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// endless configures a stream that is longer than all socket buffers, and a write timeout of half a second.
func endless(c *Config, fake *llmtest.Fake) {
	c.WriteTimeout = 500 * time.Millisecond // much longer than an undisturbed write, even on a busy machine
	c.MaxTokens = 1 << 30
	*fake = *llmtest.NewFake("fake", 1<<24, 4, 4)
}

// endlessBody asks for a stream of large events, which fill the buffers soon.
var endlessBody = with(`"stream":true,"ignore_eos":true,"logprobs":true,"top_logprobs":20`)

// takeNothing requests a stream from an endless service and reads nothing of it until it is given up. It returns the
// protocol's major version.
func takeNothing(t *testing.T, f *fixture) int {
	t.Helper()
	var ended atomic.Bool
	f.fake.Step = func(_ context.Context, _ *llm.Request, i int) error {
		if i > 1<<20 {
			ended.Store(true)
		}
		return nil
	}
	var resp *http.Response
	tries := 0.0
	llmtest.Until(t, "the answer's header", func() bool {
		tries++ // on a busy machine the timeout may end an answer before its first byte
		var err error
		resp, err = f.http.Client().Post(f.http.URL+"/v1/chat/completions", "application/json",
			strings.NewReader(endlessBody))
		return err == nil
	})
	t.Cleanup(func() { resp.Body.Close() }) // open until the test ends
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	llmtest.Until(t, "the reader is given up", func() bool {
		return f.metrics()[telemetry.Requests+",abort"] >= tries
	})
	if ended.Load() {
		t.Error("its generation went on")
	}
	return resp.ProtoMajor
}

// TestSlowReader: a client that reads nothing within the write timeout loses its stream, and no other client does.
func TestSlowReader(t *testing.T) {
	f := start(t, endless)
	takeNothing(t, f)
	served(t, f)
}

// served waits until another client gets its answer: on a busy machine the short write timeout may end that one, too.
func served(t *testing.T, f *fixture) {
	t.Helper()
	llmtest.Until(t, "another client's answer", func() bool {
		resp, err := f.http.Client().Post(f.http.URL+"/v1/chat/completions", "application/json",
			strings.NewReader(chatBody))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK
	})
}

// deadlines is a client that records the deadlines of its writes.
type deadlines struct {
	nowhere
	at time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.at = at
	return nil
}

// TestPatience: each write has the write timeout, and all writes together have a multiple of it.
func TestPatience(t *testing.T) {
	const limit = time.Minute
	client := &deadlines{}
	r := &answer{ResponseWriter: client}
	for _, test := range []struct{ blocked, left time.Duration }{{0, limit}, {3 * limit, limit},
		{3*limit + 20*time.Second, 40 * time.Second}, {4 * limit, 0}, {5 * limit, -limit}} {
		r.blocked = test.blocked
		before := time.Now()
		done := r.writing(http.NewResponseController(r), limit)
		if got := client.at.Sub(before); got < test.left || got > test.left+time.Since(before) {
			t.Errorf("after %v: %v are left", test.blocked, got)
		}
		done()
		if r.blocked < test.blocked || r.blocked > test.blocked+time.Since(before) {
			t.Errorf("%v became %v", test.blocked, r.blocked)
		}
	}
}

// TestTricklingReader: a client that reads a little just before each timeout is given up too, once it has made its
// answer wait long enough in all.
func TestTricklingReader(t *testing.T) {
	f := start(t, func(c *Config, fake *llmtest.Fake) {
		endless(c, fake)
		c.WriteTimeout = 200 * time.Millisecond
	})
	ask := func() net.Conn {
		conn, err := net.Dial("tcp", f.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s",
			len(endlessBody), endlessBody)
		return conn
	}
	conn, tries := ask(), 1.0
	piece, taken := make([]byte, 2048), 0
	llmtest.Until(t, "the reader is given up", func() bool {
		n, err := conn.Read(piece)
		if taken += n; taken == 0 && err != nil { // on a busy machine the timeout may end it before its first byte
			conn, tries = ask(), tries+1
		}
		return f.metrics()[telemetry.Requests+",abort"] == tries && taken > 0 // and it had read something
	})
	served(t, f)
}
