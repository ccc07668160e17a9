package probe

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// said formats a series, so that two readers can be compared.
func said(name string, labels map[string]string, v float64) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "%q=%q,", k, labels[k])
	}
	return fmt.Sprintf("%s{%s} %v", name, b.String(), v)
}

// TestTheTextReaderReadsWhatPrometheusDoes: it reads the same series as Prometheus' own reader from what a registry
// writes, whatever its labels contain.
func TestTheTextReaderReadsWhatPrometheusDoes(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		reg := prometheus.NewRegistry()
		label := rapid.StringN(0, 20, 40)
		counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vllm:requests_total", Help: "a \\ \n \"b\""},
			[]string{"reason", "model"})
		gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "g", Help: "{}"}, []string{"a"})
		hist := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "h", Buckets: []float64{.1, 1, 10}},
			[]string{"a"})
		summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "s", Objectives: map[float64]float64{.5: .05}})
		reg.MustRegister(counter, gauge, hist, summary)
		for range rapid.IntRange(1, 4).Draw(t, "series") {
			counter.WithLabelValues(label.Draw(t, "reason"), label.Draw(t, "model")).Add(rapid.Float64Range(0,
				1e12).Draw(t, "n"))
			gauge.WithLabelValues(label.Draw(t, "a")).Set(rapid.SampledFrom([]float64{0, -1, math.Inf(1), math.Inf(-1),
				1e-300, 12.5}).Draw(t, "g"))
			hist.WithLabelValues(label.Draw(t, "b")).Observe(rapid.Float64Range(0, 20).Draw(t, "h"))
			summary.Observe(1)
		}
		gathered, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		for _, f := range gathered {
			if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
				t.Fatal(err)
			}
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for name, f := range families {
			for _, m := range f.GetMetric() {
				labels := map[string]string{}
				for _, l := range m.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				switch {
				case m.Counter != nil:
					want = append(want, said(name, labels, m.Counter.GetValue()))
				case m.Gauge != nil:
					want = append(want, said(name, labels, m.Gauge.GetValue()))
				case m.Summary != nil:
					want = append(want, said(name+"_sum", labels, m.Summary.GetSampleSum()),
						said(name+"_count", labels, float64(m.Summary.GetSampleCount())))
				case m.Histogram != nil:
					want = append(want, said(name+"_sum", labels, m.Histogram.GetSampleSum()),
						said(name+"_count", labels, float64(m.Histogram.GetSampleCount())))
					for _, b := range m.Histogram.GetBucket() {
						with := maps.Clone(labels)
						with["le"] = expfmtBound(b.GetUpperBound())
						want = append(want, said(name+"_bucket", with, float64(b.GetCumulativeCount())))
					}
				}
			}
		}
		all, err := parseText(text.Bytes(), nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text.String())
		}
		var got []string
		for _, s := range all {
			got = append(got, said(s.name, s.labels, s.value))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Fatalf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// expfmtBound formats a bound as the text format does.
func expfmtBound(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return fmt.Sprint(v)
}

// TestLinesOfTheTextFormat: lines as other writers send them, and lines that are not samples.
func TestLinesOfTheTextFormat(t *testing.T) {
	for line, want := range map[string]string{
		"a 1":                             "a{} 1",
		"a{} 1":                           "a{} 1",
		"a\t1 1700000000000":              "a{} 1",
		`a{b="c",} 2`:                     `a{"b"="c",} 2`,
		`a { b = "c" , d="e" } 2`:         "",
		`a{ b = "c" , d="e" } 2`:          `a{"b"="c","d"="e",} 2`,
		`a{b="x\\y\"z\n}"} NaN`:           `a{"b"="x\\y\"z\n}",} NaN`,
		`{"a.b",c="d"} 3`:                 `a.b{"c"="d",} 3`,
		`a_bucket{le="1"} 4 # {id="x"} 1`: `a_bucket{"le"="1",} 4`,
		"a 1e400":                         "a{} +Inf",
		"# EOF\na 1":                      "a{} 1",
		"a":                               "",
		"a x":                             "",
		"a{b=c} 1":                        "",
		`a{b="c} 1`:                       "",
		`a{b="c"`:                         "",
		"<html>":                          "",
		"<html> 1":                        "",
		"HTTP/1.1 200 OK":                 "",
	} {
		all, err := parseText([]byte(line+"\n"), nil)
		got := ""
		if err == nil && len(all) == 1 {
			got = said(all[0].name, all[0].labels, all[0].value)
		}
		if got != want || want == "" && err == nil {
			t.Errorf("%s: %s, %v; want %s", line, got, err, want)
		}
	}
}
