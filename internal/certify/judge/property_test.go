package judge

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"bytes"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

var update = flag.Bool("update", false, "rewrite the golden reports")

// phaseWith makes a measured closed phase with the given latencies in ms. Negative ones are failed requests.
func phaseWith(c *testcases.Case, ms []float64) *phase {
	p := &phase{plan: testcases.Phase{ID: "p", Kind: testcases.KindClosed, Concurrency: 1}, planned: true}
	t := int64(0)
	for i, x := range ms {
		q := &evidence.Request{Phase: "p", N: i, Scheduled: t, Issued: t}
		if x < 0 {
			q.Fail, x = evidence.FailStatus, -x
		}
		q.Done = t + int64(x*1e6)
		q.First, q.Last = q.Done, q.Done
		t = q.Done
		p.requests = append(p.requests, new(store).add(q))
	}
	p.ran = &evidence.Phase{ID: "p", Kind: testcases.KindClosed, SteadyTo: t, End: t, Issued: len(ms)}
	p.measure(c)
	return p
}

func runWith(p *phase) (*run, *testcases.Case) {
	c := simCase()
	return &run{c: c, header: &evidence.Header{Case: c}, phases: []*phase{p}}, c
}

var order = map[report.Verdict]int{report.Fail: 0, report.Invalid: 1, report.Pass: 2}

// Making every latency longer never turns FAIL into PASS, for means and percentiles, with failed requests too.
func TestSlowerIsNeverBetter(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 120).Draw(t, "n")
		fast, slow := make([]float64, n), make([]float64, n)
		for i := range fast {
			fast[i] = rapid.Float64Range(1, 900).Draw(t, "ms")
			slow[i] = fast[i] + rapid.Float64Range(0, 500).Draw(t, "more")
			if rapid.IntRange(0, 20).Draw(t, "fails") == 0 {
				fast[i], slow[i] = -fast[i], -slow[i]
			}
		}
		c := simCase()
		rf, _ := runWith(phaseWith(c, fast))
		rs, _ := runWith(phaseWith(c, slow))
		for _, ch := range []*testcases.Check{{Rule: "mean_latency"}, {Rule: "percentile_latency", P: 0.5},
			{Rule: "percentile_latency", P: 0.9}} {
			a, b := rules[ch.Rule].judge(rf, ch), rules[ch.Rule].judge(rs, ch)
			if a.verdict == report.Fail && b.verdict == report.Pass {
				t.Fatalf("%s p%v: FAIL became PASS: %s; %s", ch.Rule, ch.P, a.reason, b.reason)
			}
			if ch.P > 0 && order[b.verdict] > order[a.verdict] {
				t.Fatalf("p%v: %s became %s", ch.P, a.verdict, b.verdict)
			}
		}
	})
}

// A failure never improves a verdict: turning an answer into a fast failure keeps FAIL from becoming PASS.
func TestFailingIsNeverBetter(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(8, 100).Draw(t, "n")
		x := make([]float64, n)
		for i := range x {
			x[i] = rapid.Float64Range(1, 900).Draw(t, "ms")
		}
		y := append([]float64{}, x...)
		y[rapid.IntRange(0, n-1).Draw(t, "which")] = -1
		c := simCase()
		rx, _ := runWith(phaseWith(c, x))
		ry, _ := runWith(phaseWith(c, y))
		for _, ch := range []*testcases.Check{{Rule: "mean_latency"}, {Rule: "percentile_latency", P: 0.9},
			{Rule: "error_budget"}} {
			a, b := rules[ch.Rule].judge(rx, ch), rules[ch.Rule].judge(ry, ch)
			if a.verdict == report.Fail && b.verdict == report.Pass {
				t.Fatalf("%s: a failure turned FAIL into PASS: %s; %s", ch.Rule, a.reason, b.reason)
			}
		}
	})
}

// If all service times are longer, no FAIL of the run becomes PASS.
func TestStretchedRun(t *testing.T) {
	for _, factor := range []float64{1.5, 4, 12} {
		fast, slow := healthy(21), healthy(21)
		fast.service = func(r *rand.Rand, _ float64) float64 { return 0.2 + 0.1*r.ExpFloat64() }
		slow.service = func(r *rand.Rand, t float64) float64 { return factor * fast.service(r, t) }
		a, b := judged(t, fast), judged(t, slow)
		for i := range a.Checks {
			if a.Checks[i].Verdict == report.Fail && b.Checks[i].Verdict == report.Pass {
				t.Errorf("%v times slower: %s: FAIL became PASS", factor, a.Checks[i].ID)
			}
		}
	}
}

// A record without any one of its events gives a report or an error, and never a panic. Without its end it is never
// PASS.
func TestMissingEvents(t *testing.T) {
	events := healthy(6).run()
	rng := rand.New(rand.NewPCG(4, 4))
	for range 10 {
		i := rng.IntN(len(events))
		rest := append(append([]evidence.Event{}, events[:i]...), events[i+1:]...)
		r, err := Judge(rest)
		if err != nil && events[i].Header == nil {
			t.Errorf("without event %d: %v", i, err)
		}
		if err == nil && events[i].End != nil && r.Status == report.Pass {
			t.Error("PASS without an end")
		}
	}
}

// FuzzJudge judges lines of events. No input may cause a panic, and every report can be written, read and drawn.
func FuzzJudge(f *testing.F) {
	var b bytes.Buffer
	s := healthy(1)
	s.edit = func(c *testcases.Case) { c.Profiles["full"] = c.Profiles["full"][1:2] }
	for _, e := range s.run()[:40] {
		line, err := evidence.Encode(&e)
		if err != nil {
			f.Fatal(err)
		}
		b.Write(line)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"at":0,"header":{"schema_version":1,"start":"2026-03-04T05:06:07Z","case":{"id":"X","profiles":{"p":[{"id":"a","kind":"open","requests":1}]},"checks":[{"id":"t","rule":"throughput","phase":"a"},{"id":"m","rule":"metrics_reported"}]},"profile":"p"}}
{"at":9223372036854775807,"phase":{"id":"a","kind":"open","start":-9223372036854775808,"end":9223372036854775807,"steady_to":9223372036854775807}}
{"at":1,"request":{"phase":"a","scheduled":-5,"done":9223372036854775807,"gaps_us":[-1,9223372036854775807]}}
{"at":2,"scrape":{"label":"before a","values":{"requests":1e308}}}
{"at":3,"scrape":{"label":"after a","values":{"requests":-1e308},"histograms":{"e2e_seconds":{"count":-1,"sum":1e308,"buckets":[{"le":1,"count":5}]}}}}
{"at":4,"sample":{"rss":-1,"anon":9223372036854775807,"cpu_s":1e308}}
{"at":5,"end":{}}
`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var events []evidence.Event
		for _, line := range bytes.Split(data, []byte("\n")) {
			var e evidence.Event
			if json.Unmarshal(line, &e) == nil && (e != evidence.Event{}) {
				events = append(events, e)
			}
		}
		r, series, err := Derive(events)
		if err != nil {
			return
		}
		data, err = report.JSON(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Validate(data); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		var page bytes.Buffer
		if err := report.WriteHTML(&page, r, series); err != nil {
			t.Fatal(err)
		}
	})
}

// The golden reports contain every figure of two runs, so that no rule changes unnoticed.
func TestGoldenReports(t *testing.T) {
	for name, s := range map[string]*sim{"healthy": healthy(2), "troubled": troubled()} {
		r := judged(t, s)
		data, err := report.JSON(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Validate(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		path := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(data)); diff != "" {
			t.Errorf("%s changed (-update rewrites it):\n%s", path, diff)
		}
	}
}

// The validation of cases and the judge know the same rules.

func TestEveryRuleIsJudged(t *testing.T) {
	for _, info := range testcases.Rules() {
		if rules[info.Rule].judge == nil {
			t.Errorf("no function judges %s", info.Rule)
		}
	}
	for rule := range rules {
		if _, ok := rule.Info(); !ok {
			t.Errorf("%s is not in the table of rules", rule)
		}
	}
}
