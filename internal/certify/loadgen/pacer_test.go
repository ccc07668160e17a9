package loadgen

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
	"pgregory.net/rapid"
)

// TestPacerTraces replays the traces of testdata/pacer: a pacer must make the decisions that are recorded there.
func TestPacerTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/pacer/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no traces", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m *pacer
		for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
			if strings.HasPrefix(line, "#") {
				continue
			}
			if plan, ok := strings.CutPrefix(line, "plan "); ok {
				m = parsePlan(t, plan)
				continue
			}
			event, _, _ := strings.Cut(line, ":")
			if got := replay(t, m, event); got != line {
				t.Fatalf("%s:%d:\ngot  %s\nwant %s", file, i+1, got, line)
			}
		}
	}
}

// parsePlan reads "kind=open offsets=0ms,10ms cap=2 start=1s".
func parsePlan(t *testing.T, text string) *pacer {
	t.Helper()
	p := &Plan{ID: "trace", Make: func(int) Job { return Job{} }}
	var start time.Duration
	for _, word := range strings.Fields(text) {
		key, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		d, _ := time.ParseDuration(value)
		switch key {
		case "kind":
			p.Kind = testcases.Kind(value)
		case "offsets":
			for _, o := range strings.Split(value, ",") {
				d, err := time.ParseDuration(o)
				if err != nil {
					t.Fatal(err)
				}
				p.Offsets = append(p.Offsets, d)
			}
		case "start":
			start = d
		case "ramp":
			p.Ramp = d
		case "min":
			p.MinDuration = d
		case "max":
			p.MaxDuration = d
		case "cap":
			p.Cap = n
		case "concurrency":
			p.Concurrency = n
		case "requests":
			p.Requests = n
		default:
			t.Fatalf("unknown word %q", word)
		}
	}
	if err := p.validate(); err != nil {
		t.Fatal(err)
	}
	return newPacer(p, start)
}

// replay passes an event to the pacer, and returns a line with the event and the pacer's decisions.
func replay(t *testing.T, m *pacer, event string) string {
	t.Helper()
	words := strings.Fields(event)
	now, err := time.ParseDuration(words[0])
	if err != nil {
		t.Fatal(err)
	}
	switch words[1] {
	case "next":
		switch d := m.next(now); d.do {
		case issue:
			return fmt.Sprintf("%s: issue %d due %v", event, d.n, d.due)
		case wait:
			return fmt.Sprintf("%s: wait until %v", event, d.due)
		case hold:
			return event + ": hold"
		default:
			return event + ": stop"
		}
	case "done":
		m.done(now, evidence.Failure(strings.Join(words[2:], "")), nil)
	case "interrupt":
		m.interrupt(now)
	case "phase":
		p := m.phase(now)
		out := fmt.Sprintf("%s: planned %d issued %d most %d", event, p.Planned, p.Issued, p.MaxInFlight)
		if p.CapHit {
			out += " cap-hit"
		}
		out += fmt.Sprintf(" steady %v-%v", time.Duration(p.SteadyFrom), time.Duration(p.SteadyTo))
		if p.OfferedRPS > 0 {
			out += fmt.Sprintf(" offered %.1f", p.OfferedRPS)
		}
		if p.CutShort != "" {
			out += " cut " + string(p.CutShort)
		}
		return out
	default:
		t.Fatalf("unknown event %q", event)
	}
	return event
}

func TestLostTargetEndsAPhase(t *testing.T) {
	for _, p := range []*Plan{
		{Kind: testcases.KindClosed, Concurrency: 3, Requests: 1000},
		{Kind: testcases.KindOpen, Offsets: Constant(5, time.Minute, 0)},
	} {
		m := newPacer(p, 0)
		var now time.Duration
		for d := m.next(now); d.do != stop; d = m.next(now) {
			switch d.do {
			case issue:
				m.done(now, evidence.FailConnect, nil)
			case wait:
				now = d.due
			case hold:
				t.Fatal("holds with nothing in flight")
			}
		}
		if m.cut != "target lost" || now < lostAfter || now > lostAfter+time.Second || m.issued > 200 {
			t.Errorf("%s: ended at %v as %q after %d requests", p.Kind, now, m.cut, m.issued)
		}
	}
}

// TestMachineKeepsItsPlan runs random plans against a server with random latencies and failures, in simulated time.
func TestMachineKeepsItsPlan(t *testing.T) {
	ms := func(t *rapid.T, name string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * time.Millisecond
	}
	property.Check(t, func(t *rapid.T) {
		p := &Plan{
			Kind: rapid.SampledFrom([]testcases.Kind{testcases.KindOpen, testcases.KindClosed, testcases.KindBatch,
				testcases.KindWarmup}).Draw(t, "kind"),
			Concurrency: rapid.IntRange(1, 5).Draw(t, "concurrency"),
			Requests:    rapid.IntRange(1, 30).Draw(t, "requests"),
			MinDuration: ms(t, "min", 100), Ramp: ms(t, "ramp", 50), Cap: rapid.IntRange(0, 4).Draw(t, "cap"),
		}
		for at := time.Duration(0); len(p.Offsets) < p.Requests; at += ms(t, "gap", 20) {
			p.Offsets = append(p.Offsets, at)
		}
		start := ms(t, "start", 1000)
		m := newPacer(p, start)
		var ends []time.Duration // when the requests in flight end
		now, due := start, make([]time.Duration, 0)
		finish := func() { // the earliest request in flight ends
			first := 0
			for i := range ends {
				if ends[i] < ends[first] {
					first = i
				}
			}
			now = max(now, ends[first])
			ends = append(ends[:first], ends[first+1:]...)
			m.done(now, rapid.SampledFrom([]evidence.Failure{"", "", evidence.FailStatus,
				evidence.FailConnect}).Draw(t, "class"), nil)
		}
		for steps := 0; ; steps++ {
			if steps > 10000 {
				t.Fatal("the pacer does not end")
			}
			d := m.next(now)
			if d.do == stop {
				break
			}
			switch d.do {
			case issue:
				if d.due > now || d.n != len(due) {
					t.Fatalf("request %d due %v issued as number %d at %v", d.n, d.due, len(due), now)
				}
				due = append(due, d.due)
				ends = append(ends, now+ms(t, "latency", 40))
			case wait:
				if d.due <= now {
					t.Fatalf("waits at %v for %v", now, d.due)
				}
				for len(ends) > 0 && earliest(ends) <= d.due {
					finish()
				}
				now = max(now, d.due)
			case hold:
				if len(ends) == 0 {
					t.Fatal("holds with nothing in flight")
				}
				finish()
			}
			if m.inFlight != len(ends) || p.Cap > 0 && !m.closedLoop() && len(ends) > p.Cap || m.closedLoop() &&
				len(ends) > p.Concurrency {
				t.Fatalf("%d in flight, the pacer says %d", len(ends), m.inFlight)
			}
		}
		for len(ends) > 0 {
			finish()
		}
		ph := m.phase(now)
		if ph.CutShort != "" || ph.Issued != len(due) || ph.Issued < ph.Planned || m.inFlight != 0 {
			t.Fatalf("phase %+v after %d requests", ph, len(due))
		}
		if ph.SteadyFrom > ph.SteadyTo || ph.SteadyTo > ph.End || ph.Start != int64(start) {
			t.Fatalf("windows of %+v", ph)
		}
		if p.Kind == testcases.KindOpen {
			for i := range due {
				if due[i] != start+p.Offsets[i] {
					t.Fatalf("arrival %d moved from %v to %v", i, start+p.Offsets[i], due[i])
				}
			}
		}
	})
}

func earliest(ends []time.Duration) time.Duration {
	first := ends[0]
	for _, e := range ends {
		first = min(first, e)
	}
	return first
}
