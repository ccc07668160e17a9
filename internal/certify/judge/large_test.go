package judge

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/cost"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// largeRecord writes the record of a run with a number of requests of 24 chunks at 50 requests/s, and everything else
// that is recorded in that time.
func largeRecord(t testing.TB, requests int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "large"+".events.jsonl.gz")
	w, err := evidence.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	s := healthy(1)
	s.skip = map[string]bool{"single": true, "batch": true, "concurrent": true, "again": true, "quality-load": true}
	length := int64(requests) * sec / 50
	var from int64
	for _, e := range s.run() {
		switch {
		case e.Request != nil && e.Request.Phase == "sustained", e.Sample != nil, e.Clock != nil:
			continue
		case e.Phase != nil && e.Phase.ID == "sustained":
			from = e.Phase.Start
			e.Phase.End, e.Phase.SteadyFrom, e.Phase.SteadyTo = from+length, from+2*sec, from+length
			e.Phase.Issued, e.Phase.Planned = requests, requests
		}
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range requests {
		at := from + int64(i)*sec/50
		q := evidence.Request{Phase: "sustained", N: i, Prompt: "reasoning/simple", Scheduled: at, Issued: at + 20_000,
			First: at + 60_000_000 + int64(i%997)*10_000, Chunks: 25, Status: 200, Finish: "stop", HasUsage: true,
			PromptTokens: 30, OutputTokens: 25, TextBytes: 130, TextHash: fmt.Sprintf("%016x", i*7919)}
		q.Last = q.First
		for g := range 24 {
			gap := int64(2000 + (i*31+g*17)%400)
			q.Gaps, q.Last = append(q.Gaps, int32(gap)), q.Last+gap*1000
		}
		q.Done = q.Last + 100_000
		events := []evidence.Event{{At: q.Done, Request: &q}}
		if i%5 == 0 {
			events = append(events, evidence.Event{At: at, Sample: &evidence.Sample{Source: "pid 42", RSS: 4e9,
				Anon: 3e9 + int64(i%100)*4096, CPUSeconds: float64(at) / 1e9, Threads: 30, FDs: 90, Load: 4}})
		}
		if i%50 == 0 {
			events = append(events, evidence.Event{At: at, Clock: &evidence.Clock{DriftNS: int64(i % 1000)}})
		}
		for _, e := range events {
			if err := w.Add(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Add(evidence.Event{At: from + length, End: &evidence.End{}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// BenchmarkJudgeLarge judges a record of MIXTRAL_JUDGE_REQUESTS requests; 100,000 by default.
func BenchmarkJudgeLarge(b *testing.B) {
	requests := 100_000
	if s := os.Getenv("MIXTRAL_JUDGE_REQUESTS"); s != "" {
		var err error
		if requests, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	path := largeRecord(b, requests)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var m runtime.MemStats
		bytes, took := cost.Of(b, func() {
			if _, err := DeriveFile(b.Context(), path); err != nil {
				b.Fatal(err)
			}
		})
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(bytes)/float64(requests), "bytes/request")
		b.ReportMetric(float64(m.Sys-m.HeapReleased)/1e6, "MB")
		b.ReportMetric(took.Seconds(), "s")
	}
	b.ReportMetric(float64(info.Size())/float64(requests), "filebytes/request")
}

// TestALargeRecordIsJudgedInLittleMemory: the memory for each request decides how large a run can be judged.
func TestALargeRecordIsJudgedInLittleMemory(t *testing.T) {
	const requests = 20_000
	path := largeRecord(t, requests)
	cost.Within(t, requests*4000, 20*time.Second, func() {
		d, err := DeriveFile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if p := d.Report.Phases; len(p) == 0 || d.Record.Count < requests ||
			d.Report.Evidence.SHA256 != d.Record.SHA256 {
			t.Errorf("%d phases, %+v", len(p), d.Record)
		}
	})
}
