package judge

import (
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// TestTheRateOfConversations: if each arrival is a conversation, the planned rate counts conversations. The server
// must keep up with their requests, and the report says which of the two it counts.
func TestTheRateOfConversations(t *testing.T) {
	for rules, want := range map[int]report.Verdict{2: report.Invalid, 3: report.Pass} {
		s := healthy(1)
		events := s.run()
		h := *events[0].Header
		h.Rules = rules
		for i, ph := range h.Case.Profiles["full"] {
			if ph.ID == "sustained" { // twice as many requests arrive in its window
				ph.RPSFactor, ph.RPS = 0, h.Case.Rate(ph)/2
				ph.Traffic = &testcases.Traffic{Input: &testcases.Distribution{Shape: testcases.ShapeFixed, Mean: 8},
					Turns: &testcases.Distribution{Shape: testcases.ShapeFixed, Mean: 2}}
				h.Case.Profiles["full"][i] = ph
			}
		}
		h.Case.Targets.ThroughputRPS = 22.5 // so close to the 23 offered that only keeping up proves it
		events[0].Header = &h
		r, _, err := Derive(events)
		if err != nil {
			t.Fatal(err)
		}
		c := check(t, r, "throughput")
		if c.Verdict != want {
			t.Errorf("rules %d: %s: %s", rules, c.Verdict, c.Reason)
		}
		for _, p := range r.Phases {
			if p.Conversations != (rules == 3 && p.ID == "sustained") {
				t.Errorf("rules %d: phase %s: conversations %t", rules, p.ID, p.Conversations)
			}
		}
		if rules == 3 && !strings.Contains(c.Reason, "arrived in conversations (offered 23") {
			t.Errorf("reason %q", c.Reason)
		}
	}
}
