package judge

import (
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// changed judges a healthy record after change was applied to each of its events.
func changed(t *testing.T, change func(*evidence.Event)) *report.Report {
	t.Helper()
	events := healthy(3).run()
	for i := range events {
		if h := events[i].Header; h != nil {
			h.Rules = evidence.Rules
		}
		change(&events[i])
	}
	r, err := Judge(events)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWhatWasCutIsSaid: what was too large to be kept is in the notices, and fails no check.
func TestWhatWasCutIsSaid(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*evidence.Event)
		notice  string
		verdict report.Verdict // of the metrics check
		reason  string
	}{
		"nothing": {func(*evidence.Event) {}, "", report.Pass, ""},
		"metrics that cannot be read": {func(e *evidence.Event) {
			if s := e.Scrape; s != nil {
				s.Values, s.Histograms, s.Err, s.Unread = nil, nil, "more than this client reads: 8 MiB", true
			}
		}, "", report.Invalid, "cannot be read: more than this client reads"},
		"too many reasons": {func(e *evidence.Event) {
			if s := e.Scrape; s != nil {
				for k := range s.Values {
					if strings.HasPrefix(k, "requests:") {
						delete(s.Values, k)
					}
				}
				s.Cut = []string{"requests by finish reason: too many"}
			}
		}, "not everything was kept: requests by finish reason", report.Pass, ""},
		"an answer": {func(e *evidence.Event) {
			if q := e.Request; q != nil && q.N == 1 {
				q.Cut = "the text beyond 100 bytes"
			}
		}, "answers not everything was kept: the text beyond 100 bytes", report.Pass, ""},
		"events": {func(e *evidence.Event) {
			if e.End != nil {
				e.End.LeftOut = 2
			}
		}, "2 events were too large", report.Pass, ""},
		"another protocol": {func(e *evidence.Event) {
			if e.Header != nil {
				e.Header.Target.Protocol = "HTTP/2"
			}
		}, "the load speaks HTTP/2", report.Pass, ""},
		"a dialect that nobody has tried": {func(e *evidence.Event) {
			if s := e.Scrape; s != nil {
				s.Dialect = "triton"
				for k := range s.Values {
					s.Values[k] *= 2
				}
			}
		}, "", report.Invalid, "published names"},
		"several tokens a chunk": {func(e *evidence.Event) {
			if q := e.Request; q != nil && q.OK() {
				q.Chunks = max(q.OutputTokens/4, 1)
			}
		}, "tokens a chunk on average: TPOT is the mean", report.Pass, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := changed(t, tt.change)
			notices := strings.Join(r.Notices, "\n")
			if !strings.Contains(notices, tt.notice) || tt.notice == "" && strings.Contains(notices, "kept") {
				t.Errorf("notices %s", notices)
			}
			if c := check(t, r, "metrics"); c.Verdict != tt.verdict || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("metrics: %s: %s", c.Verdict, c.Reason)
			}
		})
	}
}
