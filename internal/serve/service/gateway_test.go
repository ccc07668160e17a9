package service

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkGateway measures the cost of the service in front of another server: the same short chat, not streamed,
// directly to a server that does nothing, and through the service with its keys, limits, metrics and log. It reports
// requests per second and the median latency. Client, service and null server share the machine's cores.
func BenchmarkGateway(b *testing.B) {
	const answer = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`
	null := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodGet {
			io.WriteString(w, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
			return
		}
		io.WriteString(w, answer)
	}))
	defer null.Close()
	keys := filepath.Join(b.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("alice alice-key-0123456789\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	o := options()
	o.Upstream, o.APIKeyFile, o.Logger = &Upstream{URLs: []string{null.URL}, Timeout: time.Minute}, keys,
		slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := opened(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	front := httptest.NewServer(s.Handler())
	defer front.Close()
	for _, to := range []struct{ name, url string }{{"direct", null.URL}, {"through", front.URL}} {
		for _, clients := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/clients=%d", to.name, clients), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				took := make([][]time.Duration, clients)
				var wg sync.WaitGroup
				b.ResetTimer()
				for i := range clients {
					wg.Go(func() {
						if err := knock(strings.TrimPrefix(to.url, "http://"), &left, &took[i]); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
				all := slices.Concat(took...)
				slices.Sort(all)
				b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "requests/s")
				b.ReportMetric(float64(all[len(all)/2])/1e6, "p50-ms")
			})
		}
	}
}

// knock sends the same chat over one connection until none is left. It does as little as possible: a client of the
// standard library would take longer than the service.
func knock(address string, left *atomic.Int64, took *[]time.Duration) error {
	const body = `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":4}`
	request := fmt.Appendf(nil,
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+
			"alice-key-0123456789\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for left.Add(-1) >= 0 {
		begin := time.Now()
		if _, err := conn.Write(request); err != nil {
			return err
		}
		if err := answered(in); err != nil {
			return err
		}
		*took = append(*took, time.Since(begin))
	}
	return nil
}

// answered reads one answer with a length, and expects status 200.
func answered(in *bufio.Reader) error {
	length := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answered %q", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without a length")
	}
	_, err := in.Discard(length)
	return err
}
