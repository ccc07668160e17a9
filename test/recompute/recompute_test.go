// Package recompute_test computes the main figures of a report a second time, from nothing but the record's JSON and
// docs/EVIDENCE.md. It imports no package that knows the record, so that a mistake of the judge is not repeated here.
package recompute_test

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"testing"
)

// object is a JSON object as it was read.
type object map[string]any

func (o object) num(key string) float64 {
	x, _ := o[key].(float64) // below 2⁵³ ns, which is 104 days, exact
	return x
}

func (o object) text(key string) string {
	s, _ := o[key].(string)
	return s
}

func (o object) has(key string) bool { return o[key] != nil }

func (o object) at(key string) object {
	m, _ := o[key].(map[string]any)
	return m
}

func (o object) list(key string) (out []object) {
	l, _ := o[key].([]any)
	for _, x := range l {
		m, _ := x.(map[string]any)
		out = append(out, m)
	}
	return out
}

// record is what a file of events holds, by kind.
type record struct {
	header, end object
	hasEnd      bool
	phases      []object
	requests    map[string][]object // by phase, sorted, without the canceled ones
	broken      map[string][]object // the canceled ones
	against     object
	samples     []object           // without those that failed, each with its time
	gpus        []reading          // of all cards at a moment
	scores      map[string]float64 // by phase and number
}

// readFile reads a record as a run leaves it.
func readFile(t *testing.T, path string) *record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return readRecord(t, gz)
}

func readRecord(t *testing.T, in io.Reader) *record {
	t.Helper()
	r := &record{requests: map[string][]object{}, broken: map[string][]object{}, scores: map[string]float64{}}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e object
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		switch {
		case e.has("header"):
			r.header = e.at("header")
		case e.has("phase"):
			r.phases = append(r.phases, e.at("phase"))
		case e.has("request"):
			into := r.requests
			if e.at("request").text("fail") == "canceled" {
				into = r.broken
			}
			q := e.at("request")
			into[q.text("phase")] = append(into[q.text("phase")], q)
		case e.has("against"):
			r.against = e.at("against")
		case e.has("sample"):
			if s := e.at("sample"); s.text("err") == "" {
				s["at"] = e.num("at")
				r.samples = append(r.samples, s)
			}
		case e.has("gpu"):
			r.gpus = append(r.gpus, reading{e.num("at"), e.at("gpu")})
		case e.has("score"):
			s := e.at("score")
			r.scores[key(s)] = s.num("score")
		case e.has("end"):
			r.end, r.hasEnd = e.at("end"), true
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, list := range r.requests {
		slices.SortFunc(list, func(a, b object) int {
			return cmp.Or(cmp.Compare(a.num("scheduled"), b.num("scheduled")), cmp.Compare(a.num("n"), b.num("n")),
				cmp.Compare(a.num("done"), b.num("done")))
		})
	}
	slices.SortStableFunc(r.gpus, func(a, b reading) int { return cmp.Compare(a.at, b.at) })
	slices.SortStableFunc(r.samples, func(a, b object) int { return cmp.Compare(a.num("at"), b.num("at")) })
	return r
}

// key names a request, or the score of one.
func key(o object) string { return fmt.Sprintf("%s %.0f", o.text("phase"), o.num("n")) }

func answered(q object) bool { return q.text("fail") == "" }

// figures are the samples and rates of one phase.
type figures struct {
	kind                            string
	from, to, window                float64 // ns, ns, s
	requests, judged                []object
	latency, ttft, tpot, gap, delay []float64 // ms
	failed                          int
	completions, tokens             float64
	inFlight, little                float64
}

func (r *record) figures(phase object) *figures {
	f := &figures{kind: phase.text("kind"), from: phase.num("steady_from"), to: phase.num("steady_to"),
		requests: r.requests[phase.text("id")]}
	if f.to <= f.from || f.kind != "closed" && f.kind != "open" {
		f.from, f.to = phase.num("start"), phase.num("end")
	}
	f.window = (f.to - f.from) / 1e9
	least := r.header.at("case").at("targets").num("latency_ms")
	var area, spent, ended float64
	for _, q := range f.requests {
		f.delay = append(f.delay, math.Max(q.num("issued")-q.num("scheduled"), 0)/1e6)
		if !answered(q) {
			f.failed++
		}
		area += math.Max(0, math.Min(q.num("done"), f.to)-math.Max(q.num("issued"), f.from)) / 1e9
		if q.num("done") > f.from && q.num("done") <= f.to {
			ended++
			spent += (q.num("done") - q.num("issued")) / 1e9
			if answered(q) {
				f.completions++
				f.tokens += q.num("output_tokens")
			}
		}
		if q.num("scheduled") >= f.from && q.num("scheduled") <= f.to {
			f.judge(q, least)
		}
	}
	if f.window > 0 {
		f.inFlight = area / f.window
	}
	if f.inFlight > 0 && ended > 0 {
		f.little = math.Abs(f.inFlight-ended/f.window*spent/ended) / f.inFlight
	}
	return f
}

// judge takes the times of a request that counts.
func (f *figures) judge(q object, least float64) {
	f.judged = append(f.judged, q)
	begin, end := q.num("issued"), q.num("done")
	if f.kind == "open" {
		begin = q.num("scheduled")
	}
	if answered(q) && q.has("last") {
		end = q.num("last")
	}
	latency := (end - begin) / 1e6
	if !answered(q) {
		latency = math.Max(latency, least)
	}
	f.latency = append(f.latency, latency)
	if answered(q) && q.num("first") > 0 {
		f.ttft = append(f.ttft, (q.num("first")-begin)/1e6)
	}
	first := q.num("first_any")
	if first == 0 {
		first = q.num("first")
	}
	shown := q.num("output_tokens")
	if q.num("thoughts") == 0 {
		shown -= q.num("reasoning_tokens")
	}
	if answered(q) && shown >= 2 && first > 0 && q.num("last") >= first {
		f.tpot = append(f.tpot, (q.num("last")-first)/1e6/(shown-1))
	}
	gaps, _ := q["gaps_us"].([]any)
	for _, g := range gaps {
		us, _ := g.(float64)
		f.gap = append(f.gap, us/1000)
	}
}

// fewest are the least samples that prove a percentile at 99 % confidence.
var fewest = map[string]struct {
	share float64
	least int
}{"p50": {.5, 7}, "p90": {.9, 44}, "p95": {.95, 90}, "p99": {.99, 459}, "p999": {.999, 4603}}

// sameDist compares a distribution of a report with a sample.
func sameDist(t *testing.T, what string, got object, x []float64) {
	t.Helper()
	if len(x) == 0 {
		if got != nil {
			t.Errorf("%s: the report has one, there is no sample", what)
		}
		return
	}
	sorted := slices.Sorted(slices.Values(x))
	same(t, what+".n", got["n"], float64(len(x)))
	same(t, what+".mean", got["mean"], mean(x))
	same(t, what+".min", got["min"], sorted[0])
	same(t, what+".max", got["max"], sorted[len(x)-1])
	for name, p := range fewest {
		if len(x) < p.least {
			if got[name] != nil {
				t.Errorf("%s.%s is stated from %d samples", what, name, len(x))
			}
			continue
		}
		place := int(math.Ceil(p.share*float64(len(x))-1e-9)) - 1
		same(t, what+"."+name, got[name], sorted[place])
	}
	if low, high := got.num("mean_low"), got.num("mean_high"); low > got.num("mean") || high < got.num("mean") {
		t.Errorf("%s: the interval %g to %g does not hold the mean %g", what, low, high, got.num("mean"))
	}
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// same holds a number of the report to nine digits, to which it is rounded there; what is next to nothing is rounding.
func same(t *testing.T, what string, got any, want float64) {
	t.Helper()
	x, ok := got.(float64)
	if !ok || math.Abs(x-want) > 1e-8*math.Abs(want)+1e-12 {
		t.Errorf("%s: the report has %v, its record gives %.12g", what, got, want)
	}
}
