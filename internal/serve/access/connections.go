package access

import (
	"cmp"
	"container/heap"
	"container/list"
	"errors"
	"net/netip"
	"time"
)

// ErrConnections refuses a request when the maximum number of connections have requests under way.
var ErrConnections = errors.New("too many connections have requests under way: try again later")

// errEvicted ends a request that arrived at the moment when its connection was closed.
var errEvicted = errors.New("the connection was closed to make room for a new one")

// connections decides which connections stay open. It is a state machine without a clock, locks or goroutines.
//
// A connection works while an admitted request is under way on it. Otherwise it is idle, whatever it sends: a
// handshake, half a header, a request without a key. When all places are taken, each new connection takes the place of
// an idle one. The peer with the most idle connections loses the one that has been idle the longest, so no address can
// use up the places of the others. Connections that had an admitted request before go last. Fewer connections may work
// than may be open, so there is always an idle one that can be closed, and always a place for a health check.
type connections struct {
	most  int // maximum number of open connections
	work  int // maximum number of these with requests under way
	open  int
	busy  int
	peers map[netip.Prefix]*peer
	ranks [2]ranking // the peers with idle connections: first the unknown ones, then the known ones
}

// connection is one that is open or was.
type connection struct {
	peer     *peer
	requests int  // that were admitted and are under way
	known    bool // a request was admitted on it before
	closed   bool
	since    time.Time     // it has been idle since then
	place    *list.Element // in its peer's queue; nil while it works
	close    func() error  // for the user of the state machine
}

// peer is an address, or the network around it where one host has many addresses.
type peer struct {
	network netip.Prefix
	open    int
	idle    [2]queue // strangers, then known ones
}

// queue holds the idle connections of a peer, the longest idle one first.
type queue struct {
	list.List
	rank int // its peer's index in the ranking; -1: none, since the queue is empty
}

// newConnections bounds the number of open connections to most, which is at least 2. One place in sixteen, and at most
// 64, is kept free of connections that work.
func newConnections(most int) *connections {
	most = max(most, 2)
	s := &connections{most: most, work: most - min(max(most/16, 1), 64), peers: map[netip.Prefix]*peer{}}
	s.ranks[1].class = 1
	return s
}

// add opens a connection. If evicted is not nil, it must be closed to make room.
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

// victim returns the connection that is closed next. When all places are taken there is always one, because fewer may
// work.
func (s *connections) victim() *connection {
	for i := range s.ranks {
		if r := &s.ranks[i]; r.Len() > 0 {
			return front(&r.peers[0].idle[i])
		}
	}
	return nil
}

// enter admits a request on a connection, or says why not.
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

// leave ends an admitted request.
func (s *connections) leave(now time.Time, c *connection) {
	c.requests--
	if c.requests > 0 || c.closed {
		return
	}
	s.busy--
	s.enqueue(now, c)
}

// touch notes that an idle connection has asked for something that needs no key, such as a health check.
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

// ranking is a heap of the peers with idle connections of one class. The first one is the next to lose a connection.
type ranking struct {
	class int
	peers []*peer
}

// update moves a peer to the place that belongs to the length of its queue.
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

// Push implements heap.Interface.
func (r *ranking) Push(x any) {
	p := x.(*peer)
	p.idle[r.class].rank = len(r.peers)
	r.peers = append(r.peers, p)
}

// Pop implements heap.Interface.
func (r *ranking) Pop() any {
	last := len(r.peers) - 1
	p := r.peers[last]
	r.peers[last] = nil
	r.peers = r.peers[:last]
	p.idle[r.class].rank = -1
	return p
}

func front(q *queue) *connection { return q.Front().Value.(*connection) }

// networkOf returns the peer that an address belongs to: in IPv4 the address itself, in IPv6 its network of 64 bits,
// since one host usually has all of it.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // not an IP address: all of these are one peer
	}
	return network
}
