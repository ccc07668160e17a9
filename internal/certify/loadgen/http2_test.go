package loadgen

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// h2 serves an answer only over HTTP/2, with or without TLS.
func h2(t *testing.T, secure bool, answer http.HandlerFunc) (string, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.Protocols = &http.Protocols{}
	t.Cleanup(s.Close)
	if !secure {
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
		return s.URL, nil
	}
	s.Config.Protocols.SetHTTP2(true)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{NextProtos: []string{"h2"}}
	s.StartTLS()
	return s.URL, s.Client().Transport.(*http.Transport).TLSClientConfig
}

func TestHTTP2(t *testing.T) {
	events := func(n int, end string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				return
			}
			if r.Header.Get("Authorization") != "Bearer k" || r.ProtoMajor != 2 {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for range n {
				fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}`+"\n\n")
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
			fmt.Fprint(w, end)
		}
	}
	done := "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		fail   evidence.Failure
		chunks int
	}{
		"whole": {events(4, done), "", 4},
		"cut":   {events(2, ""), evidence.FailTruncated, 2},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			evidence.FailConnect, 0},
		"status": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusServiceUnavailable)
		}, evidence.FailStatus, 0},
		"broken off": {func(w http.ResponseWriter, r *http.Request) {
			events(1, "")(w, r)
			panic(http.ErrAbortHandler)
		}, evidence.FailTruncated, 1},
		"silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, evidence.FailTimeout, 0},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " TLS ", secure), func(t *testing.T) {
				url, trust := h2(t, secure, tt.answer)
				timeout := time.Minute
				if tt.fail == evidence.FailTimeout {
					timeout = time.Second
				}
				c, err := NewClient(url, ClientOptions{HTTP2: true, TLS: trust, APIKey: "k", Timeout: timeout})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				// On a busy machine two events may be read together, but not each time.
				apart := false
				for range 20 {
					r := c.Do(t.Context(), time.Now(), Job{Body: []byte(`{"stream":true}`), KeepText: true})
					if r.Fail != tt.fail || r.Chunks != tt.chunks || len(r.Gaps) != max(tt.chunks-1, 0) {
						t.Fatalf("%+v", r)
					}
					apart = !slices.ContainsFunc(r.Gaps, func(g int32) bool { return g < 3000 || g > 500_000 })
					if apart {
						break
					}
				}
				if !apart {
					t.Error("events that came 5 ms apart were never seen so")
				}
			})
		}
	}
}

// TestHTTP2IsCanceled: the end of a run cancels its requests.
func TestHTTP2IsCanceled(t *testing.T) {
	url, _ := h2(t, false, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c, err := NewClient(url, ClientOptions{HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if r := c.Do(ctx, time.Now(), Job{Body: []byte(`{}`)}); r.Fail != evidence.FailCanceled {
		t.Errorf("%+v", r)
	}
}
