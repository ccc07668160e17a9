package probe

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// vector is a response of the query API with native histograms of a metric.
func vector(name string, histograms ...string) []byte {
	var results []string
	for _, h := range histograms {
		results = append(results, fmt.Sprintf(`{"metric":{"__name__":%q,"instance":"a"},"histogram":[1,%s]}`, name, h))
	}
	return []byte(`{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(results, ",") + `]}}`)
}

// buckets returns a metric's histogram as it would be recorded.
func buckets(t interface {
	Helper()
	Fatal(...any)
}, body []byte, name string) evidence.Histogram {
	t.Helper()
	all, err := parseVector(body)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]series{}
	for _, s := range all {
		byName[s.name] = append(byName[s.name], s)
	}
	h, ok := table{byName}.histogram(name)
	if !ok {
		t.Fatal("no histogram")
	}
	return h
}

func TestNativeHistogram(t *testing.T) {
	h := buckets(t, vector("x",
		`{"count":"10","sum":"7.5","buckets":[[3,"-2.9e-39","2.9e-39","1"],[0,"0.21","0.25","2"],[0,"0.5","0.55","3"],[0,"0.95","1","4"]]}`), "x")
	if h.Count != 10 || h.Sum != 7.5 || len(h.Buckets) != classicTo-classicFrom+2 {
		t.Fatalf("%+v", h)
	}
	at := map[float64]float64{}
	for _, b := range h.Buckets[:len(h.Buckets)-1] {
		at[b.LE] = b.Count
	}
	want := map[float64]float64{0.25: 3, 0.5: 3, 1: 10, 2: 10}
	got := map[float64]float64{}
	for le := range want {
		got[le] = at[le]
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if last := h.Buckets[len(h.Buckets)-1]; !last.Inf || last.Count != 10 {
		t.Errorf("%+v", last)
	}
	// A power of two lies within a bucket, so only count and sum are known.
	if h := buckets(t, vector("x", `{"count":"2","sum":"1","buckets":[[0,"0.25","4","2"]]}`), "x"); h.Count != 2 ||
		h.Sum != 1 || len(h.Buckets) != 0 {
		t.Errorf("%+v", h)
	}
	if h := buckets(t, vector("x", `{"count":"0","sum":"0"}`), "x"); h.Count != 0 || len(h.Buckets) == 0 {
		t.Errorf("%+v", h)
	}
	for _, bad := range []string{`{"count":"x","sum":"1"}`, `{}`, `7`,
		`{"count":"1","sum":"1","buckets":[[0,"a","b","c"]]}`, `{"count":"1","sum":"1","buckets":[[0,1,2,3]]}`,
		`{"count":"1","sum":"1","buckets":[[0]]}`} {
		if _, err := parseVector(vector("x", bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// TestNativeIsClassic: whatever is observed, the buckets converted from a native histogram count the values up to each
// bound.
func TestNativeIsClassic(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Help: "x",
			NativeHistogramBucketFactor: rapid.SampledFrom([]float64{1.05, 1.1, 1.5, 2}).Draw(t, "factor")})
		values := rapid.SliceOfN(rapid.Float64Range(0, 600), 0, 40).Draw(t, "values")
		for _, v := range values {
			h.Observe(v)
		}
		var m dto.Metric
		if err := h.Write(&m); err != nil {
			t.Fatal(err)
		}
		got := buckets(t, vector("x", jsonOf(m.Histogram)), "x")
		if int(got.Count) != len(values) || len(got.Buckets) != classicTo-classicFrom+2 {
			t.Fatalf("%+v", got)
		}
		for _, b := range got.Buckets {
			n := 0
			for _, v := range values {
				if b.Inf || v <= b.LE {
					n++
				}
			}
			if float64(n) != b.Count {
				t.Fatalf("%v at most %v, counted %v: %v", n, b.LE, b.Count, values)
			}
		}
	})
}

// jsonOf writes a histogram as the documentation of the query API describes.
func jsonOf(h *dto.Histogram) string {
	var out []string
	if h.GetZeroCount() > 0 {
		out = append(out, fmt.Sprintf(`[3,"-%v","%v","%d"]`, h.GetZeroThreshold(), h.GetZeroThreshold(),
			h.GetZeroCount()))
	}
	index, count, i := int32(0), int64(0), 0
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			count += h.GetPositiveDelta()[i]
			upper := math.Exp2(float64(index) / math.Exp2(float64(h.GetSchema())))
			lower := math.Exp2(float64(index-1) / math.Exp2(float64(h.GetSchema())))
			out = append(out, fmt.Sprintf(`[0,"%v","%v","%d"]`, lower, upper, count))
			index, i = index+1, i+1
		}
	}
	return fmt.Sprintf(`{"count":"%d","sum":"%v","buckets":[%s]}`, h.GetSampleCount(), h.GetSampleSum(),
		strings.Join(out, ","))
}
