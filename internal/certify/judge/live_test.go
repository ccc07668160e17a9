package judge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// asWritten sorts events into the order in which a run writes them.
func asWritten(events []evidence.Event) []evidence.Event {
	out := slices.Clone(events)
	at := func(e evidence.Event) int64 {
		switch {
		case e.Header != nil:
			return -1
		case e.Request != nil:
			return e.Request.Done
		case e.Phase != nil:
			return e.Phase.End
		}
		return e.At
	}
	slices.SortStableFunc(out, func(a, b evidence.Event) int { return cmp.Compare(at(a), at(b)) })
	return out
}

// copied copies an event, because Live changes it.
func copied(e evidence.Event) *evidence.Event {
	if e.Request != nil {
		q := *e.Request
		e.Request = &q
	}
	return &e
}

// TestLive: a record that is judged repeatedly while it grows never gives a FAIL for a healthy server. At the end the
// report equals that of the whole record, byte for byte except for the digest.
func TestLive(t *testing.T) {
	events := asWritten(healthy(3).run())
	l := NewLive()
	for i := range events {
		if err := l.Add(copied(events[i])); err != nil {
			t.Fatal(err)
		}
		if e := events[i]; i%(len(events)/24) != 0 || e.Header != nil {
			continue
		}
		r, series, err := l.Now()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Checks {
			if c.Gate && c.Verdict == report.Fail {
				t.Errorf("after %d of %d events %s fails: %s", i, len(events), c.ID, c.Reason)
			}
		}
		if len(r.Phases) > 1 && len(series.Phases) == 0 {
			t.Errorf("after %d events there is nothing to draw", i)
		}
	}
	got, _, err := l.Now()
	if err != nil {
		t.Fatal(err)
	}
	want, err := Judge(events)
	if err != nil {
		t.Fatal(err)
	}
	got.Evidence.SHA256 = want.Evidence.SHA256
	got.Quality.Samples, want.Quality.Samples = nil, nil // texts are not kept
	a, err := report.JSON(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := report.JSON(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		diff, _ := report.Differences(a, b)
		t.Errorf("the last one differs: %v", diff)
	}
}

// TestLiveSeesTheFault: a check fails while its phase is still running if the server is far beyond the limit.
func TestLiveSeesTheFault(t *testing.T) {
	s := healthy(4)
	s.failRate = 0.4
	l := NewLive()
	for _, e := range asWritten(s.run()) {
		if e.Phase != nil && e.Phase.ID == "sustained" {
			r, _, err := l.Now()
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Checks {
				if c.ID == "errors" && c.Verdict != report.Fail {
					t.Errorf("with 40 %% of failures, %s is %s: %s", c.ID, c.Verdict, c.Reason)
				}
			}
			if p := r.Phases[len(r.Phases)-1]; p.ID != "sustained" || p.Latency == nil || p.RPS == 0 {
				t.Errorf("the phase under way is %+v", p)
			}
			return
		}
		if err := l.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStand: a record that is being written is judged from its file as Live judges its events. At the end it has the
// verdict of the complete record.
func TestStand(t *testing.T) {
	events := asWritten(healthy(3).run())
	path := filepath.Join(t.TempDir(), "x.events.jsonl.gz")
	w, err := evidence.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLive()
	same := func(ended bool) {
		t.Helper()
		got, err := Stand(t.Context(), path, len(events))
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := l.Now()
		if err != nil {
			t.Fatal(err)
		}
		a, errA := report.JSON(got.Report)
		b, errB := report.JSON(want)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if !bytes.Equal(a, b) || got.At != l.now || got.Ended != ended {
			diff, _ := report.Differences(a, b)
			t.Errorf("at %d of %d, ended %v: %v", got.At, l.now, got.Ended, diff)
		}
	}
	for i := range events {
		if err := w.Add(events[i]); err != nil {
			t.Fatal(err)
		}
		if err := l.Add(copied(events[i])); err != nil {
			t.Fatal(err)
		}
		if i == len(events)/3 || i == len(events)*2/3 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			same(false)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	same(true)
	if _, err := Stand(t.Context(), path, len(events)-1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("of too many events: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Stand(ctx, path, len(events)); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

// TestGistOfScrapes: histogram buckets of scrapes during a phase are not kept, and the caller's event is not changed.
func TestGistOfScrapes(t *testing.T) {
	s := &evidence.Scrape{Label: evidence.ScrapeDuring.Of("x"), Histograms: map[string]evidence.Histogram{
		evidence.HistTTFT: {Count: 3, Sum: 2, Buckets: []evidence.Bucket{{LE: 1, Count: 2}, {Inf: true, Count: 3}}}}}
	if g := gist(s).Histograms[evidence.HistTTFT]; len(g.Buckets) != 0 || g.Count != 3 || g.Sum != 2 {
		t.Errorf("during a phase it is %+v", g)
	}
	if len(s.Histograms[evidence.HistTTFT].Buckets) != 2 {
		t.Error("the event has lost its buckets")
	}
	for _, place := range []evidence.ScrapePlace{evidence.ScrapeBefore, evidence.ScrapeAfter} {
		s.Label = place.Of("x")
		if g := gist(s).Histograms[evidence.HistTTFT]; len(g.Buckets) != 2 {
			t.Errorf("%s a phase it is %+v", place, g)
		}
	}
}
