package service

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// TestClientLeavesAPassedRequest: a client leaves before its answer, and within it. The request ends upstream, and is
// counted once as an abort.
func TestClientLeavesAPassedRequest(t *testing.T) {
	reached, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			io.WriteString(w, `{"data":[{"id":"mixtral"}]}`)
			return
		}
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"stream":true`) {
			io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"and\"}}]}\n\n")
			w.(http.Flusher).Flush()
		}
		reached <- struct{}{}
		<-r.Context().Done() // an answer that never ends by itself
		ended <- struct{}{}
	}))
	defer func() {
		back.CloseClientConnections()
		back.Close()
	}()
	h := passing(t, back.URL)
	for i, stream := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		body := fmt.Sprintf(`{"model":"mixtral","messages":[{"role":"user","content":"go on"}],"stream":%v}`, stream)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+"/v1/chat/completions",
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer alice-key-0123456789")
		left := make(chan error, 1)
		go func() {
			resp, err := h.Client().Do(r)
			if err == nil {
				_, err = bufio.NewReader(resp.Body).ReadString('\n')
				cancel()
				resp.Body.Close()
			}
			left <- err
		}()
		llmtest.Await(t, "the upstream to be asked", reached)
		if !stream {
			cancel()
		}
		if err := llmtest.Await(t, "the client to leave", left); (err == nil) != stream {
			t.Errorf("stream %v: %v", stream, err)
		}
		cancel()
		llmtest.Await(t, "the request to end upstream", ended)
		want := fmt.Sprintf(`mixtral_requests_total{finish_reason="abort"} %d`, i+1)
		llmtest.Until(t, "the abort to be counted", func() bool { return strings.Contains(metricsOf(t, h), want) })
	}
	for _, other := range []string{"stop", "length", "error"} {
		if !strings.Contains(metricsOf(t, h), `mixtral_requests_total{finish_reason="`+other+`"} 0`) {
			t.Errorf("%s was counted too", other)
		}
	}
}
