package remote

import (
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/certify/evidence"
	"github.com/hxp-enterprise/mixtral/testcases"
)

// do is a decision of a generator.
type do struct {
	send    *Message
	last    *Message // a message to be sent after the evidence that waits; with end, after all evidence
	accept  *Plan    // check the plan
	check   bool     // check whether this machine can make the load
	prepare *Prepare // prepare a phase
	run     bool     // begin the phase when the clock shows start
	start   int64
	cancel  bool    // cancel what is under way
	end     *string // the session ends; the text says why, and is "" for a normal end
}

// generator is the state of a session with a coordinator. Its input is messages and the time, its output decisions.
// Times are those of the generator's clock.
type generator struct {
	stage   stage
	heard   int64
	seq     int
	stopped bool // the phase was stopped before it began
	over    bool
}

func newGenerator(now int64) *generator { return &generator{stage: greeted, heard: now} }

// finish ends the session. last is the last message to the coordinator; nil if there is none.
func (g *generator) finish(why string, last *Message) []do {
	if g.over {
		return nil
	}
	g.over = true
	return []do{{cancel: true}, {end: &why, last: last}}
}

// refuse tells the coordinator that this generator does not take part, and ends the session.
func (g *generator) refuse(format string, args ...any) []do {
	why := fmt.Sprintf(format, args...)
	return g.finish(why, &Message{Kind: KindRefused, Reason: why})
}

// orders are the messages that a coordinator may send, with the stage in which it may and the stage that follows.
var orders = map[Kind]struct{ in, then stage }{
	KindPlan:    {greeted, planned},
	KindCheck:   {idle, checking},
	KindPrepare: {idle, preparing},
	KindStart:   {prepared, running},
}

// heardOf handles a message of the coordinator.
func (g *generator) heardOf(now int64, m *Message) []do {
	if g.over {
		return nil
	}
	g.heard = now
	switch m.Kind {
	case KindPing:
		return []do{{send: &Message{Kind: KindPong, Ping: m.Ping, Came: now}}}
	case KindBye:
		return g.finish("", nil)
	case KindStop:
		return g.stop(m.Seq)
	}
	x, ok := orders[m.Kind]
	if !ok || x.in != g.stage {
		return g.refuse("%q was said while it is %s", m.Kind, g.stage)
	}
	switch {
	case m.Kind == KindPlan && m.Plan == nil, m.Kind == KindPrepare && m.Prepare == nil:
		return g.refuse("%q says nothing", m.Kind)
	case m.Kind == KindPrepare && m.Seq <= g.seq:
		return g.refuse("phase %d comes after phase %d", m.Seq, g.seq)
	case m.Kind == KindStart && m.Seq != g.seq:
		return g.refuse("phase %d is to start, and phase %d is prepared", m.Seq, g.seq)
	}
	g.stage = x.then
	switch m.Kind {
	case KindPlan:
		return []do{{accept: m.Plan}}
	case KindCheck:
		return []do{{check: true}}
	case KindPrepare:
		g.seq, g.stopped = m.Seq, false
		return []do{{prepare: m.Prepare}}
	}
	return []do{{run: true, start: m.Start}}
}

// stop ends a phase in whatever stage it is. It does nothing if the phase has ended meanwhile.
func (g *generator) stop(seq int) []do {
	if seq != g.seq {
		return nil
	}
	switch g.stage {
	case preparing:
		g.stopped = true
	case prepared:
		return g.unbegun()
	case running:
		return []do{{cancel: true}}
	}
	return nil
}

// unbegun reports the end of a phase that never began.
func (g *generator) unbegun() []do {
	g.stage = idle
	return []do{{last: &Message{Kind: KindDone, Seq: g.seq, Part: &evidence.Part{CutShort: testcases.CutInterrupted}}}}
}

// accepted reports that the plan was understood, or why it is refused.
func (g *generator) accepted(digest string, err error) []do {
	if err != nil {
		return g.refuse("%v", err)
	}
	g.stage = idle
	return []do{{send: &Message{Kind: KindAccepted, Digest: digest}}}
}

func (g *generator) checked() []do {
	g.stage = idle
	return []do{{last: &Message{Kind: KindChecked}}}
}

// isPrepared reports that a phase can begin, or why it cannot.
func (g *generator) isPrepared(digest string, err error) []do {
	switch {
	case err != nil:
		return g.refuse("%v", err)
	case g.stopped:
		return g.unbegun()
	}
	g.stage = prepared
	return []do{{send: &Message{Kind: KindPrepared, Seq: g.seq, Digest: digest}}}
}

// ended reports the result of a phase.
func (g *generator) ended(part *evidence.Part, phase *evidence.Phase) []do {
	g.stage = idle
	return []do{{last: &Message{Kind: KindDone, Seq: g.seq, Part: part, Phase: phase}}}
}

// tick handles the passing of time. If no message has come from the coordinator for too long, it is gone, and its load
// must stop.
func (g *generator) tick(now int64) []do {
	if now-g.heard > int64(Silence) {
		return g.finish(fmt.Sprintf("nothing was heard of the coordinator for %s", Silence), nil)
	}
	return nil
}

// interrupted ends the session because the generator was stopped.
func (g *generator) interrupted(why string) []do {
	return g.finish(why, &Message{Kind: KindBye, Reason: why})
}
