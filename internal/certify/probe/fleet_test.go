package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

func TestMetricsURLs(t *testing.T) {
	for text, want := range map[string]int{"http://a/metrics": 1, "http://a:1/metrics, https://b:2/m": 2,
		"dns+http://vllm:8000/metrics": 1, "": 0, "a:1": 0, "http://a,": 0, "http://a,http://a": 0, "dns+a": 0,
		"ftp://a": 0} {
		list, err := ParseMetricsURLs(text)
		if (err == nil) != (want > 0) || err == nil && len(list) != want || err != nil && !errors.Is(err, ErrFleet) {
			t.Errorf("%q: %q, %v", text, list, err)
		}
	}
}

// replicaServer is a replica whose metrics the test sets.
type replicaServer struct {
	*httptest.Server
	mu       sync.Mutex
	requests float64
	running  float64
	cpu      float64
	dead     bool
}

func newReplica(t *testing.T) *replicaServer {
	r := &replicaServer{cpu: 5}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.dead {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, `mixtral_requests_total{finish_reason="stop"} %v
mixtral_requests_running %v
mixtral_kv_cache_usage_ratio %v
process_resident_memory_bytes 1000
process_cpu_seconds_total %v
# TYPE mixtral_e2e_request_latency_seconds histogram
mixtral_e2e_request_latency_seconds_bucket{le="1"} %v
mixtral_e2e_request_latency_seconds_bucket{le="+Inf"} %v
mixtral_e2e_request_latency_seconds_sum %v
mixtral_e2e_request_latency_seconds_count %v
`, r.requests, r.running, r.running/10, r.cpu, r.requests/2, r.requests, r.requests*0.9, r.requests)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *replicaServer) set(change func(*replicaServer)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// TestAFleetIsScraped: counters and histograms are added up, and gauges by their meaning. What a replica had counted
// stays in the sums when it is lost, and when it restarts.
func TestAFleetIsScraped(t *testing.T) {
	a, b := newReplica(t), newReplica(t)
	a.set(func(r *replicaServer) { r.requests, r.running = 10, 3 })
	b.set(func(r *replicaServer) { r.requests, r.running = 4, 1 })
	s := NewScraper(a.URL+"/metrics,"+b.URL+"/metrics", "", "", "")
	defer s.Close()
	want := func(when string, requests, running, usage, rss float64, errs int) {
		t.Helper()
		x := s.Scrape(t.Context(), "")
		failed := 0
		for _, part := range x.Replicas {
			if part.Err != "" {
				failed++
			}
		}
		h := x.Histograms[evidence.HistE2E]
		if x.Err != "" || x.Dialect != "mixtral" || len(x.Replicas) != 2 || failed != errs ||
			x.Values[evidence.MetricRequests] != requests || x.Values["requests:stop"] != requests ||
			x.Values[evidence.MetricRunning] != running || x.Values[evidence.MetricKVUsage] != usage ||
			x.Values[evidence.MetricRSS] != rss || h.Count != requests || len(h.Buckets) != 2 ||
			h.Buckets[0].Count != requests/2 {
			t.Errorf("%s: %+v", when, x)
		}
	}
	want("both", 14, 4, 0.3, 2000, 0)
	b.set(func(r *replicaServer) { r.requests, r.running, r.dead = 6, 0, true })
	want("b is lost", 14, 3, 0.3, 1000, 1)
	a.set(func(r *replicaServer) { r.requests = 20 })
	want("b is lost", 24, 3, 0.3, 1000, 1)
	b.set(func(r *replicaServer) { r.requests, r.running, r.cpu, r.dead = 2, 2, 1, false })
	want("b is back, begun anew", 26, 5, 0.3, 2000, 0)
	b.set(func(r *replicaServer) { r.requests, r.cpu = 0, 0.5 })
	want("b has begun anew again", 26, 5, 0.3, 2000, 0)
	sample, err := Remote(s).Sample(t.Context())
	if err != nil || sample.RSS != 2000 || len(sample.Replicas) != 2 || sample.Replicas[0].RSS != 1000 {
		t.Errorf("%+v, %v", sample, err)
	}
	for _, r := range []*replicaServer{a, b} {
		r.set(func(r *replicaServer) { r.dead = true })
	}
	if x := s.Scrape(t.Context(), ""); x.Err == "" || !strings.Contains(x.Err, "replica") || len(x.Replicas) != 2 {
		t.Errorf("all are lost: %+v", x)
	}
	// At the beginning every replica must answer: one that does not is a mistake in the list.
	b.set(func(r *replicaServer) { r.dead = false })
	first := NewScraper(a.URL+"/metrics,"+b.URL+"/metrics", "", "", "")
	defer first.Close()
	if x := first.Scrape(t.Context(), ""); !strings.Contains(x.Err, strings.TrimPrefix(a.URL, "http://")) {
		t.Errorf("one of two is missing: %+v", x)
	}
}

// TestAFleetBehindAName: each address of the name is a replica. A new address is a new replica, and one that
// disappears is lost.
func TestAFleetBehindAName(t *testing.T) {
	a := newReplica(t)
	a.set(func(r *replicaServer) { r.requests = 4 })
	u, _ := url.Parse(a.URL)
	other, err := net.Listen("tcp", "127.0.0.2:"+u.Port())
	if err != nil {
		t.Fatal(err)
	}
	second := &http.Server{Handler: a.Config.Handler}
	go second.Serve(other)
	defer second.Close()
	s := NewScraper("dns+http://fleet.example:"+u.Port()+"/metrics", "", "", "")
	defer s.Close()
	hosts := []string{"127.0.0.1"}
	s.fleet.resolve = func(_ context.Context, host string) ([]string, error) {
		if host != "fleet.example" {
			t.Errorf("resolves %s", host)
		}
		return hosts, nil
	}
	names := func() (list []string) {
		x := s.Scrape(t.Context(), "")
		if x.Err != "" {
			t.Fatal(x.Err)
		}
		for _, part := range x.Replicas {
			if part.Err != "" {
				part.Name = "lost " + part.Name
			}
			list = append(list, strings.TrimSuffix(part.Name, ":"+u.Port()))
		}
		return list
	}
	if got := names(); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("%q", got)
	}
	hosts = []string{"127.0.0.2", "127.0.0.1"}
	if got := names(); !slices.Equal(got, []string{"127.0.0.1", "127.0.0.2"}) {
		t.Errorf("%q", got)
	}
	hosts = []string{"127.0.0.2"}
	if got := names(); !slices.Equal(got, []string{"127.0.0.2", "lost 127.0.0.1"}) {
		t.Errorf("%q", got)
	}
}

// TestAFleetOutlivesItsDNS checks that the replicas are read at their last addresses while the name cannot be looked
// up, and that the user is told once for each failure. A name that was never found is an error.
func TestAFleetOutlivesItsDNS(t *testing.T) {
	a := newReplica(t)
	a.set(func(r *replicaServer) { r.requests = 4 })
	u, _ := url.Parse(a.URL)
	s := NewScraper("dns+http://fleet.example:"+u.Port()+"/metrics", "", "", "")
	defer s.Close()
	var notes []string
	s.Notes(func(text string) { notes = append(notes, text) })
	broken := &net.DNSError{Err: "server misbehaving", Name: "fleet.example"}
	var fails error = broken
	s.fleet.resolve = func(context.Context, string) ([]string, error) {
		if fails != nil {
			return nil, fails
		}
		return []string{"127.0.0.1"}, nil
	}
	if x := s.Scrape(t.Context(), ""); !strings.Contains(x.Err, "server misbehaving") || len(notes) != 0 {
		t.Errorf("never found: %+v, notes %q", x, notes)
	}
	for i, step := range []struct {
		err   error
		notes int
	}{{nil, 0}, {broken, 1}, {broken, 1}, {nil, 1}, {broken, 2}} {
		fails = step.err
		x := s.Scrape(t.Context(), "")
		if x.Err != "" || len(x.Replicas) != 1 || x.Replicas[0].Err != "" || x.Values[evidence.MetricRequests] != 4 {
			t.Errorf("step %d: %+v", i, x)
		}
		if len(notes) != step.notes {
			t.Errorf("step %d: notes %q, want %d", i, notes, step.notes)
		}
	}
	if len(notes) > 0 && (!strings.Contains(notes[0], "fleet.example") || !strings.Contains(notes[0], "misbehaving")) {
		t.Errorf("note %q", notes[0])
	}
}

// TestAFleetInPrometheus: the series of each instance are one replica.
func TestAFleetInPrometheus(t *testing.T) {
	mixtral := func(instance string, n float64) []series {
		with := map[string]string{"instance": instance, "finish_reason": "stop"}
		return []series{{"mixtral_requests_total", with, n}, {"process_resident_memory_bytes", with, 7}}
	}
	gpu := series{"nvidia_gpu_memory_used_bytes", map[string]string{"instance": "exporter"}, 5}
	s := NewScraper("", "http://prometheus", "", "")
	read := func(parts ...[]series) evidence.Scrape {
		t.Helper()
		var out evidence.Scrape
		fleet, err := s.instances(append(slices.Concat(parts...), gpu), &out)
		if err != nil || fleet != (out.Replicas != nil) {
			t.Fatalf("%v, %v, %+v", fleet, err, out)
		}
		return out
	}
	if x := read(mixtral("a", 3)); x.Replicas != nil {
		t.Errorf("one instance is called a fleet: %+v", x)
	}
	x := read(mixtral("a", 3), mixtral("b", 4))
	if len(x.Replicas) != 2 || x.Values[evidence.MetricRequests] != 7 || x.Values[evidence.MetricRSS] != 14 ||
		x.Values[MetricGPU] != 5 {
		t.Errorf("%+v", x)
	}
	x = read(mixtral("b", 6))
	if len(x.Replicas) != 2 || x.Values[evidence.MetricRequests] != 9 || x.Values[evidence.MetricRSS] != 7 ||
		x.Replicas[1].Name != "a" || x.Replicas[1].Err == "" {
		t.Errorf("a is lost: %+v", x)
	}
}

// TestFleetCounts: whatever replicas do, the sum of their counters never falls, and never exceeds what they have
// counted in all. If no replica was lost or restarted, it is equal to that.
func TestFleetCounts(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		var f fleet
		truth, last, quiet := 0.0, 0.0, rapid.Bool().Draw(t, "quiet")
		counted, cpu := map[string]float64{}, map[string]float64{}
		for range rapid.IntRange(1, 30).Draw(t, "readings") {
			var readings []*reading
			for _, name := range []string{"a", "b", "c"} {
				if !quiet && rapid.IntRange(0, 4).Draw(t, "restart") == 0 {
					counted[name], cpu[name] = 0, 0
				}
				n := float64(rapid.IntRange(0, 9).Draw(t, "requests"))
				counted[name], truth = counted[name]+n, truth+n
				cpu[name]++
				r := newReading(name)
				r.values[evidence.MetricRequests], r.values[evidence.MetricCPUSeconds] = counted[name], cpu[name]
				if !quiet && rapid.IntRange(0, 3).Draw(t, "lost") == 0 {
					r.err = errors.New("lost")
				}
				readings = append(readings, r)
			}
			got := f.add(readings).values[evidence.MetricRequests]
			if got < last || got > truth || quiet && got != truth {
				t.Fatalf("the sum is %v, was %v, and %v were counted", got, last, truth)
			}
			last = got
		}
	})
}
