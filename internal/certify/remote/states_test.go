package remote

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// said formats the actions of a coordinator, one per line.
func said(list []action) string {
	var out []string
	for _, a := range list {
		switch {
		case a.send != nil:
			out = append(out, fmt.Sprintf("to %d: %s", a.to, a.send.Kind))
		case a.compared != nil:
			c := a.compared
			out = append(out, fmt.Sprintf("clock of %d: %d ± %d", a.to, c.Offset, c.Error))
		default:
			out = append(out, fmt.Sprintf("lost %d: %s", a.to, a.lost))
		}
	}
	return strings.Join(out, "; ")
}

func expect(t *testing.T, step string, got []action, want string) {
	t.Helper()
	if s := said(got); s != want {
		t.Errorf("%s: %q, want %q", step, s, want)
	}
}

var hello = &Message{Kind: KindHello, Hello: &Hello{Protocol: Protocol, Version: "v1"}}

// idlers is a coordinator with generators that have accepted their plan.
func idlers(t *testing.T, n int) *coordinator {
	t.Helper()
	c := newCoordinator(n, "v1", 0)
	plans := make([]*Plan, n)
	for i := range n {
		expect(t, "hello", c.heardOf(i, 1, hello), "")
	}
	c.plan(plans, "d")
	for i := range n {
		expect(t, "accepted", c.heardOf(i, 2, &Message{Kind: KindAccepted, Digest: "d"}), "")
	}
	if !c.settled(idle) {
		t.Fatal("not idle")
	}
	return c
}

// pings makes a comparison with generator i, whose clock is ahead by ahead, with trip nanoseconds in each direction.
func pings(t *testing.T, c *coordinator, i int, now *int64, ahead, trip int64) (last []action) {
	t.Helper()
	for range exchanges {
		p := c.peers[i]
		if p.ping == 0 {
			t.Fatal("no ping is out")
		}
		came := *now + trip + ahead
		*now += 2 * trip
		last = c.heardOf(i, *now, &Message{Kind: KindPong, Ping: p.ping, Came: came, Left: came})
	}
	return last
}

// TestAPhaseFromEndToEnd: two generators join, compare clocks, prepare, start at one instant, and end.
func TestAPhaseFromEndToEnd(t *testing.T) {
	c := idlers(t, 2)
	expect(t, "first pings", c.tick(3), "to 0: ping; to 1: ping")
	c.begin(1000) // the record's clock is ahead of the coordinator's
	now := int64(10)
	expect(t, "pings of the record", c.tick(now), "to 0: ping; to 1: ping")
	expect(t, "a comparison", pings(t, c, 0, &now, 5_000, 100), "clock of 0: -4000 ± 100")
	if c.compare(); c.compared() {
		t.Error("the comparisons have not been made")
	}
	expect(t, "one that began before", pings(t, c, 1, &now, -7_000, 100), "clock of 1: 8000 ± 100")
	if c.compared() {
		t.Error("a comparison that began before it was asked for counts")
	}
	now += int64(compareEvery)
	expect(t, "fresh", c.tick(now), "to 0: ping; to 1: ping")
	pings(t, c, 0, &now, 5_000, 50)
	pings(t, c, 1, &now, -7_000, 50)
	if !c.compared() {
		t.Error("the comparisons have been made")
	}
	expect(t, "prepare", c.prepare(&Prepare{Phase: testcases.Phase{ID: "x"}}, []string{"a", "b"}),
		"to 0: prepare; to 1: prepare")
	expect(t, "prepared", c.heardOf(0, now, &Message{Kind: KindPrepared, Seq: 1, Digest: "a"}), "")
	if c.settled(prepared) {
		t.Error("the second one is not prepared")
	}
	expect(t, "prepared", c.heardOf(1, now, &Message{Kind: KindPrepared, Seq: 1, Digest: "b"}), "")
	at := now + 1000 + 1e6
	start := c.start(at)
	expect(t, "start", start, "to 0: start; to 1: start")
	for i, ahead := range []int64{5_000, -7_000} {
		if got, want := start[i].send.Start, at-1000+ahead; got != want {
			t.Errorf("generator %d starts at %d of its clock, want %d", i, got, want)
		}
	}
	c.heardOf(0, now, &Message{Kind: KindStatus, InFlight: 3})
	c.heardOf(1, now, &Message{Kind: KindStatus, InFlight: 4})
	if c.inFlight() != 7 {
		t.Errorf("%d requests in flight", c.inFlight())
	}
	for i := range 2 {
		expect(t, "done", c.heardOf(i, now, &Message{Kind: KindDone, Seq: 1, Part: &evidence.Part{}}), "")
	}
	if !c.settled(idle) || c.inFlight() != 0 || c.anyLost() {
		t.Error("the phase is over")
	}
	expect(t, "nothing to stop", c.stop(), "")
}

// TestGeneratorsThatAreLost: whatever goes wrong with a generator is reported once, with the reason, and its later
// messages are ignored.
func TestGeneratorsThatAreLost(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(c *coordinator) []action
		want string
	}{
		"the connection": {func(c *coordinator) []action { return c.gone(0, errors.New("reset")) }, "lost 0: reset"},
		"a goodbye": {func(c *coordinator) []action { return c.heardOf(0, 3, &Message{Kind: KindBye, Reason: "r"}) },
			"lost 0: it was stopped: r"},
		"a refusal": {func(c *coordinator) []action {
			return c.heardOf(0, 3, &Message{Kind: KindRefused, Reason: "no"})
		}, "lost 0: no"},
		"silence": {func(c *coordinator) []action {
			c.heardOf(1, int64(Silence), &Message{Kind: KindStatus})
			return c.tick(int64(Silence) + 3)
		}, "lost 0: nothing was heard of it for 5s; to 1: ping"},
		"a word out of turn": {func(c *coordinator) []action {
			return c.heardOf(0, 3, &Message{Kind: KindPrepared})
		}, `lost 0: it said "prepared" while it should be idle`},
		"a word that there is not": {func(c *coordinator) []action {
			return c.heardOf(0, 3, &Message{Kind: "dance"})
		}, `lost 0: it said "dance" while it should be idle`},
		"another schedule": {func(c *coordinator) []action {
			c.prepare(&Prepare{}, []string{"abc", "abc"})
			return c.heardOf(0, 3, &Message{Kind: KindPrepared, Seq: 1, Digest: "xyz"})
		}, "lost 0: it draws another schedule (SHA-256 xyz, here it is abc): machines of another architecture may " +
			"round otherwise"},
		"another phase": {func(c *coordinator) []action {
			c.prepare(&Prepare{}, []string{"abc", "abc"})
			return c.heardOf(0, 3, &Message{Kind: KindPrepared, Seq: 7, Digest: "abc"})
		}, `lost 0: it said "prepared" of phase 7 while phase 1 is on`},
		"a clock that runs backwards": {func(c *coordinator) []action {
			c.tick(3)
			return c.heardOf(0, 4, &Message{Kind: KindPong, Ping: c.peers[0].ping, Came: 9, Left: 8})
		}, "lost 0: its clock runs backwards: 9 ns, then 8 ns"},
		"too slow to stop": {func(c *coordinator) []action {
			c.prepare(&Prepare{}, []string{"abc", "abc"})
			c.heardOf(1, 3, &Message{Kind: KindDone, Seq: 1})
			return c.loseAllBut(idle, errStopped)
		}, "lost 0: it did not say that it has stopped"},
	} {
		c := idlers(t, 2)
		expect(t, name, tt.do(c), tt.want)
		if !c.anyLost() {
			t.Errorf("%s: nobody is lost", name)
		}
		expect(t, name+", again", c.gone(0, errors.New("again")), "")
		expect(t, name+", after that", c.heardOf(0, 9, &Message{Kind: KindBye}), "")
	}
	old := newCoordinator(1, "v1", 0)
	expect(t, "another version", old.heardOf(0, 1, &Message{Kind: KindHello,
		Hello: &Hello{Protocol: Protocol, Version: "v0"}}),
		`lost 0: it is version "v0", this is "v1": run the same version of the program everywhere`)
	c := newCoordinator(1, "v1", 0)
	c.heardOf(0, 1, hello)
	c.plan([]*Plan{nil}, "mine")
	expect(t, "another case", c.heardOf(0, 2, &Message{Kind: KindAccepted, Digest: "theirs"}),
		"lost 0: it read another case: SHA-256 theirs, here it is mine")
	expect(t, "a pong of before", idlers(t, 1).heardOf(0, 2, &Message{Kind: KindPong, Ping: 77}), "")
}

// TestAStopOfAPhaseThatDidNotBegin: generators that were preparing a phase end it without having made load.
func TestAStopOfAPhaseThatDidNotBegin(t *testing.T) {
	c := idlers(t, 1)
	c.prepare(&Prepare{}, []string{"a"})
	expect(t, "stop", c.stop(), "to 0: stop")
	expect(t, "done", c.heardOf(0, 3, &Message{Kind: KindDone, Seq: 1}), "")
	if !c.settled(idle) {
		t.Error("it is not idle")
	}
}

// does formats the decisions of a generator.
func does(list []do) string {
	var out []string
	for _, d := range list {
		switch {
		case d.send != nil:
			out = append(out, "say "+string(d.send.Kind))
		case d.end != nil && d.last != nil:
			out = append(out, fmt.Sprintf("end, %s: %s", d.last.Kind, *d.end))
		case d.end != nil:
			out = append(out, "end: "+*d.end)
		case d.last != nil:
			out = append(out, "say last "+string(d.last.Kind))
		case d.accept != nil:
			out = append(out, "accept")
		case d.check:
			out = append(out, "check")
		case d.prepare != nil:
			out = append(out, "prepare")
		case d.run:
			out = append(out, fmt.Sprintf("run at %d", d.start))
		case d.cancel:
			out = append(out, "cancel")
		}
	}
	return strings.Join(out, "; ")
}

func expectDo(t *testing.T, step string, got []do, want string) {
	t.Helper()
	if s := does(got); s != want {
		t.Errorf("%s: %q, want %q", step, s, want)
	}
}

var (
	order  = func(kind Kind) *Message { return &Message{Kind: kind, Seq: 1, Plan: &Plan{}, Prepare: &Prepare{}} }
	listen = func(t *testing.T) *generator {
		g := newGenerator(0)
		expectDo(t, "plan", g.heardOf(1, order(KindPlan)), "accept")
		expectDo(t, "accepted", g.accepted("d", nil), "say accepted")
		return g
	}
)

// TestAGeneratorFromEndToEnd: the plan, the check, a phase, another one that is stopped in each of its stages, and the
// end.
func TestAGeneratorFromEndToEnd(t *testing.T) {
	g := listen(t)
	expectDo(t, "ping", g.heardOf(2, &Message{Kind: KindPing, Ping: 9}), "say pong")
	expectDo(t, "check", g.heardOf(2, order(KindCheck)), "check")
	expectDo(t, "checked", g.checked(), "say last checked")
	expectDo(t, "prepare", g.heardOf(3, order(KindPrepare)), "prepare")
	expectDo(t, "prepared", g.isPrepared("d", nil), "say prepared")
	expectDo(t, "start", g.heardOf(4, &Message{Kind: KindStart, Seq: 1, Start: 99}), "run at 99")
	expectDo(t, "a stop of another phase", g.heardOf(4, &Message{Kind: KindStop, Seq: 5}), "")
	expectDo(t, "stop", g.heardOf(4, &Message{Kind: KindStop, Seq: 1}), "cancel")
	expectDo(t, "ended", g.ended(&evidence.Part{}, nil), "say last done")
	expectDo(t, "a stop that comes late", g.heardOf(4, &Message{Kind: KindStop, Seq: 1}), "")
	expectDo(t, "the second phase", g.heardOf(5, &Message{Kind: KindPrepare, Seq: 2, Prepare: &Prepare{}}), "prepare")
	expectDo(t, "stopped while it prepares", g.heardOf(5, &Message{Kind: KindStop, Seq: 2}), "")
	expectDo(t, "prepared in vain", g.isPrepared("d", nil), "say last done")
	expectDo(t, "the third phase", g.heardOf(6, &Message{Kind: KindPrepare, Seq: 3, Prepare: &Prepare{}}), "prepare")
	expectDo(t, "prepared", g.isPrepared("d", nil), "say prepared")
	expectDo(t, "stopped when it is prepared", g.heardOf(7, &Message{Kind: KindStop, Seq: 3}), "say last done")
	expectDo(t, "bye", g.heardOf(8, &Message{Kind: KindBye}), "cancel; end: ")
	expectDo(t, "after the end", g.heardOf(9, order(KindPlan)), "")
	expectDo(t, "after the end", g.tick(int64(time.Hour)), "")
}

// TestAGeneratorThatSaysNo: an order that it cannot or must not carry out ends the session with the reason.
func TestAGeneratorThatSaysNo(t *testing.T) {
	g := newGenerator(0)
	expectDo(t, "no plan", g.heardOf(1, order(KindPrepare)),
		`cancel; end, refused: "prepare" was said while it is greeted`)
	g = newGenerator(0)
	expectDo(t, "an empty plan", g.heardOf(1, &Message{Kind: KindPlan}), `cancel; end, refused: "plan" says nothing`)
	g = newGenerator(0)
	g.heardOf(1, order(KindPlan))
	expectDo(t, "a plan that is not taken", g.accepted("", errors.New("not there")), "cancel; end, refused: not there")
	g = listen(t)
	g.heardOf(2, order(KindPrepare))
	expectDo(t, "start before it is prepared", g.heardOf(3, order(KindStart)),
		`cancel; end, refused: "start" was said while it is preparing`)
	g = listen(t)
	g.heardOf(2, order(KindPrepare))
	g.isPrepared("d", nil)
	expectDo(t, "start of another phase", g.heardOf(3, &Message{Kind: KindStart, Seq: 2}),
		"cancel; end, refused: phase 2 is to start, and phase 1 is prepared")
	g = listen(t)
	expectDo(t, "a phase of before", g.heardOf(2, &Message{Kind: KindPrepare, Seq: 0, Prepare: &Prepare{}}),
		"cancel; end, refused: phase 0 comes after phase 0")
	g = listen(t)
	expectDo(t, "a word that there is not", g.heardOf(2, &Message{Kind: "dance"}),
		`cancel; end, refused: "dance" was said while it is idle`)
}

// TestACoordinatorThatIsGone: a generator that receives nothing for five seconds ends its load.
func TestACoordinatorThatIsGone(t *testing.T) {
	g := listen(t)
	g.heardOf(2, order(KindPrepare))
	g.isPrepared("d", nil)
	g.heardOf(3, &Message{Kind: KindStart, Seq: 1})
	expectDo(t, "a word in time", g.tick(3+int64(Silence)), "")
	expectDo(t, "silence", g.tick(4+int64(Silence)), "cancel; end: nothing was heard of the coordinator for 5s")
	g = listen(t)
	expectDo(t, "told to stop", g.interrupted("why"), "cancel; end, bye: why")
}
