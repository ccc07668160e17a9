package remote

import (
	"fmt"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/internal/certify/offset"
)

// Silence is the time without any message after which the other end counts as lost. Pings are sent twice per second,
// and if a packet is lost three times in a row, TCP needs about a second and a half. Tests have more patience.
var Silence = 5 * time.Second

const (
	// compareEvery is the time between two comparisons of clocks. Halfway between two comparisons, clocks can have
	// drifted by a quarter of a millisecond, at offset.MaxRate.
	compareEvery = 500 * time.Millisecond
	exchanges    = 4 // exchanges per comparison, of which the best counts
)

// stage is the state of a generator.
type stage uint8

const (
	greeting  stage = iota // no message was received yet
	greeted                // it can be sent the plan
	planned                // it checks the plan
	idle                   // it waits for an order
	checking               // it checks whether it can make this load
	preparing              // it prepares a phase
	prepared               // it is ready for the phase
	running                // it makes the load of the phase
	lost
)

var stageNames = [...]string{"greeting", "greeted", "planned", "idle", "checking", "preparing", "prepared", "running",
	"lost"}

func (s stage) String() string { return stageNames[s] }

// action is a decision of a coordinator about one generator.
type action struct {
	to       int
	send     *Message
	compared *evidence.Comparison
	lost     string // why the generator counts as lost
	refused  bool   // the generator refused to take part
}

// peer is the coordinator's state for one generator.
type peer struct {
	stage    stage
	heard    int64
	hello    *Hello
	want     string   // the digest with which it must answer
	done     *Message // answer about the phase that ended last
	inFlight int
	why      string // why it is lost

	ping   int // number of the ping that was not answered yet; 0 if there is none
	pings  int
	sent   int64
	burst  []offset.Exchange
	next   int64 // when the next comparison begins
	wanted bool  // a new comparison was requested
	begun  bool  // that comparison has begun
	track  offset.Track
}

// coordinator is the state of a run with generators. Its input is messages and the time, its output actions. Times are
// those of the coordinator's clock, in nanoseconds.
type coordinator struct {
	version string
	peers   []*peer
	seq     int

	comparing bool
	shift     int64 // the record's clock − the coordinator's
}

func newCoordinator(n int, version string, now int64) *coordinator {
	c := &coordinator{version: version}
	for range n {
		c.peers = append(c.peers, &peer{heard: now})
	}
	return c
}

// lose marks a generator as lost.
func (c *coordinator) lose(i int, format string, args ...any) []action {
	p := c.peers[i]
	if p.stage == lost {
		return nil
	}
	p.stage, p.why, p.inFlight = lost, fmt.Sprintf(format, args...), 0
	return []action{{to: i, lost: p.why}}
}

// gone handles the end of a connection.
func (c *coordinator) gone(i int, err error) []action { return c.lose(i, "%v", err) }

// answers are the messages that a generator may send, with the stage in which it may and the stage that follows.
var answers = map[Kind]struct{ in, then stage }{
	KindHello:    {greeting, greeted},
	KindAccepted: {planned, idle},
	KindChecked:  {checking, idle},
	KindPrepared: {preparing, prepared},
	KindDone:     {running, idle},
}

// heardOf handles a message of a generator.
func (c *coordinator) heardOf(i int, now int64, m *Message) []action {
	p := c.peers[i]
	if p.stage == lost {
		return nil
	}
	p.heard = now
	switch m.Kind {
	case KindPong:
		return c.pong(i, now, m)
	case KindStatus:
		p.inFlight = m.InFlight
		return nil
	case KindRefused:
		out := c.lose(i, "%s", m.Reason)
		out[0].refused = true
		return out
	case KindBye:
		return c.lose(i, "it was stopped: %s", m.Reason)
	}
	a, ok := answers[m.Kind]
	// the phase was stopped before it began
	early := m.Kind == KindDone && (p.stage == preparing || p.stage == prepared)
	if !ok || a.in != p.stage && !early {
		return c.lose(i, "it said %q while it should be %s", m.Kind, p.stage)
	}
	if (m.Kind == KindPrepared || m.Kind == KindDone) && m.Seq != c.seq {
		return c.lose(i, "it said %q of phase %d while phase %d is on", m.Kind, m.Seq, c.seq)
	}
	if why := p.wrong(m, c.version); why != "" {
		out := c.lose(i, "%s", why)
		out[0].refused = true
		return out
	}
	p.stage = a.then
	if m.Kind == KindDone {
		p.done, p.inFlight = m, 0
	}
	return nil
}

// wrong says why the answer of a generator makes it unfit for the run; "" if it does not.
func (p *peer) wrong(m *Message, version string) string {
	switch m.Kind {
	case KindHello:
		p.hello = m.Hello
		switch h := m.Hello; {
		case h == nil:
			return "it does not say who it is"
		case h.Protocol != Protocol:
			return fmt.Sprintf("it speaks version %d of the protocol, this is version %d: run the same version of "+
				"the "+
				"program everywhere", h.Protocol, Protocol)
		case h.Version != version:
			return fmt.Sprintf("it is version %q, this is %q: run the same version of the program everywhere",
				h.Version, version)
		}
	case KindAccepted:
		if m.Digest != p.want {
			return fmt.Sprintf("it read another case: SHA-256 %.12s, here it is %.12s", m.Digest, p.want)
		}
	case KindPrepared:
		if m.Digest != p.want {
			return fmt.Sprintf("it draws another schedule (SHA-256 %.12s, here it is %.12s): machines of another "+
				"architecture may round otherwise", m.Digest, p.want)
		}
	}
	return ""
}

// pong handles the answer to a ping. The last one completes a comparison.
func (c *coordinator) pong(i int, now int64, m *Message) []action {
	p := c.peers[i]
	if m.Ping != p.ping || p.ping == 0 {
		return nil // it belongs to a comparison that was abandoned
	}
	e := offset.Exchange{Sent: p.sent, Came: m.Came, Left: m.Left, Received: now}
	if e.Left < e.Came || e.RoundTrip() < 0 {
		return c.lose(i, "its clock runs backwards: %d ns, then %d ns", m.Came, m.Left)
	}
	p.burst, p.ping = append(p.burst, e), 0
	if len(p.burst) < exchanges {
		return c.sendPing(i, now)
	}
	best := offset.Best(p.burst)
	p.burst, p.next = nil, now+int64(compareEvery)
	if p.begun {
		p.wanted, p.begun = false, false
	}
	if !c.comparing {
		return nil
	}
	r := best.Reading()
	r.Offset += c.shift
	if err := p.track.Add(r); err != nil {
		return c.lose(i, "its clock stands still or runs backwards: %v", err)
	}
	return []action{{to: i, compared: &evidence.Comparison{Generator: i + 1, There: r.There, Offset: r.Offset,
		Error: r.Error, RoundTrip: best.RoundTrip(), Exchanges: exchanges}}}
}

func (c *coordinator) sendPing(i int, now int64) []action {
	p := c.peers[i]
	p.pings++
	p.ping, p.sent = p.pings, now
	return []action{{to: i, send: &Message{Kind: KindPing, Ping: p.ping}}}
}

// tick handles the passing of time.
func (c *coordinator) tick(now int64) []action {
	var out []action
	for i, p := range c.peers {
		switch {
		case p.stage == lost || p.stage == greeting:
		case now-p.heard > int64(Silence):
			out = append(out, c.lose(i, "nothing was heard of it for %s", Silence)...)
		case p.ping == 0 && now >= p.next:
			p.begun = p.wanted
			out = append(out, c.sendPing(i, now)...)
		}
	}
	return out
}

// begin starts the record: from now on, comparisons are recorded. shift is the record's clock − the coordinator's.
func (c *coordinator) begin(shift int64) {
	c.comparing, c.shift = true, shift
	for _, p := range c.peers { // a comparison that began before does not belong to the record
		p.burst, p.ping, p.next = nil, 0, 0
	}
}

// compare requests a new comparison with each generator.
func (c *coordinator) compare() {
	for _, p := range c.peers {
		p.wanted, p.begun = p.stage != lost, false
		if p.ping == 0 {
			p.next = 0
		}
	}
}

// compared says whether the requested comparisons have been made.
func (c *coordinator) compared() bool {
	for _, p := range c.peers {
		if p.wanted && p.stage != lost {
			return false
		}
	}
	return true
}

// order sends a message to all generators that are in stage from. message makes the message for each, with the digest
// that it must answer.
func (c *coordinator) order(from, then stage, message func(i int) (m *Message, want string)) []action {
	var out []action
	for i, p := range c.peers {
		if p.stage != from {
			continue
		}
		var m *Message
		m, p.want = message(i)
		p.stage = then
		out = append(out, action{to: i, send: m})
	}
	return out
}

// plan sends each generator its plan. want is the digest that shows that the plan was understood.
func (c *coordinator) plan(plans []*Plan, want string) []action {
	return c.order(greeted, planned, func(i int) (*Message, string) {
		return &Message{Kind: KindPlan, Plan: plans[i]}, want
	})
}

func (c *coordinator) check() []action {
	return c.order(idle, checking, func(int) (*Message, string) { return &Message{Kind: KindCheck}, "" })
}

// prepare begins a phase. want are the digests of each generator's part of the schedule.
func (c *coordinator) prepare(x *Prepare, want []string) []action {
	c.seq++
	for _, p := range c.peers {
		p.done = nil
	}
	return c.order(idle, preparing, func(i int) (*Message, string) {
		return &Message{Kind: KindPrepare, Seq: c.seq, Prepare: x}, want[i]
	})
}

// start tells all generators to begin when the record's clock shows at.
func (c *coordinator) start(at int64) []action {
	return c.order(prepared, running, func(i int) (*Message, string) {
		off, _, _ := c.peers[i].track.At(at - c.peers[i].lastOffset())
		return &Message{Kind: KindStart, Seq: c.seq, Start: at - off}, ""
	})
}

// lastOffset is the offset of the last comparison.
func (p *peer) lastOffset() int64 {
	last := p.track.Last()
	return last.Offset
}

// stop tells the generators to end the phase now.
func (c *coordinator) stop() []action {
	var out []action
	for i, p := range c.peers {
		if p.stage == preparing || p.stage == prepared || p.stage == running {
			out = append(out, action{to: i, send: &Message{Kind: KindStop, Seq: c.seq}})
		}
	}
	return out
}

// settled says whether all generators are in a stage, or lost.
func (c *coordinator) settled(in stage) bool {
	for _, p := range c.peers {
		if p.stage != in && p.stage != lost {
			return false
		}
	}
	return true
}

// loseAllBut marks the generators that are not in a stage as lost.
func (c *coordinator) loseAllBut(in stage, why error) []action {
	var out []action
	for i, p := range c.peers {
		if p.stage != in {
			out = append(out, c.lose(i, "%v", why)...)
		}
	}
	return out
}

// anyLost says whether a generator is lost.
func (c *coordinator) anyLost() bool {
	for _, p := range c.peers {
		if p.stage == lost {
			return true
		}
	}
	return false
}

// longestTrip is an estimate of the longest round trip, from the bounds of the last comparisons.
func (c *coordinator) longestTrip() int64 {
	var longest int64
	for _, p := range c.peers {
		if p.stage != lost {
			longest = max(longest, 2*p.track.Last().Error)
		}
	}
	return longest
}

func (c *coordinator) inFlight() (n int) {
	for _, p := range c.peers {
		n += p.inFlight
	}
	return n
}

// waitsFor lists the names of the generators that are not in a stage yet.
func (c *coordinator) waitsFor(in stage, names []string) string {
	var out []string
	for i, p := range c.peers {
		if p.stage != in && p.stage != lost {
			out = append(out, names[i])
		}
	}
	return strings.Join(out, ", ")
}
