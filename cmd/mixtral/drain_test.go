package main

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// TestServeDrainHasABound: after SIGTERM the service waits for requests under way for drain_timeout_s and no longer;
// the exit code says that some were cut off.
func TestServeDrainHasABound(t *testing.T) {
	t.Setenv("MIXTRAL_DRAIN_TIMEOUT_S", "0.01")
	s := startServe(t)
	var group sync.WaitGroup
	begun := make(chan struct{}, 16)
	for range 16 { // more than a hundred answers of 900 tokens: seconds of work
		group.Go(func() {
			resp, err := http.Post(s.url+"/v1/chat/completions", "application/json",
				strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":900,"n":8,"ignore_eos":true,"stream":true}`))
			begun <- struct{}{}
			if err == nil {
				io.Copy(io.Discard, resp.Body) // cut off
				resp.Body.Close()
			}
		})
	}
	llmtest.Await(t, "the first answer's header", begun)
	if code := s.stop(syscall.SIGTERM); code != exitFail || !strings.Contains(s.stderr.String(),
		"requests are still under way") {
		t.Errorf("exit code %d; %s", code, s.stderr)
	}
	llmtest.Await(t, "all clients", llmtest.Done(group.Wait))
}
