package slo_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
)

func TestParse(t *testing.T) {
	got, err := slo.Parse("ttft:p99<2s, TPOT:p99.9<=200ms,latency:mean<1.5s,itl:p50<30ms")
	want := []slo.Objective{
		{Metric: slo.TTFT, Percentile: 0.99, Limit: 2}, {Metric: slo.TPOT, Percentile: 0.999, Limit: 0.2},
		{Metric: slo.Latency, Limit: 1.5}, {Metric: slo.ITL, Percentile: 0.5, Limit: 0.03},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("got %v, %v", got, err)
	}
	for _, o := range got {
		if again, err := slo.Parse(o.String()); err != nil || len(again) != 1 || again[0] != o {
			t.Errorf("%v is read again as %v, %v", o, again, err)
		}
	}
}

func TestWhatIsNoObjective(t *testing.T) {
	for _, s := range []string{"", "ttft", "ttft<2s", "ttft:p99", "ttft:p99>2s", "ttft:p0<2s", "ttft:p100<2s",
		"ttft:99<2s", "ttft:p99<2", "ttft:p99<-2s", "ttft:p99<0s", "speed:p99<2s", "ttft:pNaN<2s", "ttft:p99<2s,",
		"ttft:median<1s"} {
		_, err := slo.Parse(s)
		if !errors.Is(err, slo.ErrSyntax) || !strings.Contains(err.Error(), "such as") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestOf(t *testing.T) {
	values := []float64{1, 2, 3, 4, 10}
	for _, tt := range []struct {
		objective string
		want      float64
	}{{"ttft:mean<1s", 4}, {"ttft:p50<1s", 3}, {"ttft:p99<1s", 10}} {
		o, err := slo.Parse(tt.objective)
		if err != nil {
			t.Fatal(err)
		}
		if got := o[0].Of(values); got != tt.want {
			t.Errorf("%s of %v is %v, want %v", tt.objective, values, got, tt.want)
		}
		if !math.IsNaN(o[0].Of(nil)) {
			t.Error("of nothing there is a statistic")
		}
	}
}
