package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
)

// swept is the sample with a sweep: the server met its objectives up to 20, the step at 24 was unclear, and it missed
// them from 30 on.
func swept() *Report {
	r := sample()
	f := func(x float64) *float64 { return &x }
	dist := func(mean float64) *Dist {
		return &Dist{N: 100, Mean: mean, MeanLow: mean * 0.9, MeanHigh: mean * 1.2, P99: f(3 * mean)}
	}
	s := Sweep{Phase: "knee", Over: "rate", Unit: "requests/s", From: 5, To: 40, Confidence: 0.95, Within: 0.05,
		Objectives: []string{"ttft:p99<2,000 ms", "goodput>=95 %"}, Knee: f(24), Low: f(20), High: f(30),
		Finding: "24 requests/s, from 20 to 30 at 95 % confidence <i>",
		Marks:   []Mark{{MetricTTFT, "p99", 2000}, {MetricGoodput, "", 0.95}}}
	for i, load := range []float64{5, 40, 20, 30, 24} {
		verdict := map[bool]StepVerdict{true: StepHeld, false: StepMissed}[load < 24]
		if load == 24 {
			verdict = StepUnclear
		}
		s.Steps = append(s.Steps, Step{Phase: "knee-0" + string(rune('1'+i)), Load: load, Seconds: 10,
			Verdict: verdict,
			Likely:  load < 25, Why: "why <b>", Requests: int(10 * load), RPS: math.Min(load, 25),
			OutputTPS:  100 * load,
			OutputBand: &[2]float64{90 * load, 110 * load}, Goodput: math.Min(1, 20/load),
			GoodputBand: &[2]float64{0.4, 1}, TTFT: dist(100 * load), TPOT: dist(load), Latency: dist(200 * load)})
		r.Phases = append(r.Phases, Phase{ID: "knee-0" + string(rune('1'+i)), Kind: "open", Step: "knee", Scheduled: 9,
			TTFT: dist(100 * load), TPOT: dist(load), OutputTPS: 100 * load, OutputMean: 8})
	}
	r.Sweeps = []Sweep{s}
	return r
}

func TestASweepIsShown(t *testing.T) {
	r := swept()
	r.Phases[0].Latency = nil
	var text, page bytes.Buffer
	if err := Text(&text, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sweep knee: 24 requests/s, from 20 to 30",
		"objectives: ttft:p99<2,000 ms, goodput>=95 %",
		"rather held"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	if at := func(s string) int { return strings.Index(text.String(), s) }; at("\n5 ") > at("\n20 ") ||
		at("\n20 ") > at(
			"\n40 ") {
		t.Errorf("loads do not rise:\n%s", text.String())
	}
	if strings.Contains(text.String(), "knee-01") {
		t.Error("steps stand among the phases")
	}
	if err := WriteHTML(&page, r, sampleSeries()); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	for _, want := range []string{"swttft0", "swtpot0", "swlatency0", "swgood0", "swrate0", "p99 &lt; 2,000 ms",
		"at least 95 %", "confidence &lt;i&gt;", `href="#sweep"`, "knee 24", "Time to first token</p>", "2,000 <span"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(html, "why <b>") || strings.Contains(html, `id="phase-knee-01"`) {
		t.Error("a text is not escaped, or a step stands among the phases")
	}
	for _, c := range sweepCharts(r.Sweeps[0], 0) {
		d := xml.NewDecoder(strings.NewReader(string(c.SVG)))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", c.Caption, err)
			}
		}
		if strings.Contains(string(c.SVG), "NaN") {
			t.Errorf("%s: no number", c.Caption)
		}
	}
}

func TestSweepsAreComparedByWhatIsProven(t *testing.T) {
	f := func(x float64) *float64 { return &x }
	for _, tt := range []struct {
		low, high *float64
		how       string
	}{{f(19), f(29), Same}, {f(31), f(40), Better}, {f(10), f(15), Worse}, {nil, f(22), Same}, {nil, f(18), Worse}} {
		a, b := swept(), swept()
		b.Sweeps[0].Low, b.Sweeps[0].High = tt.low, tt.high
		found := false
		for _, c := range Diff(a, b).Changes {
			if c.What == "knee knee" {
				found = true
				if c.How != tt.how || (c.Band == nil) != (tt.low == nil) {
					t.Errorf("%v to %v: %+v", tt.low, tt.high, c)
				}
			} else if strings.HasPrefix(c.What, "knee-0") {
				t.Errorf("steps are compared by their number: %+v", c)
			}
		}
		if !found {
			t.Error("no change of the knee")
		}
	}
}

// TestTheIntervalOfAChange compares the interval with the formula for two means of known variance.
func TestTheIntervalOfAChange(t *testing.T) {
	f := func(x float64) *float64 { return &x }
	c := Change{A: f(10), B: f(14)}
	c.between(&[2]float64{7, 13}, &[2]float64{10, 18})
	if *c.By != 4 || c.Band[0] != -1 || c.Band[1] != 9 {
		t.Errorf("%v %v, want 4 from -1 to 9: the halves are 3 and 4", *c.By, *c.Band)
	}
	c = Change{A: f(10), B: f(14)}
	if c.between(nil, &[2]float64{10, 18}); c.Band != nil || *c.By != 4 {
		t.Error("one figure has no interval")
	}
}

func TestAnEarlierRunIsShown(t *testing.T) {
	before, now := sample(), sample()
	*now.Checks[0].Measured, now.Checks[0].Interval = 800, &[2]float64{780, 830}
	now.Against = CompareWith("earlier <run>", before, now, nil)
	var page, text bytes.Buffer
	series := sampleSeries()
	series.Phases[0].EarlierLatencyECDF = []Point{{2, 0}, {5, 1}}
	if err := WriteHTML(&page, now, series); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"earlier &lt;run&gt;", "&#43;387.5 (356.6 to 425)", "latency, earlier run", `href="#against"`} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if err := Text(&text, now); err != nil || !strings.Contains(text.String(), "against earlier <run> (FAIL, ") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

func TestTrend(t *testing.T) {
	a, b, c := sample(), sample(), swept()
	*b.Checks[0].Measured, b.Checks[0].Interval = 800, &[2]float64{780, 830}
	c.Checks = c.Checks[1:]
	trend := NewTrend([]string{"one", "two", "three"}, []*Report{a, b, c})
	var line TrendLine
	for _, l := range trend.Rows {
		if l.What == "latency-single" {
			line = l
		}
	}
	if len(line.Values) != 3 || *line.Values[1] != 800 || line.Values[2] != nil || line.Last != Worse ||
		*line.Change != 387.5 {
		t.Errorf("%+v", line)
	}
	if s := sparkline(line.Values); s != "▁█·" {
		t.Errorf("sparkline %q", s)
	}
	var text, svg bytes.Buffer
	if err := TrendText(&text, trend); err != nil || !strings.Contains(text.String(),
		"3 runs of TC-L1-COMP-MIXTRAL-003") ||
		!strings.Contains(text.String(), "knee knee") || strings.Contains(text.String(), "\x1b[31m") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if err := TrendSVG(&svg, trend); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(&svg)
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	trend.Only([]string{"knee"})
	if len(trend.Rows) != 1 {
		t.Errorf("%+v", trend.Rows)
	}
}
