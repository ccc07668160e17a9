package report

import (
	"strings"
	"testing"
)

// TestTrendMarksVersions checks that there is a mark with the new version's name between two runs of different
// versions.
func TestTrendMarksVersions(t *testing.T) {
	value := 100.0
	line := TrendLine{What: "latency", Unit: "ms", Values: []*float64{&value, &value, nil, &value},
		Bands: make([]*Interval, 4)}
	trend := Trend{TestCase: "TC", Rows: []TrendLine{line},
		Runs: []TrendRun{{Version: "mixtral v1 a1 go1.26 linux/amd64"},
			{Version: "mixtral v1 a1 go1.26 linux/amd64"}, {Version: "mixtral v2 b2 go1.26 linux/amd64"},
			{Version: ""}}}
	charts := TrendCharts(trend)
	if len(charts) != 1 {
		t.Fatalf("%d charts", len(charts))
	}
	svg := string(charts[0].SVG)
	if n := strings.Count(svg, `class="version"`); n != 1 || !strings.Contains(svg, ">v2 b2<") {
		t.Errorf("%d marks in %s", n, svg)
	}
	if strings.Contains(svg, ">1.5<") || !strings.Contains(svg, ">4<") {
		t.Errorf("runs are counted in fractions: %s", svg)
	}
}

// TestTwoECDFs checks that a run without its record gets a line through its percentiles.
func TestTwoECDFs(t *testing.T) {
	p50, p90 := 10.0, 30.0
	r := &Report{Phases: []Phase{{ID: "a", Latency: &Dist{N: 60, Min: 5, P50: &p50, P90: &p90, Max: 40}}}}
	drawn := PhaseSeries{ID: "a", LatencyECDF: []Point{{1, 0}, {2, 0.5}, {3, 1}}, RequestsInECDF: 3}
	for name, tt := range map[string]struct {
		a, b   PhaseSeries
		lines  int
		notice bool
	}{"both records": {drawn, drawn, 2, false}, "one": {PhaseSeries{}, drawn, 2, true},
		"none": {PhaseSeries{}, PhaseSeries{ID: "a"}, 2, true}} {
		c := TwoECDFs(r, r, tt.a, tt.b, 0)
		if n := strings.Count(string(c.SVG), `class="line`); n != tt.lines {
			t.Errorf("%s: %d lines", name, n)
		}
		if strings.Contains(c.Caption, "percentiles only") != tt.notice {
			t.Errorf("%s: %q", name, c.Caption)
		}
	}
	if c := TwoECDFs(r, &Report{}, drawn, PhaseSeries{ID: "b"}, 0); c.SVG != "" {
		t.Errorf("of nothing: %s", c.SVG)
	}
}

// TestTemplates checks that other pages can use parts of the page, in any order.
func TestTemplates(t *testing.T) {
	var b strings.Builder
	r := &Report{TestCase: "TC<b>", Status: Pass, SchemaVersion: 1}
	if err := WriteHTML(&b, r, Series{}); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	b.Reset()
	if err := Templates().ExecuteTemplate(&b, "content", View(r, Series{})); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(whole, b.String()) || !strings.Contains(b.String(), "TC&lt;b&gt;") {
		t.Errorf("the part is not in the page:\n%s", b.String())
	}
}

// TestLoadOfAClosedLoop checks that the plot of a closed-loop phase shows the whole phase and no offered rate.
func TestLoadOfAClosedLoop(t *testing.T) {
	var s PhaseSeries
	for x := range 41 {
		s.Completed = append(s.Completed, Point{X: float64(x), Y: 9})
		s.Issued = append(s.Issued, Point{X: float64(x), Y: 70})
	}
	c := LoadChart(s, &Report{}, 0)
	if svg := string(c.SVG); !strings.Contains(svg, ">40</text>") || !strings.Contains(svg, ">80</text>") {
		t.Errorf("its axes do not reach 40 s and 80 requests/s:\n%s", svg)
	}
	for _, k := range c.Keys {
		if k.Name == "offered" {
			t.Error("it has a key for what is offered")
		}
	}
}
