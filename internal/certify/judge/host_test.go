package judge

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/certify/report"
	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
)

// second says who used the machine during one second.
type second struct {
	own, others, steal float64             // cores
	wait               float64             // mean wait of a thread for a core, in seconds
	held               float64             // seconds for which computing threads waited
	server             evidence.HostServer // "": counted
	untold             bool                // the kernel does not report how long threads wait
	pressure           float64             // share of the second
}

const simCores = 4

// watched adds one reading of the machine per second to a record.
func watched(events []evidence.Event, at func(t float64) second) []evidence.Event {
	end := int64(0)
	for _, e := range events {
		end = max(end, e.At)
	}
	h := evidence.Host{Cores: simCores}
	out := append([]evidence.Event{}, events...)
	for t := int64(0); t <= end+sec; t += sec {
		s := at(seconds(t))
		h.Own += s.own
		h.Busy += s.own + s.others
		h.Steal += s.steal
		h.Idle += max(simCores-s.own-s.others-s.steal, 0)
		h.Pressure += s.pressure
		if !s.untold {
			h.Turns += 1000
			h.Waited += s.wait * 1000
			h.Held += s.held
		}
		if h.Server = s.server; h.Server == "" {
			h.Server = evidence.HostServerCounted
		}
		reading := h
		out = append(out, evidence.Event{At: t, Host: &reading})
	}
	return out
}

// window is the steady window of a phase, in seconds.
func window(events []evidence.Event, id string) (from, to float64) {
	for _, e := range events {
		if e.Phase != nil && e.Phase.ID == id {
			return seconds(e.Phase.SteadyFrom), seconds(e.Phase.SteadyTo)
		}
	}
	return 0, 0
}

var (
	quiet = second{own: 1, wait: 0.0001}
	busy  = second{own: 1, others: 3, wait: 0.004}
)

func understate(s *sim) {
	s.lie = func(x *evidence.Scrape) {
		h := x.Histograms[evidence.HistE2E]
		h.Sum *= 0.2
		x.Histograms[evidence.HistE2E] = h
	}
}

// gauges makes the server's gauges show extra requests too many under load.
func gauges(too float64) func(*sim) {
	return func(s *sim) { s.gauges, s.extra = true, too }
}

func drifting(r *rand.Rand, t float64) float64 { return (0.05 + 0.01*r.ExpFloat64()) * (1 + t/60) }

// Other programs on the machine turn FAIL into INVALID. They change no other verdict, and only in the phases that they
// disturb.
func TestOthersOnTheMachine(t *testing.T) {
	always := func(s second) func(x, from, to float64) second {
		return func(float64, float64, float64) second { return s }
	}
	third := func(k float64, s second) func(x, from, to float64) second {
		return func(x, from, to float64) second {
			if w := (to - from) / 3; x > from+w*k && x <= from+w*(k+1)+1 {
				return s
			}
			return quiet
		}
	}
	slow := func(s *sim) {
		s.service = func(r *rand.Rand, _ float64) float64 { return 0.7 * (0.5 + r.ExpFloat64()/2) }
	}
	drift := func(s *sim) { s.service = drifting }
	tests := []struct {
		name, check string
		verdict     report.Verdict
		reason      string
		change      func(*sim)
		host        func(x, from, to float64) second
	}{
		{"drift on a quiet machine", "within", report.Fail, "the last third", drift, always(quiet)},
		{"drift while others worked", "within", report.Invalid, "other work took the machine", drift, always(busy)},
		{"drift while others worked at the end", "within", report.Invalid, "in the later stretch", drift,
			third(2, busy)},
		{"drift while others worked between", "within", report.Fail, "the last third", drift, third(1, busy)},
		{"drift after others had worked", "within", report.Invalid, "in the earlier stretch", drift, third(0, busy)},
		{"no drift after others had worked", "within", report.Invalid, "in the earlier stretch", func(*sim) {},
			third(0, busy)},
		{"no drift while others worked", "within", report.Pass, "", func(*sim) {}, always(busy)},
		{"others that leave cores free", "within", report.Fail, "", drift,
			always(second{own: 1, others: 2, wait: 0.004})},
		{"others that have to wait themselves", "within", report.Fail, "", drift,
			always(second{own: 1, others: 3, wait: 0.0003})},
		{"others before the threads that compute", "within", report.Invalid, "those that compute", drift,
			always(second{own: 1, others: 3, wait: 0.0003, held: 0.4})},
		{"others before them for a little", "within", report.Fail, "", drift,
			always(second{own: 1, others: 3, wait: 0.0003, held: 0.1})},
		{"short waits that add up to the shift", "within", report.Invalid, "an answer waited", laterBy(8),
			third(2, second{own: 1, others: 3, wait: 0.0006})},
		{"the same shift on a quiet machine", "within", report.Fail, "the last third", laterBy(8), always(quiet)},
		{"the same waits all along", "within", report.Fail, "the last third", laterBy(8),
			always(second{own: 1, others: 3, wait: 0.0006})},
		{"short waits, and cores free", "within", report.Fail, "the last third", laterBy(8),
			third(2, second{own: 1, others: 2, wait: 0.0006})},
		{"short waits, and more of a shift than they make", "within", report.Fail, "the last third", laterBy(30),
			third(2, second{own: 1, others: 3, wait: 0.0006})},
		{"a little of others", "within", report.Fail, "", drift, always(second{own: 3.3, others: 0.7, wait: 0.004})},
		{"the server's own work", "within", report.Fail, "", drift, always(second{own: 4, wait: 0.02})},
		{"steal", "within", report.Invalid, "other machines on the same hardware", drift,
			always(second{own: 1, steal: 0.5, wait: 0.0001})},
		{"a little steal", "within", report.Fail, "", drift, always(second{own: 1, steal: 0.3, wait: 0.0001})},
		{"others, by their pressure", "within", report.Invalid, "other work", drift,
			always(second{own: 1, others: 3, untold: true, pressure: 0.5})},
		{"others without pressure", "within", report.Fail, "", drift,
			always(second{own: 1, others: 3, untold: true, pressure: 0.1})},
		{"others, and nobody tells of waits", "within", report.Invalid, "other work", drift,
			always(second{own: 1, others: 3, untold: true})},
		{"a server whose processes are not known", "within", report.Fail, "", drift,
			always(second{others: 4, wait: 0.004, server: evidence.HostServerUnknown})},
		{"others beside the client of a remote server", "within", report.Invalid, "other work", drift,
			always(second{own: 0.2, others: 3.8, wait: 0.004, server: evidence.HostServerRemote})},
		{"slow while others worked", "mean", report.Invalid, "what was measured would be FAIL", slow, always(busy)},
		{"slow", "mean", report.Fail, "", slow, always(quiet)},
		{"fast enough all the same", "mean", report.Pass, "", func(*sim) {}, always(busy)},
		{"overload while others worked", "throughput", report.Invalid, "phase sustained: other work", func(s *sim) {
			s.servers, s.service = 1, func(*rand.Rand, float64) float64 { return 0.06 }
		}, always(busy)},
		{"stalls in seconds of others", "stalls", report.Invalid, "without what others took",
			func(s *sim) { s.stall = 1400 * time.Millisecond }, always(busy)},
		{"stalls in seconds of which a tenth was stolen", "stalls", report.Fail, "silences",
			func(s *sim) { s.stall = 1400 * time.Millisecond }, always(second{own: 1, steal: 0.4, wait: 0.0001})},
		{"one stall outside them", "stalls", report.Fail, "silences",
			func(s *sim) { s.stall = 1400 * time.Millisecond }, third(0, busy)},
		{"slower after", "after", report.Invalid, "in the later stretch", func(s *sim) {
			s.touch = func(q *evidence.Request) {
				if q.Phase == "again" {
					q.Done += 30e6
					q.Last = q.Done
				}
			}
		}, always(busy)},
		{"timeouts while others worked", "errors", report.Invalid, "other work",
			func(s *sim) { s.failRate, s.failAs = 0.02, evidence.FailTimeout }, always(busy)},
		{"timeouts on a quiet machine", "errors", report.Fail, "",
			func(s *sim) { s.failRate, s.failAs = 0.02, evidence.FailTimeout }, always(quiet)},
		{"errors of the server while others worked", "errors", report.Fail, "", refused(500), always(busy)},
		{"refusals of a server that others slowed", "errors", report.Invalid, "other work", refused(429),
			always(busy)},
		{"refusals on a quiet machine", "errors", report.Fail, "", refused(429), always(quiet)},
		{"gauges while others worked", "metrics", report.Invalid, "other work", gauges(9), always(busy)},
		{"gauges on a quiet machine", "metrics", report.Fail, "in_flight", gauges(9), always(quiet)},
		{"gauges that are right", "metrics", report.Pass, "", gauges(0), always(busy)},
		{"a gap in the server's mean", "metrics", report.Invalid, "other work", understate, always(busy)},
		{"a gap that shows without others too", "metrics", report.Fail, "the limit is", understate, third(0, busy)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := healthy(3)
			tt.change(s)
			events := s.run()
			from, to := window(events, "sustained")
			r, err := Judge(watched(events, func(x float64) second { return tt.host(x, from, to) }))
			if err != nil {
				t.Fatal(err)
			}
			if c := check(t, r, tt.check); c.Verdict != tt.verdict || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("%s %s: %s\nwant %s with %q", c.ID, c.Verdict, c.Reason, tt.verdict, tt.reason)
			}
			if r.Environment["machine_use"] == "" {
				t.Error("the report does not say who used the machine")
			}
		})
	}
}

// laterBy makes requests of the sustained phase take longer and longer: on average those of the last third take ms
// milliseconds more than those of the first.
func laterBy(ms int64) func(*sim) {
	return func(s *sim) {
		s.service = func(r *rand.Rand, _ float64) float64 { return 0.06 + 0.01*r.ExpFloat64() }
		s.touch = func(q *evidence.Request) {
			if q.Phase == "sustained" {
				q.Done += ms * 1e6 * int64(q.N) * 3 / 2 / 966 // there are about 966 requests
				q.Last = q.Done
			}
		}
	}
}

// refused makes 2 % of the requests fail with an HTTP status.
func refused(status int) func(*sim) {
	return func(s *sim) {
		s.failRate = 0.02
		s.touch = func(q *evidence.Request) {
			if !q.OK() {
				q.Status = status
			}
		}
	}
}

// Readings of the machine, whatever they say, can only make a verdict INVALID. They never cause a FAIL or a PASS.
func TestTheMachineDecidesNothing(t *testing.T) {
	well, ill := healthy(3), healthy(4)
	// one phase, so that judging takes a hundredth of a second
	well.edit, ill.edit, ill.service = onlySustained, onlySustained, drifting
	records := [][]evidence.Event{well.run(), ill.run()}
	var plain []*report.Report
	for _, events := range records {
		r, err := Judge(events)
		if err != nil {
			t.Fatal(err)
		}
		plain = append(plain, r)
	}
	property.Check(t, func(rt *rapid.T) {
		k := rapid.IntRange(0, len(records)-1).Draw(rt, "record")
		kinds := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) second {
			return second{own: rapid.Float64Range(0, 4).Draw(rt, "own"),
				others: rapid.Float64Range(0, 4).Draw(rt, "others"), steal: rapid.Float64Range(0, 1).Draw(rt, "steal"),
				wait: rapid.Float64Range(0, 0.01).Draw(rt, "wait"), held: rapid.Float64Range(0, 2).Draw(rt, "held"),
				untold: rapid.Bool().Draw(rt, "untold"), pressure: rapid.Float64Range(0, 1).Draw(rt, "pressure")}
		}), 1, 40).Draw(rt, "seconds")
		i := 0
		r, err := Judge(watched(records[k], func(float64) second { i++; return kinds[i%len(kinds)] }))
		if err != nil {
			rt.Fatal(err)
		}
		for j, c := range r.Checks {
			if was := plain[k].Checks[j].Verdict; c.Gate && c.Verdict != was && c.Verdict != report.Invalid {
				rt.Fatalf("%s went from %s to %s: %s", c.ID, was, c.Verdict, c.Reason)
			}
		}
	})
}

func TestUsesSkipReadingsThatComeTooSoon(t *testing.T) {
	reading := func(ns int64, busy float64) at[*evidence.Host] {
		return at[*evidence.Host]{ns, &evidence.Host{Cores: 2, Busy: busy, Server: evidence.HostServerCounted}}
	}
	got := uses([]at[*evidence.Host]{reading(0, 0), reading(sec, 2), reading(sec+sec/100, 3),
		reading(2*sec, 4)}, evidence.Rules)
	if len(got) != 2 || got[0].others != 1 || got[1].others != 1 || got[1].to != 2*sec {
		t.Errorf("%+v", got)
	}
	if got := uses([]at[*evidence.Host]{reading(0, 0), {sec, &evidence.Host{}}}, evidence.Rules); got != nil {
		t.Errorf("without cores: %+v", got)
	}
}

// TestAReaderThatLostItsCoreIsBelieved: such a reading has the counters of an earlier moment and the time of a later
// one. The share of others is computed from the time that the counters account for, so it is still right.
func TestAReaderThatLostItsCoreIsBelieved(t *testing.T) {
	list := []at[*evidence.Host]{{0, &evidence.Host{Cores: 2, Server: evidence.HostServerCounted}},
		{9 * sec, &evidence.Host{Cores: 2, Busy: 2.2, Own: 0.7, Waited: 40, Turns: 6000,
			Server: evidence.HostServerCounted}}}
	if got := uses(list, evidence.Rules); len(got) != 1 || got[0].lost != 1 || got[0].others < 0.6 {
		t.Errorf("%+v", got)
	}
	if got := uses(list, 2); len(got) != 1 || got[0].lost != 0 {
		t.Errorf("by the rules of older records: %+v", got)
	}
}
