package judge

import (
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// shared turns the record of a run with one generator into that of a run with three. Request n comes from generator n
// mod 3 + 1. Their clocks are compared every half second, to within a tenth of a millisecond. change may change an
// event, or drop it.
func shared(events []evidence.Event, change func(*evidence.Event) bool) []evidence.Event {
	var out []evidence.Event
	issued := map[string][4]int{}
	for _, e := range events {
		if q := e.Request; q != nil {
			n := issued[q.Phase]
			n[q.N%3+1]++
			issued[q.Phase] = n
		}
	}
	add := func(e evidence.Event) {
		if change == nil || change(&e) {
			out = append(out, e)
		}
	}
	last := int64(0)
	for _, e := range events {
		switch last = max(last, e.At); {
		case e.Header != nil:
			h := *e.Header
			h.Run = "r"
			for _, name := range []string{"a:1", "b:1", "c:1"} {
				h.Generators = append(h.Generators, evidence.Generator{Name: name})
			}
			e.Header = &h
		case e.Request != nil:
			q := *e.Request
			q.Generator = q.N%3 + 1
			e.Request = &q
		case e.Client != nil:
			for g := 1; g <= 3; g++ {
				c := *e.Client
				c.Generator = g
				add(evidence.Event{At: e.At, Client: &c})
			}
		case e.Phase != nil && e.Phase.Kind != testcases.KindIdle && e.Phase.Kind != testcases.KindAudit:
			for g := 1; g <= 3; g++ {
				add(evidence.Event{At: e.At, Part: &evidence.Part{Phase: e.Phase.ID, Generator: g,
					Issued: issued[e.Phase.ID][g]}})
			}
		}
		add(e)
	}
	for g := 1; g <= 3; g++ {
		for t := int64(0); t <= last; t += 5e8 {
			add(evidence.Event{At: t, Comparison: &evidence.Comparison{Generator: g, There: t + int64(g)*1e12,
				Offset: -int64(g) * 1e12, Error: 1e5, RoundTrip: 2e5, Exchanges: 4}})
		}
	}
	return out
}

func judgeShared(t *testing.T, change func(*evidence.Event) bool) *report.Report {
	t.Helper()
	rep, err := Judge(shared(healthy(1).run(), change))
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestThreeGeneratorsAreJudgedAsOne: the figures and the verdict equal those of the same requests from one generator.
func TestThreeGeneratorsAreJudgedAsOne(t *testing.T) {
	one, three := judged(t, healthy(1)), judgeShared(t, nil)
	if three.Status != report.Pass || len(three.Generators) != 3 {
		t.Fatalf("%s, %d generators", three.Status, len(three.Generators))
	}
	for i, c := range three.Checks {
		if o := one.Checks[i]; c.Verdict != o.Verdict || c.ID != "generator" &&
			(c.Measured == nil) != (o.Measured == nil) ||
			c.ID != "generator" && c.Measured != nil && *c.Measured != *o.Measured {
			t.Errorf("%s: %+v, of one generator %+v", c.ID, c, o)
		}
	}
	sum := 0
	for _, g := range three.Generators {
		sum += g.Requests
		if g.ClockError < 0.1 || g.ClockError > 0.7 || g.Drift == nil || *g.Drift != 0 {
			t.Errorf("%+v", g)
		}
	}
	all := 0
	for _, p := range three.Phases {
		if p.Kind != testcases.KindAudit {
			all += p.Issued
		}
	}
	if sum != all || sum == 0 {
		t.Errorf("%d requests of generators, %d of phases", sum, all)
	}
	if !strings.Contains(strings.Join(three.Notices, " "), "The load came from 3 generators.") {
		t.Errorf("%q", three.Notices)
	}
}

// TestGeneratorsThatCannotBeTrusted: a fault of one generator makes the checks that depend on its load INVALID. The
// reason names the generator, and no check fails.
func TestGeneratorsThatCannotBeTrusted(t *testing.T) {
	open := ""
	for _, e := range healthy(1).run() {
		if e.Phase != nil && e.Phase.Kind == testcases.KindOpen {
			open = e.Phase.ID
		}
	}
	for name, tt := range map[string]struct {
		change func(e *evidence.Event) bool
		says   string
	}{
		"lost": {func(e *evidence.Event) bool {
			if p := e.Part; p != nil && p.Generator == 2 && p.Phase == open {
				p.Lost, p.Issued = "reset", 0
			}
			return e.Request == nil || e.Request.Phase != open || e.Request.Generator != 2 || e.Request.N < 100
		}, "generator 2 (b:1) was lost in phase " + open + ": reset"},
		"silent": {func(e *evidence.Event) bool {
			return e.Part == nil || e.Part.Generator != 3 || e.Part.Phase != open
		}, "of phase " + open + " nothing is known from generator 3 (c:1)"},
		"requests that are missing": {func(e *evidence.Event) bool {
			return e.Request == nil || e.Request.Phase != open || e.Request.N != 1
		}, "generator 2 (b:1) sent "},
		"requests that were not sent to the coordinator": {func(e *evidence.Event) bool {
			if p := e.Part; p != nil && p.Generator == 2 && p.Phase == open {
				p.Unsent = 1
			}
			return e.Request == nil || e.Request.Phase != open || e.Request.N != 1
		}, "only the own record of generator 2 (b:1) has 1 request"},
		"late by itself": {func(e *evidence.Event) bool {
			if q := e.Request; q != nil && q.Phase == open && q.Generator == 3 {
				q.Scheduled -= 60e6
			}
			return true
		}, "issued its requests "},
		"a clock that is known badly": {func(e *evidence.Event) bool {
			if c := e.Comparison; c != nil && c.Generator == 1 {
				c.Error = 60e6
			}
			return true
		}, "the clock of generator 1 (a:1) is known to within 60"},
		"a clock that was set": {func(e *evidence.Event) bool {
			if c := e.Comparison; c != nil && c.Generator == 1 && e.At > 20e9 {
				c.Offset += 100e6
			}
			return true
		}, "of the clock of generator 1 (a:1) contradict those before them, by 99"},
		"a clock that was not compared": {func(e *evidence.Event) bool {
			return e.Comparison == nil || e.Comparison.Generator != 2
		}, "the clock of generator 2 (b:1) was not compared"},
		"its own error is not known": {func(e *evidence.Event) bool {
			return e.Client == nil || e.Client.Generator != 1
		}, "the own error of generator 1 (a:1) was not measured"},
		"its own error": {func(e *evidence.Event) bool {
			if c := e.Client; c != nil && c.Generator == 1 {
				c.GapErrorP99 = 70e6
			}
			return true
		}, "against a null server generator 1 (a:1) was off at p99"},
		"its wall clock": {func(e *evidence.Event) bool {
			if c := e.Comparison; c != nil && c.Generator == 1 && c.There == 1e12 {
				*e = evidence.Event{Clock: &evidence.Clock{DriftNS: 9e8, Generator: 1}}
			}
			return true
		}, "the clock of generator 1 (a:1) stepped by 900 ms"},
		"a condition of its own": {func(e *evidence.Event) bool {
			if c := e.Comparison; c != nil && c.Generator == 1 && c.There == 1e12 {
				*e = evidence.Event{Condition: &evidence.Condition{ID: evidence.ConditionLimits, Generator: 2,
					Detail: "few"}}
			}
			return true
		}, "limits of generator 2: few"},
		"its way to the server": {func(e *evidence.Event) bool {
			if q := e.Request; q != nil && q.Phase == open && q.Generator == 2 {
				q.Fail, q.Last, q.First = evidence.FailConnect, 0, 0
			}
			return true
		}, "its way to the server is broken, not the server"},
	} {
		rep := judgeShared(t, tt.change)
		if rep.Status != report.Invalid {
			t.Errorf("%s: the status is %s", name, rep.Status)
		}
		said := ""
		for _, c := range rep.Checks {
			if c.Verdict == report.Fail {
				t.Errorf("%s: %s fails: %s", name, c.ID, c.Reason)
			}
			said += c.Reason + "\n"
		}
		if !strings.Contains(said, tt.says) {
			t.Errorf("%s: nobody says %q:\n%s", name, tt.says, said)
		}
	}
}
