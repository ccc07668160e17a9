package route

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

var (
	// ErrModel is matched when no replica serves a model.
	ErrModel = errors.New("no replica serves the model")
	// ErrNobody is matched when each replica of a model was tried, or is taken out.
	ErrNobody = errors.New("no replica is left")
	// ErrRules is matched by errors about Rules and Members; the message names the field.
	ErrRules = errors.New("invalid routing")
)

// Member is a replica as its configuration has it.
type Member struct {
	Name   string   // unique among the members
	Models []string // that it serves, as clients name them; nil: what Serves says
	Any    bool     // it also takes models that no replica is known to serve
	Weight float64  // how much it gets beside the others; 0: 1
	Share  float64  // 0 to 1: a fixed share of its models' requests, for a canary; 0: what the policy gives
	Drain  bool     // it gets no new requests
}

// Rules say how a pool chooses.
type Rules struct {
	Policy    string        // of Names; empty: least-outstanding
	Slack     int           // of Affinity; 0: DefaultSlack
	SlowStart time.Duration // after which a replica that begins has its whole weight; 0: at once
	Retries   float64       // of requests, how many may be tried again; 0: none
	Checked   bool          // there are health checks: a replica that is added later begins when one has succeeded
}

// Check says whether rules can be kept.
func (r *Rules) Check() error {
	if r.Policy != "" {
		if _, err := Parse(r.Policy); err != nil {
			return err
		}
	}
	switch {
	case r.Slack < 0:
		return fmt.Errorf("%w: slack is %d, must be at least 0", ErrRules, r.Slack)
	case r.SlowStart < 0:
		return fmt.Errorf("%w: slow start is %v, must be at least 0", ErrRules, r.SlowStart)
	case !(r.Retries >= 0):
		return fmt.Errorf("%w: retries are %v, must be at least 0", ErrRules, r.Retries)
	}
	return nil
}

// Ask is what a pool must know of a request.
type Ask struct {
	Model string // as the client named it; empty: the default one
	Key   uint64 // what it shares with others, for Affinity; 0: nothing
	Draw  uint64 // what decides whether a canary gets it; 0: the shares alone
}

// Try is a request at a replica. It ends with Pool.End.
type Try struct {
	Replica *Replica
	probe   bool
}

// Pool is the replicas behind a gateway. It is not safe for concurrent use.
type Pool struct {
	rules    Rules
	replicas []*Replica // members first, in their order, then those that finish what they have
	members  int
	desks    map[string]*desk // by model
	budget   budget
	open     int
	retries  int64 // since the start
	denied   int64 // retries that the budget had no room for
	scratch  []Candidate
	list     []*Replica
}

// desk is what a pool keeps for each model.
type desk struct {
	policy Policy
	split  split
}

// NewPool gives a pool without members. The rules must be such that Check finds nothing.
func NewPool(r Rules) *Pool {
	if r.Policy == "" {
		r.Policy = NameLeast
	}
	return &Pool{rules: r, budget: newBudget(r.Retries), desks: map[string]*desk{}}
}

// Set says which members there are. Those that were there, by their names, keep their state. New ones start slowly,
// unless the pool was empty; those that are missing finish what they have and are then forgotten. Set checks nothing:
// CheckMembers does.
func (p *Pool) Set(now time.Time, members []Member) {
	first := len(p.replicas) == 0
	var list []*Replica
	for _, m := range members {
		if m.Weight == 0 {
			m.Weight = 1
		}
		r := p.find(m.Name)
		switch {
		case r == nil:
			r = &Replica{id: Hash(m.Name)}
			if !first {
				r.since, r.down = now, p.rules.Checked
			}
		case r.draining() && !m.Drain:
			r.since = now
		}
		r.member, r.gone = m, false
		list = append(list, r)
	}
	p.members = len(list)
	for _, r := range p.replicas {
		if !slices.Contains(list, r) && r.outstanding > 0 {
			r.gone = true
			list = append(list, r)
		}
	}
	p.replicas = list
	p.desks = map[string]*desk{} // policies know replicas by their places
}

// CheckMembers says whether Set may have these.
func CheckMembers(members []Member) error {
	for i, m := range members {
		bad := func(field string, v any, want string) error {
			return fmt.Errorf("%w: replica %s: %s is %v, must be %s", ErrRules, m.Name, field, v, want)
		}
		switch {
		case slices.ContainsFunc(members[:i], func(o Member) bool { return o.Name == m.Name }):
			return fmt.Errorf("%w: replica %s is there twice", ErrRules, m.Name)
		case !(m.Weight >= 0 && m.Weight <= maxWeight):
			return bad("weight", m.Weight, fmt.Sprintf("0 to %d", maxWeight))
		case !(m.Share >= 0 && m.Share <= 1):
			return bad("share", m.Share, "0 to 1")
		}
		for _, model := range append([]string{""}, m.Models...) {
			if s := shares(members, model); s > 1+1e-9 {
				return fmt.Errorf("%w: the shares of one model's replicas are %v together, must be at most 1",
					ErrRules, s)
			}
		}
	}
	return nil
}

// shares adds up the shares of a model's replicas, and of those that may serve it as far as is known.
func shares(members []Member, model string) (sum float64) {
	for _, m := range members {
		if m.Models == nil || slices.Contains(m.Models, model) {
			sum += m.Share
		}
	}
	return sum
}

const maxWeight = 1_000_000

// Hash gives what Ask.Key and Ask.Draw can be for a text. It is the same in every process, so that several gateways
// send a conversation to the same replica; never 0.
func Hash(text string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	return max(mix(h.Sum64()), 1)
}

func (p *Pool) find(name string) *Replica {
	for _, r := range p.replicas {
		if r.member.Name == name {
			return r
		}
	}
	return nil
}

// Find gives the replica of a name, nil where there is none.
func (p *Pool) Find(name string) *Replica { return p.find(name) }

// Serves says which models a replica was heard to serve. It counts where its Member names none.
func (p *Pool) Serves(r *Replica, models []string) { r.models = models }

// served are the models of a replica as far as they are known.
func (r *Replica) served() []string {
	if r.member.Models != nil {
		return r.member.Models
	}
	return r.models
}

// Models lists the models that the members serve, whether they may be asked now or not, in the members' order.
func (p *Pool) Models() (models []string) {
	for _, r := range p.replicas[:p.members] {
		for _, m := range r.served() {
			if !slices.Contains(models, m) {
				models = append(models, m)
			}
		}
	}
	return models
}

// Of gives the members that a request for a model may go to: those that are known to serve it; or else those that
// take any model, and those of which nobody knows yet what they serve. Without a name, it is those that take any, or
// else those of the first model that is known. The slice is valid until the next call.
func (p *Pool) Of(model string) []*Replica {
	list, _ := p.of(model)
	return list
}

// of also gives the name of the model, empty where no member is known to serve it.
func (p *Pool) of(model string) ([]*Replica, string) {
	list, members := p.list[:0], p.replicas[:p.members]
	if model == "" && !slices.ContainsFunc(members, func(r *Replica) bool { return r.member.Any }) {
		if models := p.Models(); len(models) > 0 {
			model = models[0]
		}
	}
	for _, r := range members {
		if slices.Contains(r.served(), model) {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		model = ""
		for _, r := range members {
			if r.member.Any || r.served() == nil {
				list = append(list, r)
			}
		}
	}
	p.list = list
	return list, model
}

// Begin picks a replica for a request that some were tried for before. Where none may be used, the one that comes back
// first is asked all the same: it may be back already, and refusing would surely fail. Errors match ErrModel and
// ErrNobody.
func (p *Pool) Begin(now time.Time, a Ask, tried []*Replica) (Try, error) {
	list, model := p.of(a.Model)
	if len(list) == 0 {
		return Try{}, ErrModel
	}
	if len(tried) == 0 {
		p.budget.request(p.open)
	}
	r := p.choose(now, p.desk(model), a, list, tried)
	if r == nil {
		r = p.last(now, list, tried)
	}
	if r == nil {
		return Try{}, ErrNobody
	}
	r.outstanding++
	r.sent++
	p.open++
	t := Try{Replica: r, probe: r.trial}
	if t.probe {
		r.trying++
	}
	return t, nil
}

// choose picks among the replicas that may be used: a canary if it is its turn, or what the policy says of the others,
// or of the canaries where there are no others. It gives nil where none may be used.
func (p *Pool) choose(now time.Time, d *desk, a Ask, list, tried []*Replica) *Replica {
	if len(tried) == 0 {
		if r := d.split.pick(now, list, a.Draw, p.rules.SlowStart); r != nil {
			return r
		}
	}
	for _, canaries := range []bool{false, true} {
		p.scratch = p.scratch[:0]
		for _, r := range list {
			c := Candidate{ID: r.id, Outstanding: r.outstanding}
			if r.usable(now) && (r.member.Share > 0) == canaries && !slices.Contains(tried, r) {
				c.Weight = r.member.Weight * r.ramp(now, p.rules.SlowStart)
			}
			p.scratch = append(p.scratch, c)
		}
		if i := d.policy.Pick(p.scratch, a.Key); i >= 0 {
			return list[i]
		}
	}
	return nil
}

// last picks the replica that comes back first among those that may not be used; nil: each was tried, or is draining.
func (p *Pool) last(now time.Time, list, tried []*Replica) (best *Replica) {
	for _, r := range list {
		if r.draining() || slices.Contains(tried, r) {
			continue
		}
		if best == nil || !r.down && best.down || r.down == best.down && sooner(now, r, best) {
			best = r
		}
	}
	return best
}

// sooner says that r comes back before other, or is less busy if both come at the same time.
func sooner(now time.Time, r, other *Replica) bool {
	a, b := later(r.until, now), later(other.until, now)
	return a.Before(b) || a.Equal(b) && r.outstanding < other.outstanding
}

// desk gives what is kept for a model. Names that no replica is known to serve have one together, so that clients
// cannot make them many.
func (p *Pool) desk(model string) *desk {
	d := p.desks[model]
	if d == nil {
		d = &desk{}
		if d.policy, _ = Parse(p.rules.Policy); d.policy == nil {
			d.policy = &Least{}
		}
		if a, ok := d.policy.(*Affinity); ok {
			a.Slack = p.rules.Slack
		}
		p.desks[model] = d
	}
	return d
}

// End records how a try ended. pause is how long a busy replica asked to be left alone.
func (p *Pool) End(now time.Time, t Try, o Outcome, pause time.Duration) {
	r := t.Replica
	r.outstanding--
	p.open--
	if t.probe {
		r.trying--
	}
	r.note(now, o, t.probe, pause)
	if r.gone && r.outstanding == 0 {
		p.replicas = slices.DeleteFunc(p.replicas, func(o *Replica) bool { return o == r })
	}
}

// Again says whether a request may be tried again elsewhere, and takes it from the budget if it may. free is for a
// request that cannot have reached a server: trying it again costs nobody anything. usable asks for a replica that may
// be used now: a refusal is better passed on than exchanged for a worse one.
func (p *Pool) Again(now time.Time, a Ask, tried []*Replica, free, usable bool) bool {
	others := slices.ContainsFunc(p.Of(a.Model), func(r *Replica) bool {
		return !slices.Contains(tried, r) && !r.draining() && (!usable || r.usable(now))
	})
	if !others || p.rules.Retries <= 0 {
		return false
	}
	if !free && !p.budget.retry() {
		p.denied++
		return false
	}
	p.retries++
	return true
}

// Check records a health check.
func (p *Pool) Check(now time.Time, r *Replica, h Health) { r.check(now, h) }

// Status counts the requests under way, and says for how many models there is no replica that may be used. A pool
// that knows no model counts as one.
func (p *Pool) Status(now time.Time) (open, models, missing int) {
	names := p.Models()
	if len(names) == 0 {
		names = []string{""}
	}
	for _, m := range names {
		if !slices.ContainsFunc(p.Of(m), func(r *Replica) bool {
			s := r.state(now, 0)
			return s == Up || s == Trial
		}) {
			missing++
		}
	}
	return p.open, len(names), missing
}

// Info is a replica's state.
type Info struct {
	Name        string
	State       State
	Usable      bool    // it may get a request now
	Outstanding int     // requests
	Weight      float64 // now: less than its own while it starts, 0 while it gets nothing
	Sent        int64   // tries, since it was added
	Failed      int64   // of these
}

// Replicas gives the state of all replicas, the members first.
func (p *Pool) Replicas(now time.Time) []Info {
	list := make([]Info, 0, len(p.replicas))
	for _, r := range p.replicas {
		list = append(list, p.Info(now, r))
	}
	return list
}

// Info gives the state of a replica.
func (p *Pool) Info(now time.Time, r *Replica) Info {
	i := Info{Name: r.member.Name, State: r.state(now, p.rules.SlowStart), Usable: r.usable(now),
		Outstanding: r.outstanding, Sent: r.sent, Failed: r.failed}
	if i.Usable {
		i.Weight = r.member.Weight * r.ramp(now, p.rules.SlowStart)
	}
	return i
}

// Retries counts the requests that were tried again, and those that the budget had no room for.
func (p *Pool) Retries() (made, denied int64) { return p.retries, p.denied }
