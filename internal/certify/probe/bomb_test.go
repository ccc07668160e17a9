package probe

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/cost"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// repeat writes format with rising numbers until it has written the given number of bytes, or the client has gone.
func repeat(w io.Writer, bytes int, format string) {
	for n, i := 0, 0; n < bytes; i++ {
		written, err := fmt.Fprintf(w, format, i)
		if err != nil {
			return
		}
		n += written
	}
}

// TestMetricsOfAServerThatFloods: whatever a server sends instead of metrics takes little memory and time, and the
// result fits a record.
func TestMetricsOfAServerThatFloods(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures cost, which the race detector multiplies")
	}
	const honest = "vllm:prompt_tokens_total 12\n"
	for name, tt := range map[string]struct {
		send func(w io.Writer)
		want func(evidence.Scrape) bool
	}{
		"31 MB of series": {func(w io.Writer) { repeat(w, 31<<20, "vllm:prompt_tokens_total{key=\"%d\"} 1\n") },
			func(s evidence.Scrape) bool { return s.Unread && strings.Contains(s.Err, "more than 8 MiB") }},
		"8 MB of series": {func(w io.Writer) { repeat(w, 7<<20, "vllm:prompt_tokens_total{key=\"%d\"} 1\n") },
			func(s evidence.Scrape) bool { return s.Unread && strings.Contains(s.Err, "100000 series") }},
		"8 MB of other metrics": {func(w io.Writer) {
			repeat(w, 7<<20, "m%d{a=\"b\",c=\"d\"} 1\n")
			io.WriteString(w, honest)
		}, func(s evidence.Scrape) bool { return s.Dialect == "vllm" && s.Err == "" && s.Names == nil }},
		"300,000 buckets": {func(w io.Writer) {
			repeat(w, 5<<20, "vllm:time_to_first_token_seconds_bucket{le=\"%d\"} 1\n")
			io.WriteString(w, "vllm:time_to_first_token_seconds_count 9\nvllm:time_to_first_token_seconds_sum 3\n")
		}, func(s evidence.Scrape) bool {
			h := s.Histograms[evidence.HistTTFT]
			return h.Count == 9 && h.Sum == 3 && h.Buckets == nil && len(s.Cut) == 1 &&
				strings.Contains(s.Cut[0], "buckets of ttft_seconds: ")
		}},
		"60,000 values of a label": {func(w io.Writer) {
			repeat(w, 60000*57, "vllm:request_success_total{finished_reason=\"reason%06d\"} 1\n")
		}, func(s evidence.Scrape) bool {
			return s.Values[evidence.MetricRequests] > 55000 && len(s.Values) == 1 && len(s.Cut) == 1
		}},
		"a million labels": {func(w io.Writer) {
			io.WriteString(w, "vllm:prompt_tokens_total{")
			repeat(w, 7<<20, "a%d=\"\",")
			io.WriteString(w, "} 1\n")
		}, func(s evidence.Scrape) bool { return s.Unread && strings.Contains(s.Err, "labels") }},
		"a value of 7 MB": {func(w io.Writer) {
			io.WriteString(w, "vllm:prompt_tokens_total ")
			repeat(w, 7<<20, "x%d")
		}, func(s evidence.Scrape) bool { return strings.Contains(s.Err, "must be a number") && !s.Unread }},
		"a name of 7 MB": {func(w io.Writer) { repeat(w, 7<<20, "x%d") },
			func(s evidence.Scrape) bool { return strings.Contains(s.Err, "no value") }},
		"a label of 7 MB": {func(w io.Writer) {
			io.WriteString(w, "vllm:request_success_total{finished_reason=\"")
			repeat(w, 7<<20, "x%d")
			io.WriteString(w, "\"} 1\n")
		}, func(s evidence.Scrape) bool { return len(s.Values) == 1 && len(s.Cut) == 1 }},
		"JSON of a million values": {func(w io.Writer) {
			io.WriteString(w, "[0")
			repeat(w, 7<<20, ",%d")
			io.WriteString(w, "]")
		}, func(s evidence.Scrape) bool { return s.Unread }},
		"JSON without end": {func(w io.Writer) { io.WriteString(w, strings.Repeat("[", 7<<20)) },
			func(s evidence.Scrape) bool { return s.Err != "" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewScraper(serve(t, func(w http.ResponseWriter, _ *http.Request) { tt.send(w) }), "", "", "m")
			s.Client.Timeout = time.Minute // this test is not about slow machines
			var got evidence.Scrape
			cost.Within(t, 300<<20, 10*time.Second, func() { got = scrape(t, s) })
			line, err := evidence.Encode(&evidence.Event{Scrape: &got})
			if err != nil || len(line) > 4096 || !tt.want(got) {
				t.Errorf("%v, a line of %d bytes: %+.600v", err, len(line), got)
			}
		})
	}
}

// TestASilentServerHoldsNoScrape: a scrape ends in time for a server that is silent, sends a byte at a time, or
// redirects in circles.
func TestASilentServerHoldsNoScrape(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	for name, h := range map[string]http.HandlerFunc{
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-stop:
			}
		},
		"a byte at a time": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "#")
				w.(http.Flusher).Flush()
				select {
				case <-time.After(50 * time.Millisecond):
				case <-stop:
					return
				}
			}
		},
		"a circle": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/metrics", http.StatusFound) },
		"headers": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 20000 {
				w.Header().Set(fmt.Sprint("H", i), "x")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := NewScraper(serve(t, h), "", "", "")
			s.Client.Timeout = 300 * time.Millisecond
			begun := time.Now()
			if got := scrape(t, s); got.Err == "" || len(got.Err) > evidence.MaxMessage ||
				time.Since(begun) > time.Minute {
				t.Errorf("%s: %+v", time.Since(begun), got)
			}
		})
	}
	t.Cleanup(func() { close(stop) })
}

// TestARedirectToAnotherHostIsNotFollowed: the other host would see the key.
func TestARedirectToAnotherHostIsNotFollowed(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	s := NewScraper(serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusFound)
	}), "", "", "")
	s.Header = http.Header{"Api-Key": {"secret"}}
	if got := scrape(t, s); asked || !strings.Contains(got.Err, "302") {
		t.Errorf("the other host was asked: %v; %+v", asked, got)
	}
	slash := NewScraper(serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			http.Redirect(w, r, "/metrics/", http.StatusTemporaryRedirect)
			return
		}
		fmt.Fprint(w, "vllm:prompt_tokens_total 12\n")
	})+"/metrics", "", "", "")
	if got := scrape(t, slash); got.Dialect != "vllm" {
		t.Errorf("/metrics/: %+v", got)
	}
}
