package access

import (
	"cmp"
	"container/heap"
	"container/list"
	"errors"
	"net/netip"
	"time"
)

// ErrConnections refuses a request where as many connections as may work have requests under way.
var ErrConnections = errors.New("too many connections have requests under way: try again later")

// errEvicted ends a request on a connection that was closed at the moment at which it arrived.
var errEvicted = errors.New("the connection was closed to make room for a new one")

// connections decides which connections stay open. It is a state machine without a clock, locks or goroutines.
//
// A connection works while a request that was let in is under way on it; otherwise it is idle, whatever it sends: a
// handshake, half a header, a request without a key. At the bound, each new connection takes the place of an idle one.
// That is one of the peer which has the most idle ones, so that no address can use up the places of the others, and
// of these the one that has been idle the longest. Connections on which a request was let in before go last. Fewer
// connections may work than may be open, so there is always an idle one that can go, and always a place for a health
// check.
type connections struct {
	most  int // open together
	work  int // of these, with requests under way
	open  int
	busy  int
	peers map[netip.Prefix]*peer
	ranks [2]ranking // the peers with idle connections: strangers', then known ones'
}

// connection is one that is open or was.
type connection struct {
	peer     *peer
	requests int  // that were let in and are under way
	known    bool // one was let in before
	closed   bool
	since    time.Time     // idle for so long
	place    *list.Element // in its peer's queue; nil while it works
	close    func() error  // for whoever uses the state machine
}

// peer is whoever has one address, or one network where addresses cost nothing.
type peer struct {
	network netip.Prefix
	open    int
	idle    [2]queue // strangers, then known ones
}

// queue holds the idle connections of a peer, the longest idle first.
type queue struct {
	list.List
	rank int // its peer's index in the ranking; -1: none, for it is empty
}

// newConnections bounds the connections that are open together to most, which is at least 2. One in sixteen of them,
// at most 64, is kept from those that work.
func newConnections(most int) *connections {
	most = max(most, 2)
	s := &connections{most: most, work: most - min(max(most/16, 1), 64), peers: map[netip.Prefix]*peer{}}
	s.ranks[1].class = 1
	return s
}

// add opens a connection. evicted, if it is not nil, has to go for it.
func (s *connections) add(now time.Time, from netip.Addr) (c, evicted *connection) {
	if s.open >= s.most {
		evicted = s.victim()
		s.remove(evicted)
	}
	network := networkOf(from)
	p := s.peers[network]
	if p == nil {
		p = &peer{network: network}
		p.idle[0].rank, p.idle[1].rank = -1, -1
		s.peers[network] = p
	}
	c = &connection{peer: p}
	p.open++
	s.open++
	s.enqueue(now, c)
	return c, evicted
}

// victim is the connection that goes next. Where all places are taken there is one, because fewer may work.
func (s *connections) victim() *connection {
	for i := range s.ranks {
		if r := &s.ranks[i]; r.Len() > 0 {
			return front(&r.peers[0].idle[i])
		}
	}
	return nil
}

// enter lets a request in on a connection, or says why not.
func (s *connections) enter(c *connection) error {
	switch {
	case c.closed:
		return errEvicted
	case c.requests == 0 && s.busy >= s.work:
		return ErrConnections
	case c.requests == 0:
		s.busy++
		s.dequeue(c)
	}
	c.requests++
	c.known = true
	return nil
}

// leave ends a request that was let in.
func (s *connections) leave(now time.Time, c *connection) {
	c.requests--
	if c.requests > 0 || c.closed {
		return
	}
	s.busy--
	s.enqueue(now, c)
}

// touch notes that an idle connection has asked for what everybody may have, such as a health check.
func (s *connections) touch(now time.Time, c *connection) {
	if !c.closed && c.place != nil {
		s.dequeue(c)
		s.enqueue(now, c)
	}
}

// remove closes a connection.
func (s *connections) remove(c *connection) {
	if c.closed {
		return
	}
	c.closed = true
	if c.place != nil {
		s.dequeue(c)
	} else {
		s.busy--
	}
	s.open--
	if c.peer.open--; c.peer.open == 0 {
		delete(s.peers, c.peer.network)
	}
}

func (s *connections) enqueue(now time.Time, c *connection) {
	c.since = now
	class := c.class()
	q := &c.peer.idle[class]
	c.place = q.PushBack(c)
	s.ranks[class].update(c.peer)
}

func (s *connections) dequeue(c *connection) {
	class := c.class()
	c.peer.idle[class].Remove(c.place)
	c.place = nil
	s.ranks[class].update(c.peer)
}

func (c *connection) class() int {
	if c.known {
		return 1
	}
	return 0
}

// ranking has the peers with idle connections of one class; first whoever is to lose one next. It is a heap.
type ranking struct {
	class int
	peers []*peer
}

// update moves a peer to the place that its queue gives it.
func (r *ranking) update(p *peer) {
	q := &p.idle[r.class]
	switch {
	case q.rank < 0 && q.List.Len() > 0:
		heap.Push(r, p)
	case q.rank >= 0 && q.List.Len() == 0:
		heap.Remove(r, q.rank)
	case q.rank >= 0:
		heap.Fix(r, q.rank)
	}
}

func (r *ranking) Len() int { return len(r.peers) }

func (r *ranking) Less(i, j int) bool {
	a, b := &r.peers[i].idle[r.class], &r.peers[j].idle[r.class]
	return cmp.Or(cmp.Compare(b.List.Len(), a.List.Len()), front(a).since.Compare(front(b).since)) < 0
}

func (r *ranking) Swap(i, j int) {
	r.peers[i], r.peers[j] = r.peers[j], r.peers[i]
	r.peers[i].idle[r.class].rank, r.peers[j].idle[r.class].rank = i, j
}

// Push is heap.Interface's.
func (r *ranking) Push(x any) {
	p := x.(*peer)
	p.idle[r.class].rank = len(r.peers)
	r.peers = append(r.peers, p)
}

// Pop is heap.Interface's.
func (r *ranking) Pop() any {
	last := len(r.peers) - 1
	p := r.peers[last]
	r.peers[last] = nil
	r.peers = r.peers[:last]
	p.idle[r.class].rank = -1
	return p
}

func front(q *queue) *connection { return q.Front().Value.(*connection) }

// networkOf gives whom an address stands for: itself, and in IPv6 its network of 64 bits, which one host has whole.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no IP address: all of them are one peer
	}
	return network
}
