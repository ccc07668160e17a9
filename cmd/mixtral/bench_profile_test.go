package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/moe"
)

// TestBesideAll counts the tokens that come while every sequence decodes: those after the last first token, up to the
// first last one.
func TestBesideAll(t *testing.T) {
	at := func(ms ...int) timing {
		var times timing
		for _, m := range ms {
			times.at = append(times.at, time.UnixMilli(int64(m)))
		}
		return times
	}
	for name, tt := range map[string]struct {
		times  []timing
		gap    float64
		beside int
	}{
		"one":            {[]timing{at(0, 10, 20)}, 0.01, 2},
		"in step":        {[]timing{at(0, 10, 20), at(0, 10, 20)}, 0.01, 4},
		"one joins":      {[]timing{at(0, 5, 10, 20, 30), at(10, 20, 30)}, 0.01, 4},
		"one leaves":     {[]timing{at(0, 10, 20), at(0, 10, 20, 25, 30)}, 0.01, 4},
		"not together":   {[]timing{at(0, 1, 2), at(5, 6, 7)}, 0, 0},
		"a single token": {[]timing{at(0), at(0, 10)}, 0, 0},
	} {
		gap, beside := besideAll(tt.times)
		if beside != tt.beside || gap < tt.gap-1e-9 || gap > tt.gap+1e-9 {
			t.Errorf("%s: %g s between tokens and %d tokens, want %g and %d", name, gap, beside, tt.gap, tt.beside)
		}
	}
}

// turns lets a server answer the next request when the client has read this answer: a turn ends with its body.
type turns struct {
	http.RoundTripper
	alone chan struct{}
}

func (t turns) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = turn{resp.Body, t.alone}
	}
	return resp, err
}

type turn struct {
	io.ReadCloser
	alone chan struct{}
}

func (t turn) Close() error {
	select {
	case <-t.alone:
	default:
	}
	return t.ReadCloser.Close()
}

// TestTogetherAsksForMore: where short answers have ended before the last request began, longer ones are asked for,
// up to the context; then the error says how many tokens came.
func TestTogetherAsksForMore(t *testing.T) {
	for name, tt := range map[string]struct {
		enough int // tokens from which on the requests are answered together
		says   string
	}{
		"at once": {1, ""},
		"longer":  {200, ""},
		"never":   {1000, "of 2 sequences of 504 tokens"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var most int
			alone := make(chan struct{}, 1) // held until the client has read the answer that is alone
			came := map[[2]int]int{}        // how many answers of a length have come to a token
			moved := sync.NewCond(&mu)
			inStep := func(length, token int) { // waits until two answers of a length have come to a token
				mu.Lock()
				defer mu.Unlock()
				came[[2]int{length, token}]++
				moved.Broadcast()
				for came[[2]int{length, token}] < 2 {
					moved.Wait()
				}
			}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var asked struct {
					Tokens int `json:"max_tokens"`
				}
				if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
					t.Error(err)
				}
				mu.Lock()
				most = max(most, asked.Tokens)
				mu.Unlock()
				if asked.Tokens < tt.enough {
					alone <- struct{}{}
				}
				for i := range asked.Tokens {
					if i%8 == 0 && asked.Tokens >= tt.enough {
						inStep(asked.Tokens, i)
					}
					fmt.Fprintf(w, "data: {\"n\":%d}\n\n", i)
					if i%8 == 0 {
						w.(http.Flusher).Flush()
						time.Sleep(time.Millisecond)
					}
				}
			}))
			defer s.Close()
			client := s.Client()
			client.Transport = turns{client.Transport, alone}
			p := &profiler{app: &app{ctx: t.Context()}, url: s.URL, http: client,
				info: moe.Info{Config: moe.Config{Context: 512, Vocab: 100}}}
			d, err := p.together(2, profileShort)
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("%+v, %v", d, err)
				}
				return
			}
			if err != nil || d.Sequences != 2 || d.Seconds <= 0 || d.Context != profileShort+most/2 ||
				most < tt.enough {
				t.Fatalf("%+v of %d tokens, %v", d, most, err)
			}
		})
	}
}
