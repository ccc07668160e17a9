package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// wordy is a backend that costs almost nothing: n events of one word.
type wordy struct {
	llm.Backend
	n int
}

func (b wordy) Models() []llm.Model { return []llm.Model{{ID: "wordy", ContextLength: 1 << 20}} }

func (b wordy) Generate(_ context.Context, _ *llm.Request, sink func(llm.Event) error) error {
	for i := range b.n {
		e := llm.Event{Text: " word", NTokens: 1}
		if i == b.n-1 {
			e.Finish, e.Usage = llm.FinishLength, &llm.Usage{PromptTokens: 1, CompletionTokens: b.n}
		}
		if err := sink(e); err != nil {
			return err
		}
	}
	return nil
}

// nowhere is a client that reads at no cost.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Flush()                      {}

func (n nowhere) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkStream measures what the API adds to each token of a stream: encoding and counting, and with "http" also
// writing to a socket and reading from it.
func BenchmarkStream(b *testing.B) {
	const tokens = 1000
	s := New(Config{Metrics: telemetry.NewMetrics("v")})
	s.SetBackend(wordy{n: tokens})
	body := with(`"stream":true`)
	perToken := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tokens, "ns/token")
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.ServeHTTP(nowhere{http.Header{}}, httptest.NewRequest("POST", "/v1/chat/completions",
				strings.NewReader(body)))
		}
		perToken(b)
	})
	b.Run("http", func(b *testing.B) {
		server := httptest.NewServer(s)
		defer server.Close()
		for b.Loop() {
			resp, err := server.Client().Post(server.URL+"/v1/chat/completions", "application/json",
				strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		perToken(b)
	})
}

// BenchmarkRefuse measures what an overloaded service spends on each request that it refuses.
func BenchmarkRefuse(b *testing.B) {
	s := New(Config{Metrics: telemetry.NewMetrics("v")})
	s.SetBackend(full{})
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(chatBody)))
		if w.Code != http.StatusTooManyRequests {
			b.Fatal(w.Code)
		}
	}
}

type full struct{ wordy }

func (full) Generate(context.Context, *llm.Request, func(llm.Event) error) error {
	return llm.ErrQueueFull
}
