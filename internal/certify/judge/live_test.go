package judge

import (
	"bytes"
	"cmp"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// asWritten puts events into the order in which a run writes them.
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

// TestLive: a record that is judged again and again while it grows gives no verdict against a healthy server on the
// way, and in the end what the whole record gives, byte for byte but for its digest.
func TestLive(t *testing.T) {
	events := asWritten(healthy(3).run())
	l := NewLive()
	for i := range events {
		e := events[i]
		if e.Request != nil {
			q := *e.Request
			e.Request = &q
		}
		if err := l.Add(&e); err != nil {
			t.Fatal(err)
		}
		if i%(len(events)/24) != 0 || e.Header != nil {
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

// TestLiveSeesTheFault: a check of a phase that is under way fails while it runs, where a server is far beyond its
// limit.
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
