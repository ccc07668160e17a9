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
	// ErrNobody is matched when every replica of a model was tried or is out of use.
	ErrNobody = errors.New("no replica is left")
	// ErrRules is matched by errors about Rules and Members; the message names the field.
	ErrRules = errors.New("invalid routing")
)

// Member is a replica as the configuration describes it.
type Member struct {
	Name   string   // unique among the members
	Models []string // that it serves, by the names that clients use; nil: those of Serves
	Any    bool     // it also takes models that no replica is known to serve
	Weight float64  // its share of requests relative to the weights of the others; 0: 1
	Share  float64  // 0 to 1: a fixed share of its models' requests, for a canary; 0: the policy decides
	Drain  bool     // it gets no new requests
}

// Rules say how a pool chooses a replica.
type Rules struct {
	Policy    string        // one of Names; empty: least-outstanding
	Slack     int           // of Affinity; 0: DefaultSlack
	SlowStart time.Duration // the time in which a replica reaches its full weight; 0: at once
	Retries   float64       // how many requests may be tried again, as a share of all; 0: none
	Checked   bool          // there are health checks: a replica that is added later is used after its first success
}

// Check says whether the rules are valid.
func (r *Rules) Check() error {
	if r.Policy != "" {
		if _, err := Parse(r.Policy); err != nil {
			return err
		}
	}
	switch {
	case r.Slack < 0:
		return fmt.Errorf("%w: slack must be at least 0, got %d", ErrRules, r.Slack)
	case r.SlowStart < 0:
		return fmt.Errorf("%w: slow start must be at least 0, got %v", ErrRules, r.SlowStart)
	case !(r.Retries >= 0):
		return fmt.Errorf("%w: retries must be at least 0, got %v", ErrRules, r.Retries)
	}
	return nil
}

// Ask is what a pool needs to know about a request.
type Ask struct {
	Model string // as the client named it; empty: the default one
	Key   uint64 // what it shares with other requests, for Affinity; 0: nothing
	Draw  uint64 // decides whether a canary gets it; 0: only the shares decide
}

// Try is a request at a replica. It ends with Pool.End.
type Try struct {
	Replica *Replica
	probe   bool
}

// Pool is the replicas behind a gateway. It is not safe for concurrent use.
type Pool struct {
	rules    Rules
	replicas []*Replica // members first, in their order, then removed ones that finish their requests
	members  int
	desks    map[string]*desk // by model
	budget   budget
	open     int
	retries  int64 // since the start
	denied   int64 // retries that the budget did not allow
	scratch  []Candidate
	list     []*Replica
}

// desk is the state that a pool keeps for each model.
type desk struct {
	policy Policy
	split  split
}

// NewPool returns a pool without members. Check must accept the rules.
func NewPool(r Rules) *Pool {
	if r.Policy == "" {
		r.Policy = NameLeast
	}
	return &Pool{rules: r, budget: newBudget(r.Retries), desks: map[string]*desk{}}
}

// Set replaces the members. A member with the name of an old one keeps its state. New ones start slowly, unless the
// pool was empty. Removed ones finish their requests and are then forgotten. Set does not check the members:
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
	p.desks = map[string]*desk{} // policies identify replicas by their index
}

// CheckMembers says whether Set may have these members.
func CheckMembers(members []Member) error {
	for i, m := range members {
		bad := func(field string, v any, want string) error {
			return fmt.Errorf("%w: replica %s: %s must be %s, got %v", ErrRules, m.Name, field, want, v)
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
				return fmt.Errorf("%w: the shares of one model's replicas must be at most 1 together, got %v",
					ErrRules, s)
			}
		}
	}
	return nil
}

// shares adds up the shares of a model's replicas, including those that may serve it as far as is known.
func shares(members []Member, model string) (sum float64) {
	for _, m := range members {
		if m.Models == nil || slices.Contains(m.Models, model) {
			sum += m.Share
		}
	}
	return sum
}

const maxWeight = 1_000_000

// Hash returns a value for Ask.Key or Ask.Draw from a text. It is the same in every process, so several gateways send
// a conversation to the same replica. It is never 0.
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

// Find returns the replica with a name, or nil.
func (p *Pool) Find(name string) *Replica { return p.find(name) }

// Serves sets the models that a replica was seen to serve. They count if its Member names none.
func (p *Pool) Serves(r *Replica, models []string) { r.models = models }

// served returns the models of a replica, as far as they are known.
func (r *Replica) served() []string {
	if r.member.Models != nil {
		return r.member.Models
	}
	return r.models
}

// Models lists the models that the members serve, in the members' order, whether a member may be used now or not.
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

// Of returns the members that may get a request for a model. These are the ones known to serve it; if there are none,
// the ones that take any model and the ones whose models are not known yet. Without a name, these are the ones that
// take any model, or else those of the first known model. The slice is valid until the next call.
func (p *Pool) Of(model string) []*Replica {
	list, _ := p.of(model)
	return list
}

// of also returns the name of the model; it is empty if no member is known to serve it.
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

// Begin picks a replica for a request that was already sent to those in tried. If no replica may be used, it takes the
// one that comes back first: that one may be back already, and a refusal would certainly be a failure. Errors match
// ErrModel and ErrNobody.
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

// choose picks among the replicas that may be used: a canary if it is its turn, otherwise the policy's choice among
// the others, and if there are no others, among the canaries. It returns nil if none may be used.
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

// last picks the replica that comes back first among those that may not be used now. It is nil if each was tried or is
// draining.
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

// sooner says that r comes back before other, or at the same time and is less busy.
func sooner(now time.Time, r, other *Replica) bool {
	a, b := later(r.until, now), later(other.until, now)
	return a.Before(b) || a.Equal(b) && r.outstanding < other.outstanding
}

// desk returns the state for a model. All names that no replica is known to serve share one, so clients cannot create
// many.
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

// End records how a try ended. pause is the time for which a busy replica asked for no requests.
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

// Again says whether a request may be tried at another replica, and takes the retry from the budget. free is set for a
// request that cannot have reached a server: trying it again costs nothing. usable requires a replica that may be used
// now: passing on a refusal is better than getting a worse one elsewhere.
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

// Status counts the requests under way, the models, and the models without a replica that may be used. A pool that
// knows no model counts as one model.
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

// Info describes a replica.
type Info struct {
	Name        string
	State       State
	Usable      bool    // it may get a request now
	Outstanding int     // requests
	Weight      float64 // at present: less than its own during a slow start, 0 while it gets nothing
	Sent        int64   // tries, since it was added
	Failed      int64   // of these
}

// Replicas describes all replicas, the members first.
func (p *Pool) Replicas(now time.Time) []Info {
	list := make([]Info, 0, len(p.replicas))
	for _, r := range p.replicas {
		list = append(list, p.Info(now, r))
	}
	return list
}

// Info describes a replica.
func (p *Pool) Info(now time.Time, r *Replica) Info {
	i := Info{Name: r.member.Name, State: r.state(now, p.rules.SlowStart), Usable: r.usable(now),
		Outstanding: r.outstanding, Sent: r.sent, Failed: r.failed}
	if i.Usable {
		i.Weight = r.member.Weight * r.ramp(now, p.rules.SlowStart)
	}
	return i
}

// Retries counts the requests that were tried again, and the retries that the budget did not allow.
func (p *Pool) Retries() (made, denied int64) { return p.retries, p.denied }
