package access

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

// TestConnectionsByTrace follows connections step by step. "a1 from 10.0.0.1" opens one; "work a1" and "done a1" are
// an admitted request and its end, "ask a1" is a request that needs no key, "close a1" is the end. "→ a1" means that
// a1 is closed for a new one.
func TestConnectionsByTrace(t *testing.T) {
	for _, test := range []struct {
		name  string
		most  int
		trace string
	}{
		{"below the bound all stay", 3,
			"a1 from 10.0.0.1; a2 from 10.0.0.1; a3 from 10.0.0.1"},
		{"the longest idle goes", 2,
			"a1 from 10.0.0.1; a2 from 10.0.0.1; a3 from 10.0.0.1 → a1; a4 from 10.0.0.1 → a2"},
		{"one that works stays", 2,
			"a1 from 10.0.0.1; work a1; a2 from 10.0.0.1; a3 from 10.0.0.1 → a2"},
		{"its idle time begins when it has worked", 3,
			"a1 from 10.0.0.1; work a1; a2 from 10.0.0.1; work a2; done a2; done a1; " +
				"a3 from 10.0.0.1; work a3; a4 from 10.0.0.1 → a2; a5 from 10.0.0.1 → a4"},
		{"a request for everybody counts", 2,
			"a1 from 10.0.0.1; a2 from 10.0.0.1; ask a1; a3 from 10.0.0.1 → a2"},
		{"strangers go before those let in once", 2,
			"a1 from 10.0.0.1; work a1; done a1; a2 from 10.0.0.1; a3 from 10.0.0.1 → a2; " +
				"a4 from 10.0.0.2 → a3"},
		{"whoever has most loses first", 4,
			"b1 from 10.0.0.2; a1 from 10.0.0.1; a2 from 10.0.0.1; a3 from 10.0.0.1; " +
				"a4 from 10.0.0.1 → a1; c1 from 10.0.0.3 → a2; a5 from 10.0.0.1 → a3; " +
				"c2 from 10.0.0.3 → a4; d1 from 10.0.0.4 → c1"},
		{"a network of IPv6 is one", 3,
			"b1 from 10.0.0.2; a1 from 2001:db8::1; a2 from 2001:db8::ffff:0:0:2; " +
				"c1 from 10.0.0.3 → a1"},
		{"IPv4 in IPv6 is IPv4", 3,
			"b1 from ::ffff:10.0.0.2; a1 from ::ffff:10.0.0.1; a2 from 10.0.0.1; " +
				"c1 from 10.0.0.3 → a1"},
		{"not all may work", 3,
			"a1 from 10.0.0.1; work a1; a2 from 10.0.0.1; work a2; a3 from 10.0.0.1; " +
				"work a3 refused; a4 from 10.0.0.1 → a3; close a1; work a4"},
		{"two requests on one connection", 2,
			"a1 from 10.0.0.1; work a1; work a1; done a1; a2 from 10.0.0.1; " +
				"a3 from 10.0.0.1 → a2; work a3 refused; done a1; work a3"},
		{"one that went cannot work", 2,
			"a1 from 10.0.0.1; a2 from 10.0.0.1; a3 from 10.0.0.1 → a1; work a1 gone; " +
				"close a1"},
		{"closed while it works", 2,
			"a1 from 10.0.0.1; work a1; close a1; done a1; a2 from 10.0.0.1; work a2"},
		{"the smallest bound is two", 1,
			"a1 from 10.0.0.1; work a1; a2 from 10.0.0.1; a3 from 10.0.0.1 → a2"},
		{"what is not an address is a peer", 2,
			"a1 from ?; b1 from 10.0.0.2; a2 from ? → a1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, now := newConnections(test.most), time.Unix(0, 0)
			byName, names := map[string]*connection{}, map[*connection]string{}
			for step := range strings.SplitSeq(test.trace, "; ") {
				now = now.Add(time.Second)
				w := strings.Fields(step)
				want, got := "", ""
				switch w[0] {
				case "work":
					want = strings.Join(w[2:], " ")
					got = map[error]string{ErrConnections: "refused", errEvicted: "gone"}[s.enter(byName[w[1]])]
				case "done":
					s.leave(now, byName[w[1]])
				case "ask":
					s.touch(now, byName[w[1]])
				case "close":
					s.remove(byName[w[1]])
				default: // NAME from ADDRESS
					want = strings.Join(w[3:], " ")
					addr, _ := netip.ParseAddr(w[2])
					c, out := s.add(now, addr)
					byName[w[0]], names[c] = c, w[0]
					if out != nil {
						got = "→ " + names[out]
					}
				}
				if got != want {
					t.Fatalf("%s: got %q", step, got)
				}
				checkConnections(t, s)
			}
		})
	}
}

// checkConnections checks the invariants after each step.
func checkConnections(t interface{ Fatalf(string, ...any) }, s *connections) {
	open, idle := 0, 0
	for network, p := range s.peers {
		open += p.open
		for class := range p.idle {
			q := &p.idle[class]
			idle += q.List.Len()
			if in := q.rank >= 0; in != (q.List.Len() > 0) || in && s.ranks[class].peers[q.rank] != p {
				t.Fatalf("%v: %d idle connections of class %d have the rank %d", network, q.List.Len(), class, q.rank)
			}
		}
		if p.open == 0 || p.network != network {
			t.Fatalf("%v: kept with %d connections", network, p.open)
		}
	}
	if open != s.open || open-idle != s.busy || s.open > s.most || s.busy > s.work || s.work >= s.most {
		t.Fatalf("%d open of %d (counted %d), %d work of %d (counted %d)", s.open, s.most, open, s.busy, s.work,
			open-idle)
	}
}

// TestConnections: for any events in any order, the bounds are kept, a connection that works is never closed, a new
// one is always accepted, and the one that is closed is the one that a search of all would find.
func TestConnections(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		s, now := newConnections(rapid.IntRange(1, 20).Draw(t, "most")), time.Unix(0, 0)
		var all []*connection
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				now = now.Add(time.Second)
				want := worst(all, s)
				addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 4).Draw(t, "peer"))})
				c, out := s.add(now, addr)
				if c.closed || out != want {
					t.Fatalf("%v goes, want %v", out, want)
				}
				all = append(all, c)
			},
			"request": func(t *rapid.T) {
				c := drawConnection(t, all)
				before := s.busy
				if err := s.enter(c); errors.Is(err, errEvicted) != c.closed ||
					errors.Is(err, ErrConnections) && (before < s.work || c.requests > 0) {
					t.Fatalf("%v: %v", c, err)
				}
			},
			"end": func(t *rapid.T) {
				now = now.Add(time.Second)
				if c := drawConnection(t, all); c.requests > 0 {
					s.leave(now, c)
				}
			},
			"touch": func(t *rapid.T) {
				now = now.Add(time.Second)
				s.touch(now, drawConnection(t, all))
			},
			"close": func(t *rapid.T) { s.remove(drawConnection(t, all)) },
			"": func(t *rapid.T) {
				checkConnections(t, s)
			},
		})
	})
}

func drawConnection(t *rapid.T, all []*connection) *connection {
	if len(all) == 0 {
		return &connection{closed: true}
	}
	return rapid.SampledFrom(all).Draw(t, "connection")
}

// worst finds the connection that must be closed for a new one by looking at all of them.
func worst(all []*connection, s *connections) (found *connection) {
	if s.open < s.most {
		return nil
	}
	idle := func(c *connection) (n int) {
		for _, o := range all {
			if !o.closed && o.requests == 0 && o.peer == c.peer && o.known == c.known {
				n++
			}
		}
		return n
	}
	for _, c := range all {
		switch {
		case c.closed || c.requests > 0:
		case found == nil, found.known && !c.known:
			found = c
		case found.known == c.known && (idle(c) > idle(found) ||
			idle(c) == idle(found) && c.since.Before(found.since)):
			found = c
		}
	}
	return found
}

// BenchmarkConnections measures a new connection when all places are taken by as many peers.
func BenchmarkConnections(b *testing.B) {
	for _, n := range []int{2048, 1 << 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, now := newConnections(n), time.Unix(0, 0)
			addr := func(i int) netip.Addr {
				return netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
			}
			for i := range n {
				s.add(now, addr(i))
			}
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				s.add(now, addr(n+i))
			}
		})
	}
}
