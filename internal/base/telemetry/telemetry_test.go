package telemetry

import (
	"bytes"
	"io"
	"log/slog"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

// scrape reads the metrics as a Prometheus server would; the values of a name are summed over its labels.
func scrape(t interface {
	Helper()
	Fatal(...any)
}, m *Metrics) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for name, f := range families {
		for _, metric := range f.Metric {
			key := name
			for _, l := range metric.Label {
				key += "," + l.GetValue()
			}
			switch {
			case metric.Counter != nil:
				values[key] = metric.Counter.GetValue()
			case metric.Gauge != nil:
				values[key] = metric.Gauge.GetValue()
			case metric.Histogram != nil:
				values[key+"_count"] = float64(metric.Histogram.GetSampleCount())
				values[key+"_sum"] = metric.Histogram.GetSampleSum()
			}
		}
	}
	return values
}

func TestLint(t *testing.T) {
	m := NewMetrics("v1")
	m.HTTP("/v1/models", 200)
	problems, err := testutil.GatherAndLint(m.Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "go_") { // the runtime chooses its own names
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// TestTable: the table and the registry have the same metrics.
func TestTable(t *testing.T) {
	m := NewMetrics("v1")
	m.HTTP("/v1/models", 200)
	m.SetKVCache("f16", 1, func() int64 { return 1 })
	m.SetLimits(Limits{Running: 1, Waiting: 1, Memory: 1})
	m.SetExpiry(time.Now)
	m.SetConnections(func() int { return 0 }, 1)
	m.SetFleet(func() Fleet { return Fleet{Replicas: []Replica{{Name: "a:1"}}} })
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "mixtral_") {
			got = append(got, f.GetName()+" "+strings.ToLower(f.GetType().String())+" "+f.GetHelp())
		}
	}
	for _, d := range Table {
		want = append(want, d.Name+" "+string(d.Kind)+" "+d.Help)
		if d.Kind == Histogram && !slices.IsSorted(d.Buckets) {
			t.Errorf("%s: buckets %v", d.Name, d.Buckets)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("registry:\n%s\ntable:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, ok := Lookup("nope"); ok {
		t.Error("found what is not there")
	}
}

// TestCompletion follows one completion: five tokens in four pieces, the first after 0.5 s.
func TestCompletion(t *testing.T) {
	m := NewMetrics("v1")
	c := m.Begin(t0)
	c.Tokens(at(0.5), 1)
	c.Tokens(at(0.6), 1)
	c.Tokens(at(0.6), 0) // no token came
	c.Tokens(at(1.0), 2)
	c.Tokens(at(1.1), 1)
	c.End(at(1.2), "stop", 200*time.Millisecond)
	c.End(at(9.9), "error", 0)
	m.Prompt(7, 3)
	got := scrape(t, m)
	for name, want := range map[string]float64{
		Requests + ",stop": 1, Requests + ",error": 0, Requests + ",abort": 0, Requests + ",length": 0,
		GenerationTokens: 5, PromptTokens: 7, CachedTokens: 3,
		TimeToFirstToken + "_count": 1, TimeToFirstToken + "_sum": 0.5,
		InterTokenLatency + "_count": 4, InterTokenLatency + "_sum": 0.6,
		RequestLatency + "_count": 1, RequestLatency + "_sum": 1.2,
		QueueTime + "_count": 1, QueueTime + "_sum": 0.2,
	} {
		if v, ok := got[name]; !ok || math.Abs(v-want) > 1e-9 {
			t.Errorf("%s is %v (%v), want %v", name, v, ok, want)
		}
	}
}

// TestCompletionsAddUp: for any trace, the counts of the histograms follow from those of the counters.
func TestCompletionsAddUp(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		m := NewMetrics("v1")
		var ended, answered, tokens, gaps float64
		for range rapid.IntRange(0, 5).Draw(t, "completions") {
			c, now, mine := m.Begin(t0), 0.0, 0
			for range rapid.IntRange(0, 5).Draw(t, "events") {
				now += rapid.Float64Range(0, 1).Draw(t, "gap")
				n := rapid.IntRange(0, 3).Draw(t, "tokens")
				c.Tokens(at(now), n)
				mine += n
			}
			if mine > 0 {
				gaps += float64(mine - 1)
				answered++
			}
			tokens += float64(mine)
			if reason := rapid.SampledFrom([]string{"", "stop", "length", "abort", "error"}).Draw(t,
				"reason"); reason != "" {
				c.End(at(now), reason, 0)
				if reason == "stop" || reason == "length" {
					ended++
				}
			}
		}
		got := scrape(t, m)
		if got[Requests+",stop"]+got[Requests+",length"] != ended || got[RequestLatency+"_count"] != ended ||
			got[QueueTime+"_count"] != ended ||
			got[GenerationTokens] != tokens || got[InterTokenLatency+"_count"] != gaps ||
			got[TimeToFirstToken+"_count"] != answered {
			t.Fatalf("%v ended, %v answered, %v tokens: %v", ended, answered, tokens, got)
		}
	})
}

func TestLoad(t *testing.T) {
	m := NewMetrics("v1.2.3")
	if got := scrape(t, m); got[Running] != 0 || got[BuildInfo+",v1.2.3"] != 1 {
		t.Errorf("before: %v", got)
	}
	m.SetLoad(func() Load { return Load{Running: 3, Waiting: 4, KVUsage: 0.5, Preempted: 6, Ready: true} })
	m.SetRequestLog(func() RequestLog { return RequestLog{Written: 7, Dropped: 8, Pending: 9, Failures: 10} })
	m.SetKVCache("q8_0", 17<<20, func() int64 { return 5 << 20 })
	m.HTTP("/v1/models", 200)
	m.HTTP("other", 404)
	m.Panic()
	got := scrape(t, m)
	for name, want := range map[string]float64{Running: 3, Waiting: 4, KVCacheUsage: 0.5, Preemptions: 6, Ready: 1,
		Panics: 1, LogWritten: 7, LogDropped: 8, LogPending: 9, LogFailures: 10, KVCacheBytes + ",q8_0": 17 << 20,
		KVCacheResident:                  5 << 20,
		HTTPRequests + ",200,/v1/models": 1, HTTPRequests + ",404,other": 1} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestLogger(t *testing.T) {
	for _, test := range []struct{ level, format, want string }{
		{"debug", "text", "level=DEBUG msg=a\nlevel=INFO msg=b\nlevel=ERROR msg=c took=250ms\n"},
		{"info", "text", "level=INFO msg=b\nlevel=ERROR msg=c took=250ms\n"},
		{"error", "json", `{"level":"ERROR","msg":"c","took_seconds":0.25}` + "\n"},
		{"off", "text", ""},
	} {
		var out bytes.Buffer
		log, err := NewLogger(&out, test.level, test.format)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("a")
		log.Info("b")
		log.Error("c", "took", 250*time.Millisecond)
		got := out.String()
		for line := range strings.Lines(out.String()) { // the time varies
			if i := strings.Index(line, " level="); i >= 0 {
				got = strings.Replace(got, line[:i+1], "", 1)
			}
			if i := strings.Index(line, `"level"`); i >= 0 {
				got = strings.Replace(got, line[1:i], "", 1)
			}
		}
		if got != test.want {
			t.Errorf("%s %s: %q, want %q", test.level, test.format, got, test.want)
		}
	}
	for _, bad := range [][2]string{{"loud", "text"}, {"info", "xml"}, {"", ""}} {
		if log, err := NewLogger(io.Discard, bad[0], bad[1]); err == nil || log != (*slog.Logger)(nil) {
			t.Errorf("%v: %v, %v", bad, log, err)
		}
	}
}
