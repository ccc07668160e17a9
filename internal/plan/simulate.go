package plan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/infer/kvcache"
	"github.com/hxp-enterprise/mixtral/internal/infer/schedule"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// ErrReplica is matched by errors about a replica's settings.
var ErrReplica = errors.New("invalid replica")

// Replica is one server of the model.
type Replica struct {
	Cost        Cost
	MaxRunning  int   // sequences computed together
	MaxWaiting  int   // requests in the queue; more are refused
	Chunk       int   // maximum prompt tokens in a step
	Context     int   // maximum tokens of a sequence
	BlockTokens int   // positions in a KV block
	Blocks      int   // KV blocks
	BlockBytes  int64 // of memory in each
}

const defaultWaiting = 100

func (r *Replica) check() error {
	for _, f := range []struct {
		name string
		v    int
	}{{"max running", r.MaxRunning}, {"chunk", r.Chunk}, {"context", r.Context}, {"block tokens", r.BlockTokens},
		{"KV blocks", r.Blocks}} {
		if f.v < 1 {
			return fmt.Errorf("%w: %s must be at least 1, got %d", ErrReplica, f.name, f.v)
		}
	}
	if r.Cost == nil {
		return fmt.Errorf("%w: it has no cost", ErrReplica)
	}
	return nil
}

// Setup is what is simulated.
type Setup struct {
	Replica  Replica
	Replicas int
	Policy   string // of route.Names
	Traffic  Traffic
	observed func(Observed) // called for each answered request; nil: not called
	remember bool           // keep full KV blocks for others even if none can find one, to test exactly that
	// Warmup is the share of the requests at the beginning that no statistic counts, since the queues are still empty.
	Warmup float64
}

// server is a simulated replica.
type server struct {
	r     *Replica
	sched *schedule.Scheduler
	pace  schedule.Pacer
	plan  schedule.Decisions
	step  Step
	began float64
	until float64 // end of the step under way
	busy  bool
	took  usage
}

// flight is a request under way.
type flight struct {
	Call
	first float64 // time of its first token
}

// simulation is the state of a run.
type simulation struct {
	s       *Setup
	policy  route.Policy
	servers []server
	routes  []route.Candidate
	flights map[*schedule.Seq]*flight
	ends    heap
	source  *source
	now     float64
	ids     []int32 // a prompt's tokens
	token   int32   // the last token that was invented
	left    int     // calls to draw
	more    bool    // more calls will come
	forget  bool    // no KV blocks are kept
	out     *Result
}

// Simulate runs a setup to its end, or until ctx ends. Naming KV blocks, so that they can be found again, is a third
// of the work of a large simulation. If prompts have nothing in common, only a sequence that had to give its blocks
// away can find one again. So no names are kept at first; if such a sequence appears, the simulation starts again and
// keeps them.
func Simulate(ctx context.Context, s Setup) (*Result, error) {
	r, err := simulateOnce(ctx, s, s.Traffic.Shared == 0 && !s.remember)
	if errors.Is(err, errRemember) {
		return simulateOnce(ctx, s, false)
	}
	return r, err
}

// simulateOnce is Simulate with KV blocks that are either all forgotten or all kept.
func simulateOnce(ctx context.Context, s Setup, forget bool) (*Result, error) {
	if err := errors.Join(s.Traffic.check(), s.Replica.check()); err != nil {
		return nil, err
	}
	if s.Replicas < 1 || s.Replicas > 1_000_000 {
		return nil, fmt.Errorf("%w: their number must be between 1 and 1000000, got %d", ErrReplica, s.Replicas)
	}
	policy, err := route.Parse(s.Policy)
	if err != nil {
		return nil, err
	}
	m := &simulation{s: &s, policy: policy, forget: forget, servers: make([]server, s.Replicas),
		routes: make([]route.Candidate, s.Replicas), flights: map[*schedule.Seq]*flight{},
		source: s.Traffic.source(), left: s.Traffic.Requests, out: newResult(&s)}
	for i := range m.servers {
		m.servers[i] = newServer(&s.Replica, forget)
		m.routes[i].Weight = 1
	}
	if err := m.run(ctx); err != nil {
		return nil, err
	}
	for i := range m.servers {
		m.out.add(&m.servers[i])
	}
	m.out.finish(m.now)
	return m.out, nil
}

// errRemember ends a simulation that keeps no KV blocks, because a sequence has to give its blocks away and will look
// for them again.
var errRemember = errors.New("plan: KV blocks must be kept")

func newServer(r *Replica, forget bool) server {
	l := schedule.Limits{Running: r.MaxRunning, Waiting: r.MaxWaiting, BlockTokens: r.BlockTokens, Context: r.Context,
		Forget: forget}
	return server{r: r, sched: schedule.New(l, kvcache.NewPool(r.Blocks)), pace: schedule.Pacer{Chunk: r.Chunk}}
}

// run handles events in the order of their time: an arrival, or the end of a step.
func (m *simulation) run(ctx context.Context) error {
	open := m.s.Traffic.RPS > 0
	if !open {
		for range min(m.s.Traffic.Concurrency, m.left) {
			if err := m.arrive(m.draw()); err != nil {
				return err
			}
		}
	}
	var next Call
	if open {
		next = m.draw()
	}
	for events := 0; ; events++ {
		if events%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch at, i, stepping := m.ends.least(); {
		case open && (!stepping || next.Arrival <= at):
			m.now = next.Arrival
			if err := m.arrive(next); err != nil {
				return err
			}
			if open = m.left > 0; open {
				next = m.draw()
			}
		case stepping:
			m.now = at
			m.ends.pop()
			if err := m.settle(i); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (m *simulation) draw() Call {
	m.left--
	c := m.source.next()
	if m.s.Traffic.RPS == 0 {
		c.Arrival = m.now
	}
	return c
}

// arrive routes a call to a server and adds it to the server's queue.
func (m *simulation) arrive(c Call) error {
	m.out.arrive(&c, m.now)
	m.more = c.N+1 < m.s.Traffic.Requests
	key := uint64(0)
	if c.Shared > 0 {
		key = uint64(c.Group) + 1
	}
	i := m.policy.Pick(m.routes, key)
	s := &m.servers[i]
	q, err := s.sched.Submit(m.prompt(c), c.Output)
	if errors.Is(err, llm.ErrQueueFull) {
		m.out.Refused++
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTraffic, err)
	}
	m.routes[i].Outstanding++
	m.flights[q] = &flight{Call: c}
	if !s.busy {
		return m.start(i)
	}
	return nil
}

// prompt invents a call's tokens: the first ones are those of its group, the others occur in no other call.
func (m *simulation) prompt(c Call) []int32 {
	m.ids = m.ids[:0]
	for k := range c.Shared {
		m.ids = append(m.ids, -1-int32((uint32(c.Group)*2654435761+uint32(k))&0x7ffffffe))
	}
	for len(m.ids) < c.Prompt {
		m.token = (m.token + 1) & 0x7fffffff
		m.ids = append(m.ids, m.token)
	}
	return m.ids
}

// start plans a server's next step, if it has anything to do.
func (m *simulation) start(i int) error {
	s := &m.servers[i]
	if s.busy = !s.sched.Idle(); !s.busy {
		return nil
	}
	s.plan = s.sched.Plan(s.pace.Budget(s.sched.Decoding()))
	if m.forget && s.sched.Preemptions > 0 {
		return errRemember
	}
	if len(s.plan.Spans) == 0 {
		return errors.New("plan: the scheduler found nothing to compute")
	}
	s.step = Step{}
	for _, sp := range s.plan.Spans {
		s.step.Rows += sp.Logits
		if sp.N == 1 && sp.Start >= sp.Seq.Prompt {
			s.step.Decoding++
			s.step.Context += int64(sp.Start + 1)
			continue
		}
		s.step.Prompt += sp.N
		s.step.PromptContext += int64(sp.N) * int64(2*sp.Start+sp.N+1) / 2
	}
	seconds, bound := s.r.Cost.Step(s.step)
	s.began, s.until = m.now, m.now+seconds
	s.took.add(s, seconds, bound)
	m.ends.push(s.until, i)
	return nil
}

// settle ends a server's step: its sequences have one more token, and some are done.
func (m *simulation) settle(i int) error {
	s := &m.servers[i]
	ended := 0
	for _, sp := range s.plan.Spans {
		done := false
		if sp.Logits > 0 {
			m.token = (m.token + 1) & 0x7fffffff
			done = s.sched.Push(sp.Seq, m.token)
			// A flight is looked up twice, not once per token: a large simulation has hundreds of millions of tokens.
			if len(sp.Seq.Tokens) == sp.Seq.Prompt+1 {
				m.flights[sp.Seq].first = m.now
			}
			if done {
				m.routes[i].Outstanding--
				m.out.take(m.flights[sp.Seq], m.now, s.r.Cost.Request(), m.more)
				delete(m.flights, sp.Seq)
				ended++
			}
		}
		s.sched.Advance(sp)
		if done {
			s.sched.Remove(sp.Seq)
		}
	}
	if s.step.Prompt > 0 || s.step.Decoding > 0 {
		s.pace.Record(s.step.Decoding, s.step.Prompt, time.Duration((m.now-s.began)*1e9))
	}
	if m.s.Traffic.RPS == 0 {
		s.busy = true // new arrivals wait for the start below
		for range min(ended, m.left) {
			if err := m.arrive(m.draw()); err != nil {
				return err
			}
		}
	}
	return m.start(i)
}
