package probe

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hxp-enterprise/mixtral/internal/base/need"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// One scrape in every dialect, shortened from what the servers send. All of them describe the same requests.
var texts = map[string]string{
	"vllm": `# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="stop",model_name="m"} 7
vllm:request_success_total{finished_reason="length",model_name="m"} 3
vllm:request_success_total{finished_reason="abort",model_name="m"} 2
vllm:request_success_total{finished_reason="stop",model_name="other"} 99
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model_name="m"} 120
vllm:generation_tokens_total{model_name="m"} 80
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 1
vllm:num_requests_running{engine="1",model_name="m"} 2
vllm:num_requests_waiting{model_name="m"} 1
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:gpu_cache_usage_perc{engine="1",model_name="m"} 0.5
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{le="0.5",model_name="m"} 4
vllm:e2e_request_latency_seconds_bucket{le="+Inf",model_name="m"} 10
vllm:e2e_request_latency_seconds_sum{model_name="m"} 6.5
vllm:e2e_request_latency_seconds_count{model_name="m"} 10
process_resident_memory_bytes 1e9
process_cpu_seconds_total 12.5
DCGM_FI_DEV_FB_USED{gpu="0"} 1000
DCGM_FI_DEV_FB_USED{gpu="1"} 1000
mixtral_kv_cache_bytes{kv_type="f16"} 4096
mixtral_kv_cache_resident_bytes 1024
`,
	"sglang": "sglang:num_requests_total 10\nsglang:prompt_tokens_total 120\nsglang:generation_tokens_total " +
		"80\nsglang:num_running_reqs 3\nsglang:num_queue_reqs 1\nsglang:token_usage 0.5\n",
	"llamacpp": "# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total " +
		"120\nllamacpp:tokens_predicted_total 80\nllamacpp:requests_processing 3\nllamacpp:requests_deferred " +
		"1\nllamacpp:kv_cache_usage_ratio 0.5\n",
	"tgi": "# TYPE tgi_request_success counter\ntgi_request_success{method=\"prefill\"} 10\n# TYPE " +
		"tgi_request_input_length histogram\ntgi_request_input_length_bucket{le=\"+Inf\"} " +
		"10\ntgi_request_input_length_sum 120\ntgi_request_input_length_count 10\n" +
		"# TYPE tgi_request_generated_tokens histogram\ntgi_request_generated_tokens_bucket{le=\"+Inf\"} " +
		"10\ntgi_request_generated_tokens_sum 80\ntgi_request_generated_tokens_count " +
		"10\ntgi_batch_current_size 3\ntgi_queue_size 1\n",
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func scrape(t *testing.T, s *Scraper) evidence.Scrape {
	t.Helper()
	t.Cleanup(s.Close)
	return s.Scrape(t.Context(), "during A")
}

func TestEveryDialectTellsTheSameStory(t *testing.T) {
	story := map[string]float64{evidence.MetricRequests: 10, evidence.MetricPromptTokens: 120,
		evidence.MetricGenerationTokens: 80,
		evidence.MetricRunning:          3, evidence.MetricWaiting: 1, evidence.MetricKVUsage: 0.5}
	all := maps.Clone(texts)
	all["mixtral"] = strings.NewReplacer("vllm:request_success_total", telemetry.Requests, "finished_reason",
		telemetry.LabelFinishReason, "vllm:prompt_tokens_total", telemetry.PromptTokens,
		"vllm:generation_tokens_total", telemetry.GenerationTokens, "vllm:num_requests_running", telemetry.Running,
		"vllm:num_requests_waiting", telemetry.Waiting,
		"vllm:gpu_cache_usage_perc", telemetry.KVCacheUsage, "vllm:e2e_request_latency_seconds",
		telemetry.RequestLatency).Replace(texts["vllm"])
	for dialect, text := range all {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer key" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			fmt.Fprint(w, text)
		})
		got := scrape(t, NewScraper(url+"/metrics", "", "key", "m"))
		if got.Err != "" || got.Dialect != dialect || got.Label != "during A" || got.Source != url+"/metrics" ||
			got.Took <= 0 {
			t.Errorf("%s: %+v", dialect, got)
			continue
		}
		for name, want := range story {
			if v, ok := got.Values[name]; ok && v != want {
				t.Errorf("%s: %s is %g, want %g", dialect, name, v, want)
			} else if !ok && (dialect != "llamacpp" || name != evidence.MetricRequests &&
				name != evidence.MetricPromptTokens) && (dialect != "tgi" || name != evidence.MetricKVUsage) {
				t.Errorf("%s: no %s", dialect, name)
			}
		}
		if n := got.Values[evidence.MetricPromptComputed]; dialect == "llamacpp" && n != 120 {
			t.Errorf("%g computed prompt tokens", n)
		}
		if dialect != "vllm" && dialect != "mixtral" {
			continue
		}
		if got.Values["requests:stop"] != 7 || got.Values["requests:length"] != 3 ||
			got.Values["requests:abort"] != 2 {
			t.Errorf("%s: by reason %v", dialect, got.Values)
		}
		want := evidence.Histogram{Count: 10, Sum: 6.5, Buckets: []evidence.Bucket{{LE: 0.5, Count: 4},
			{Inf: true, Count: 10}}}
		if diff := cmp.Diff(want, got.Histograms[evidence.HistE2E]); diff != "" {
			t.Errorf("%s: %s", dialect, diff)
		}
		if got.Values[evidence.MetricRSS] != 1e9 || got.Values[MetricGPU] != 2000<<20 {
			t.Errorf("%s: memory %v", dialect, got.Values)
		}
		if got.Values[evidence.MetricCacheUsed] != 1024 || got.Values[evidence.MetricCacheCapacity] != 4096 {
			t.Errorf("%s: cache %v", dialect, got.Values) // any server may declare one
		}
	}
}

// The service's table of metrics and the certifier's dialect for it must agree.
func TestTheMixtralDialectIsInTheServicesTable(t *testing.T) {
	for _, d := range dialects[:1] {
		for _, table := range []map[string][]string{d.values, d.histograms} {
			for canonical, names := range table {
				for _, n := range names {
					if _, ok := telemetry.Lookup(n); !ok {
						t.Errorf("%s: the service has no metric %s", canonical, n)
					}
				}
			}
		}
	}
}

func TestServersWithoutMetrics(t *testing.T) {
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"none":    {http.NotFound, "not offered"},
		"refused": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "403"},
		"a page": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") },
			"no metrics"},
		"empty": {func(http.ResponseWriter, *http.Request) {}, "no metrics"},
		"an endless one": {func(w http.ResponseWriter, _ *http.Request) {
			line := []byte(strings.Repeat("# x\n", 1<<16))
			for range maxBody/len(line) + 2 {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		}, "more than"},
	} {
		got := scrape(t, NewScraper(serve(t, tt.handler), "", "", ""))
		if !strings.Contains(got.Err, tt.want) || got.Values != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := scrape(t, NewScraper("", "", "", "")); !strings.Contains(got.Err, "not offered") ||
		got.Source != "none" {
		t.Errorf("no URL: %+v", got)
	}
	other := scrape(t, NewScraper(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "my_requests 4\nprocess_resident_memory_bytes 5\n")
	}), "", "", ""))
	if other.Dialect != Unknown || other.Values[evidence.MetricRSS] != 5 || other.Err != "" {
		t.Errorf("unknown dialect: %+v", other)
	}
}

func TestAPrometheusServerLiesBetween(t *testing.T) {
	began := time.Now()
	at := float64(began.Add(-4*time.Second).UnixNano()) / 1e9
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query().Get("query")
		switch {
		case r.URL.Path != "/prom/api/v1/query":
			http.NotFound(w, r)
		case r.URL.Query().Get("time") == "":
			t.Error("the query has no time")
		case strings.HasPrefix(q, "max(timestamp("):
			fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"%f"]}]}}`, at)
		default:
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[
				{"metric":{"__name__":"vllm:request_success_total","finished_reason":"stop","instance":"a"},"value":[1,"10"]},
				{"metric":{"__name__":"vllm:time_to_first_token_seconds_count","instance":"a"},"value":[1,"10"]},
				{"metric":{"__name__":"vllm:time_to_first_token_seconds_sum","instance":"a"},"value":[1,"NaN"]},
				{"metric":{"__name__":"process_resident_memory_bytes","instance":"a"},"value":[1,"1e9"]},
				{"metric":{"__name__":"process_resident_memory_bytes","instance":"prometheus"},"value":[1,"7e9"]}]}}`)
		}
	})
	got := scrape(t, NewScraper("", url+"/prom/", "", ""))
	if got.Err != "" || got.Dialect != "vllm" || got.Values[evidence.MetricRequests] != 10 ||
		got.Histograms[evidence.HistTTFT].Count != 10 {
		t.Errorf("%+v", got)
	}
	if got.Values[evidence.MetricRSS] != 1e9 {
		t.Errorf("another job's memory was added: %g", got.Values[evidence.MetricRSS])
	}
	if age := time.Duration(got.Age); age < 3900*time.Millisecond || age > 4100*time.Millisecond+time.Since(began) {
		t.Errorf("age %v, the sample is 4 s old", age)
	}
	if !strings.HasPrefix(got.Source, "prometheus http") {
		t.Errorf("source %q", got.Source)
	}
	for name, body := range map[string]string{"page": "<html>", "error": `{"status":"error","error":"bad query"}`,
		"nothing":   `{"status":"success","data":{"resultType":"vector","result":[]}}`,
		"no number": `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"many"]}]}}`} {
		bad := scrape(t, NewScraper("", serve(t, func(w http.ResponseWriter,
			_ *http.Request) {
			fmt.Fprint(w, body)
		}), "", ""))
		if bad.Err == "" {
			t.Errorf("%s: %+v", name, bad)
		}
	}
}

// TestAScrapeBetweenTheQueriesIsNoYounger: a sample has the time at which its scrape began, and can be queried when
// the scrape has ended. A sample that arrives between the query for the age and that for the values must not make old
// values look young.
func TestAScrapeBetweenTheQueriesIsNoYounger(t *testing.T) {
	samples := 0 // sample i is 100−i seconds old and counts i requests
	s := NewScraper("", serve(t, func(w http.ResponseWriter, r *http.Request) {
		value, name := float64(samples), "vllm:request_success_total"
		if strings.HasPrefix(r.URL.Query().Get("query"), "max(timestamp(") {
			at, err := strconv.ParseFloat(r.URL.Query().Get("time"), 64)
			if err != nil {
				t.Error(err)
			}
			value, name = at-100+float64(samples), ""
		}
		samples++
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":%q},"value":[1,"%f"]}]}}`, name, value)
	}), "", "")
	defer s.Close()
	for range 5 {
		got := s.Scrape(t.Context(), "")
		if age := time.Duration(got.Age).Seconds(); got.Err != "" || got.Values[evidence.MetricRequests] < 100-age-1 {
			t.Errorf("values of sample %v are said to be %.1f s old, and are %v s: %s",
				got.Values[evidence.MetricRequests], age, 100-got.Values[evidence.MetricRequests], got.Err)
		}
	}
}

// A real Prometheus server, if one is installed: its query language refuses queries that a fake would accept.
func TestThroughARealPrometheusServer(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		need.Missing(t, "prometheus is not installed (Debian's package prometheus)")
	}
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, texts["vllm"])
	})
	dir := t.TempDir()
	put(t, dir, map[string]string{"p.yml": "scrape_configs:\n  - job_name: x\n    scrape_interval: 1s\n    " +
		"static_configs: [{targets: ['" + strings.TrimPrefix(target, "http://") + "']}]\n"})
	address := "127.0.0.1:" + llmtest.Port(t)
	var log bytes.Buffer
	cmd := exec.Command(program, "--config.file="+dir+"/p.yml", "--storage.tsdb.path="+dir+"/data",
		"--web.listen-address="+address)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	s := NewScraper("", "http://"+address, "", "m")
	defer s.Close()
	got := s.Scrape(t.Context(), "during A")
	for deadline := time.Now().Add(time.Minute); got.Err != "" &&
		time.Now().Before(deadline); got = s.Scrape(t.Context(), "during A") {
		time.Sleep(100 * time.Millisecond)
	}
	if got.Err != "" || got.Dialect != "vllm" || got.Values[evidence.MetricRequests] != 10 ||
		got.Values[evidence.MetricRSS] != 1e9 || got.Histograms[evidence.HistE2E].Count != 10 {
		t.Fatalf("%+v", got)
	}
	if age := time.Duration(got.Age); age > time.Minute {
		t.Errorf("a sample of a server that is scraped every second is %v old", age)
	}
}

func TestResourcesThroughMetrics(t *testing.T) {
	s := NewScraper(serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, texts["vllm"]) }), "", "",
		"m")
	t.Cleanup(s.Close)
	source := Remote(s)
	got, err := source.Sample(t.Context())
	if err != nil || got.RSS != 1e9 || got.CPUSeconds != 12.5 || got.GPU != 2000<<20 {
		t.Errorf("%+v, %v", got, err)
	}
	if Interval(source) != RemoteInterval {
		t.Error("a remote source is asked as often as a local one")
	}
	s = NewScraper(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w,
			"vllm:num_requests_running 1\n")
	}), "", "", "")
	t.Cleanup(s.Close)
	if _, err := Remote(s).Sample(t.Context()); err == nil {
		t.Error("metrics without a process's memory")
	}
}

func FuzzText(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text), "m")
	}
	f.Add([]byte("vllm:e2e_request_latency_seconds_bucket{le=\"x\"} NaN\n"), "")
	f.Fuzz(func(t *testing.T, body []byte, model string) {
		all, err := parseText(body, nil)
		if err != nil {
			return
		}
		got := translate(all, model, nil)
		if _, err := evidence.Encode(&evidence.Event{Scrape: &evidence.Scrape{Dialect: got.dialect,
			Values: got.values, Histograms: got.histograms, Cut: got.cut}}); err != nil {
			t.Errorf("a scrape that cannot be recorded: %v", err)
		}
	})
}

// FuzzAnswers: any answer of a Prometheus server, and any metrics in JSON, are refused or give series that can be
// recorded.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"up"},"value":[1,"1"]}]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"h"},"histogram":[1,` +
			`{"count":"3","sum":"1","buckets":[[0,"0.1","0.2","1"],[1,"-0.1","0.1","NaN"]]}]}]}}`,
		`{"status":"error","error":"no"}`, `[{"a":{"b":1e400}},{"a":{"b":2}}]`, `{"":{"":{"\ud800":1}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, parse := range []func([]byte) ([]series, error){parseVector, parseJSON} {
			all, err := parse(body)
			if err != nil {
				continue
			}
			got := translate(all, "", nil)
			if _, err := evidence.Encode(&evidence.Event{Scrape: &evidence.Scrape{Dialect: got.dialect,
				Values: got.values, Histograms: got.histograms, Cut: got.cut}}); err != nil {
				t.Errorf("a scrape that cannot be recorded: %v", err)
			}
		}
	})
}
