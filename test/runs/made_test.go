package runs_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/judge"
	"github.com/hxp-enterprise/mixtral/testcases"
)

const ms = int64(time.Millisecond)

// made is the record of a run that is made up event by event, so that tests have runs of every kind at once.
type made struct {
	t    testing.TB
	w    *evidence.Writer
	path string
	now  int64 // when the newest phase ended
}

// makeUp begins the record of a run of a case, a built-in one or the text of one, that began at a day of the month.
func makeUp(t testing.TB, dir, which string, day int, change func(*evidence.Header)) *made {
	t.Helper()
	if strings.Contains(which, "\n") {
		file := filepath.Join(t.TempDir(), "case.yaml")
		if err := os.WriteFile(file, []byte(which), 0o600); err != nil {
			t.Fatal(err)
		}
		which = file
	}
	l, err := testcases.Load(which)
	if err != nil {
		t.Fatal(err)
	}
	h := &evidence.Header{SchemaVersion: evidence.SchemaVersion, Case: l.Case, Profile: "quick", Seed: 1,
		Start: time.Date(2026, 3, day, 9, 30, 0, 0, time.UTC), Rules: evidence.Rules,
		Target: evidence.Target{Kind: "url", URL: "http://gpu-7.example:8000", Model: "mixtral-8x7b-instruct",
			Resources: "none", Metrics: "none"},
		Environment:  map[string]string{"cpu": "made up", "cores": "8"},
		Fingerprints: map[string]string{"version": "1.4.2"}}
	if change != nil {
		change(h)
	}
	m := &made{t: t, now: int64(time.Second)}
	m.path = filepath.Join(dir, report.BaseName(l.Case.ID, h.Start)+report.EventsExt)
	if m.w, err = evidence.Create(m.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.w.Discard() }) // nothing, where it has been closed
	m.add(evidence.Event{Header: h})
	for g := range max(len(h.Generators), 1) {
		c := &evidence.Client{Streams: 8, RPS: 100, IssueP50: ms / 50, IssueP99: ms / 10, TTFTErrorP50: ms / 20,
			TTFTErrorP99: ms / 5}
		if len(h.Generators) > 0 {
			c.Generator = g + 1
		}
		m.add(evidence.Event{At: 1, Client: c})
	}
	m.add(evidence.Event{At: ms, Condition: &evidence.Condition{ID: evidence.ConditionReady, OK: true,
		Detail: "GET /v1/models answered within 4 ms"}})
	return m
}

func (m *made) add(e evidence.Event) {
	m.t.Helper()
	if err := m.w.Add(e); err != nil {
		m.t.Fatal(err)
	}
}

// phase adds n requests of a phase that took so long each, and the phase; change may alter each of them.
func (m *made) phase(p evidence.Phase, n int, took int64, change func(i int, q *evidence.Request)) {
	m.t.Helper()
	from, each := m.now, int64(time.Second)/10
	if p.OfferedRPS > 0 {
		each = int64(float64(time.Second) / p.OfferedRPS)
	}
	for i := range int64(n) {
		at := from + i*each
		q := &evidence.Request{Phase: p.ID, N: int(i), Prompt: "reasoning/simple", Scheduled: at, Issued: at + ms/20,
			Chunks: 4, Status: 200, Finish: "stop", HasUsage: true, PromptTokens: 12, OutputTokens: 4, TextBytes: 20,
			TextHash: "0123456789abcdef", Gaps: []int32{int32(took / 5000), int32(took / 5000), int32(took / 5000)}}
		wave := took * (95 + i*7%11) / 100
		q.First, q.Last, q.Done = at+wave*2/5, at+wave, at+wave+ms/10
		if change != nil {
			change(int(i), q)
		}
		m.add(evidence.Event{At: q.Done, Request: q})
	}
	p.Start, p.SteadyFrom, p.SteadyTo, p.End = from, from, from+int64(n)*each, from+int64(n)*each+took*2
	p.Planned, p.Issued, p.MaxInFlight = n, n, 2
	m.add(evidence.Event{At: p.End, Phase: &p})
	m.now = p.End + int64(time.Second)
}

// sampled adds what the server used, twice a second.
func (m *made) sampled() {
	for i := range m.now / (500 * ms) {
		m.add(evidence.Event{At: i * 500 * ms, Sample: &evidence.Sample{Source: "pid 4711", RSS: (40 << 30) + i%7<<24,
			CPUSeconds: float64(i) * (2 + float64(i%3)/4), Load: int(i % 3), Threads: 9, FDs: 20}})
	}
}

// end closes the record, and writes its report as certify does.
func (m *made) end(e evidence.End) *report.Report {
	m.t.Helper()
	m.add(evidence.Event{At: m.now, End: &e})
	if err := m.w.Close(); err != nil {
		m.t.Fatal(err)
	}
	d, err := judge.DeriveFile(m.t.Context(), m.path)
	if err == nil {
		_, err = report.Save(filepath.Dir(m.path), d.Report, d.Series)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return d.Report
}

// searching is a case that searches a knee; none of its figures are those of tiny.
const searching = `schema_version: 1
id: TC-KNEE
name: How much the server can do
targets: {latency_ms: 2000, throughput_rps: 20}
profiles:
  quick:
    - {id: search, kind: sweep, duration_s: 10, sweep: {over: rate, from: 4, to: 32, objectives: "ttft:p90<500ms"}}
checks:
  - {id: search, clause: it holds 10 requests/s, rule: knee, phase: search, limit: 10}
`

// searched adds the steps of a sweep over rates to a record: a server that holds 20 requests/s.
func (m *made) searched(rates ...float64) {
	for i, rate := range rates {
		took := 200 * ms
		if rate > 20 {
			took = 3000 * ms
		}
		m.phase(evidence.Phase{ID: "search-0" + string(rune('1'+i)), Kind: testcases.KindOpen, OfferedRPS: rate,
			Step: &evidence.Step{Of: "search", Load: rate, Times: 1}}, int(10*rate), took, nil)
	}
}

// generated has the requests of a record's phase come from two machines.
func (m *made) generated(id string, n int) {
	m.phase(evidence.Phase{ID: id, Kind: testcases.KindClosed}, n, 120*ms, func(i int, q *evidence.Request) {
		q.Generator = i%2 + 1
	})
	for g := 1; g <= 2; g++ {
		m.add(evidence.Event{At: m.now, Part: &evidence.Part{Phase: id, Generator: g, Planned: n / 2, Issued: n / 2,
			MaxInFlight: 1}})
	}
}

// generators is the header of a run whose load comes from two machines.
func generators(h *evidence.Header) {
	h.Run = "0b5c"
	for _, name := range []string{"load-1.example:7070", "load-2.example:7070"} {
		h.Generators = append(h.Generators, evidence.Generator{Name: name, Environment: maps.Clone(h.Environment)})
	}
}

// compared adds comparisons of the generators' clocks with the run's.
func (m *made) compared() {
	for g := 1; g <= 2; g++ {
		for at := int64(0); at < m.now; at += int64(time.Second) / 2 {
			m.add(evidence.Event{At: at, Comparison: &evidence.Comparison{Generator: g, There: at + int64(g)*1e12,
				Offset: -int64(g) * 1e12, Error: 1e5, RoundTrip: 2e5, Exchanges: 4}})
		}
	}
}
