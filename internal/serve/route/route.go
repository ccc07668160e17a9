package route

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrUnknown is matched when no policy has the name.
var ErrUnknown = errors.New("unknown routing policy")

// Candidate is what a policy knows of a replica.
type Candidate struct {
	ID          uint64  // identifies it for Affinity; 0: its index does
	Outstanding int     // requests that were sent to it and have not ended
	Weight      float64 // its share of requests relative to the weights of the others; 0: it gets none
}

// Policy picks a replica. It is not safe for concurrent use.
type Policy interface {
	// Pick returns the index of the replica for a request, or −1 if no replica has a weight above 0. key identifies
	// what the request shares with others, such as the beginning of a conversation; 0: nothing.
	Pick(replicas []Candidate, key uint64) int
}

// The names of the policies.
const (
	NameRoundRobin = "round-robin"
	NameLeast      = "least-outstanding"
	NameAffinity   = "prefix-affinity"
)

// Names lists the policies that Parse knows.
var Names = []string{NameLeast, NameRoundRobin, NameAffinity}

// Parse returns a new policy by its name. The error matches ErrUnknown and lists the names.
func Parse(name string) (Policy, error) {
	switch name {
	case NameRoundRobin:
		return &RoundRobin{}, nil
	case NameLeast:
		return &Least{}, nil
	case NameAffinity:
		return &Affinity{}, nil
	}
	return nil, fmt.Errorf("%w %q; known policies: %s", ErrUnknown, name, strings.Join(Names, ", "))
}

// RoundRobin gives each replica its turn, in proportion to the weights (smooth weighted round robin: a heavier replica
// does not get its share in a row).
type RoundRobin struct{ credit []float64 }

// Pick implements Policy. It ignores how many requests are outstanding.
func (p *RoundRobin) Pick(replicas []Candidate, _ uint64) int {
	if len(p.credit) != len(replicas) {
		p.credit = make([]float64, len(replicas))
	}
	best, total := -1, 0.0
	for i, r := range replicas {
		if r.Weight <= 0 {
			continue
		}
		total += r.Weight
		p.credit[i] += r.Weight
		if best < 0 || p.credit[i] > p.credit[best] {
			best = i
		}
	}
	if best >= 0 {
		p.credit[best] -= total
	}
	return best
}

// Least picks the replica with the fewest outstanding requests relative to its weight. Among equals it goes round, so
// that a server which answers at once does not get everything.
type Least struct{ turn int }

// Pick implements Policy.
func (p *Least) Pick(replicas []Candidate, _ uint64) int {
	best, least := -1, math.Inf(1)
	for k := range replicas {
		i := (p.turn + k) % len(replicas)
		if r := replicas[i]; r.Weight > 0 {
			if load := r.load(); load < least {
				best, least = i, load
			}
		}
	}
	if best >= 0 {
		p.turn = (best + 1) % len(replicas)
	}
	return best
}

// load is the number of requests that a replica would have with one more, relative to its weight.
func (r Candidate) load() float64 { return float64(r.Outstanding+1) / r.Weight }

// Affinity sends all requests with one key to one replica, whose prefix cache then holds what they share. It does so
// as long as that replica is not busier than the least busy one by more than a bound. Above the bound the key's second
// replica gets the request, and so on: a key with too many requests for one replica stays on as few replicas as can
// serve it (consistent hashing with bounded loads, Mirrokni et al. 2018). A request without a key goes where Least
// would send it.
//
// The order of a key's replicas comes from rendezvous hashing: when a replica is added or removed, only its own keys
// move.
type Affinity struct {
	// Slack is how many more outstanding requests than the least busy replica a replica with the largest weight may
	// have. A replica of half that weight may have half as many more. 0: DefaultSlack.
	Slack int
	least Least
}

// DefaultSlack is the default bound of Affinity. Computing a prefix again costs about as much as waiting for a few
// requests, and a conversation that everybody continues must not give one replica all the work.
const DefaultSlack = 4

// Pick implements Policy.
func (p *Affinity) Pick(replicas []Candidate, key uint64) int {
	best := p.least.Pick(replicas, key)
	if key == 0 || best < 0 {
		return best
	}
	heaviest, even := 0.0, true
	for _, r := range replicas {
		if r.Weight > 0 {
			heaviest = max(heaviest, r.Weight)
			even = even && r.Weight == replicas[best].Weight
		}
	}
	slack := p.Slack
	if slack == 0 {
		slack = DefaultSlack
	}
	bound := replicas[best].load() + float64(slack)/heaviest
	home, highest := best, math.Inf(-1)
	for i, r := range replicas {
		if r.Weight <= 0 || r.load() > bound {
			continue
		}
		id := r.ID
		if id == 0 {
			id = uint64(i) + 1
		}
		u := (float64(mix(key^mix(id))>>11) + 0.5) / (1 << 53)
		if !even { // −w/ln(u) is largest for a replica with a probability in proportion to its weight w
			u = -r.Weight / math.Log(u)
		}
		if u > highest {
			home, highest = i, u
		}
	}
	return home
}

// mix is the finaliser of SplitMix64 (Steele et al. 2014): every bit of x affects every bit of the result.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
