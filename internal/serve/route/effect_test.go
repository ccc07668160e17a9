package route_test

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// These tests run a pool in virtual time, with servers that compute one request after another in each of their slots.
// They show the effect of each policy and rule: the same traffic with and without it.

// backend is a simulated server.
type backend struct {
	slots int
	cost  func(now float64, hit bool) float64 // seconds that a request takes; hit: its beginning is in the cache
	free  []float64                           // when each slot is free again
	cache []uint64                            // conversations whose beginning is in the cache, the latest last
	fails func(now float64) bool              // says whether it answers with an error at once; nil: never
}

// cached says whether a conversation's beginning is in the cache, and keeps it there: the cache has room for 20.
func (b *backend) cached(key uint64) bool {
	i := slices.Index(b.cache, key)
	if i >= 0 {
		b.cache = slices.Delete(b.cache, i, i+1)
	}
	b.cache = append(b.cache, key)
	b.cache = b.cache[max(0, len(b.cache)-20):]
	return i >= 0
}

// finish returns the time at which a request that arrives now is answered.
func (b *backend) finish(now float64, hit bool) float64 {
	if b.free == nil {
		b.free = make([]float64, b.slots)
	}
	k := 0
	for i := range b.free {
		if b.free[i] < b.free[k] {
			k = i
		}
	}
	b.free[k] = max(now, b.free[k]) + b.cost(now, hit)
	return b.free[k]
}

// steady returns a server whose requests all take the same time.
func steady(seconds float64) *backend {
	return &backend{slots: 4, cost: func(float64, bool) float64 { return seconds }}
}

// simulation is traffic for backends.
type simulation struct {
	rules    route.Rules
	backends map[string]*backend
	rps      float64
	seconds  float64
	key      func(r *rand.Rand) uint64
	events   map[float64]func(p *route.Pool, now time.Time) // other events, by their time
}

// outcome is what the clients observed.
type outcome struct {
	latency []float64 // sorted, of answered requests
	failed  int
	sent    map[string]int // tries by backend
	most    map[string]int // highest number of outstanding requests by backend
	hits    int
}

func (o *outcome) quantile(q float64) float64 { return o.latency[int(q*float64(len(o.latency)-1))] }

func (o *outcome) mean() (m float64) {
	for _, l := range o.latency {
		m += l / float64(len(o.latency))
	}
	return m
}

// event is an action at a time.
type event struct {
	at float64
	do func(now float64)
}

type queue []event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

func (s *simulation) run() *outcome {
	var names []string
	for name := range s.backends {
		names = append(names, name)
	}
	slices.Sort(names)
	p := route.NewPool(s.rules)
	p.Set(t0, named(names...))
	rng := rand.New(rand.NewPCG(1, 7))
	o := &outcome{sent: map[string]int{}, most: map[string]int{}}
	q := &queue{}
	for when, do := range s.events {
		heap.Push(q, event{when, func(now float64) { do(p, at(now)) }})
	}
	var try func(now, arrived float64, a route.Ask, tried []*route.Replica)
	try = func(now, arrived float64, a route.Ask, tried []*route.Replica) {
		t, err := p.Begin(at(now), a, tried)
		if err != nil {
			o.failed++
			return
		}
		name := t.Replica.Name()
		b := s.backends[name]
		o.sent[name]++
		o.most[name] = max(o.most[name], p.Info(at(now), t.Replica).Outstanding)
		if b.fails != nil && b.fails(now) {
			p.End(at(now), t, route.Broken, 0)
			tried = append(tried, t.Replica)
			if len(tried) < 3 && p.Again(at(now), a, tried, false, false) {
				try(now, arrived, a, tried)
			} else {
				o.failed++
			}
			return
		}
		hit := a.Key != 0 && b.cached(a.Key)
		if hit {
			o.hits++
		}
		heap.Push(q, event{b.finish(now, hit), func(now float64) {
			p.End(at(now), t, route.Served, 0)
			o.latency = append(o.latency, now-arrived)
		}})
	}
	for now := 0.0; now < s.seconds; now += rng.ExpFloat64() / s.rps {
		a := route.Ask{}
		if s.key != nil {
			a.Key = s.key(rng)
		}
		heap.Push(q, event{now, func(now float64) { try(now, now, a, nil) }})
	}
	for q.Len() > 0 {
		e := heap.Pop(q).(event)
		e.do(e.at)
	}
	slices.Sort(o.latency)
	return o
}

// TestLeastOutstandingSparesASlowReplica: if one of four replicas is three times as slow, round robin overloads it,
// and the slowest tenth of the requests with it.
func TestLeastOutstandingSparesASlowReplica(t *testing.T) {
	run := func(policy string) *outcome {
		s := simulation{rules: route.Rules{Policy: policy}, rps: 30, seconds: 300, backends: map[string]*backend{
			"a": steady(0.3), "b": steady(0.3), "c": steady(0.3), "slow": steady(0.9)}}
		return s.run()
	}
	turns, least := run(route.NameRoundRobin), run(route.NameLeast)
	t.Logf("99th percentile: %.2f s by turns, %.2f s by least outstanding", turns.quantile(0.99), least.quantile(0.99))
	if least.quantile(0.99) > turns.quantile(0.99)/3 || least.sent["slow"] > turns.sent["slow"]*2/3 {
		t.Errorf("%v against %v", least.sent, turns.sent)
	}
}

// talk returns a server for which the beginning of a conversation is nine tenths of a request, unless it is cached.
func talk() *backend {
	return &backend{slots: 4, cost: func(_ float64, hit bool) float64 {
		if hit {
			return 0.05
		}
		return 0.5
	}}
}

// TestAffinityFindsTheCache: with eighty conversations and room for twenty on each of eight replicas, a conversation
// goes where its beginning is. One that everybody continues does not give one replica all the work.
func TestAffinityFindsTheCache(t *testing.T) {
	run := func(policy string, key func(*rand.Rand) uint64) *outcome {
		s := simulation{rules: route.Rules{Policy: policy}, rps: 40, seconds: 200, key: key,
			backends: map[string]*backend{}}
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			s.backends[name] = talk()
		}
		return s.run()
	}
	many := func(r *rand.Rand) uint64 { return uint64(r.IntN(80)) + 1 }
	least, affine := run(route.NameLeast, many), run(route.NameAffinity, many)
	t.Logf("hits: %d of %d by least outstanding, %d of %d by affinity; mean latency %.3f and %.3f s", least.hits,
		len(least.latency), affine.hits, len(affine.latency), least.mean(), affine.mean())
	if affine.hits < 95*len(affine.latency)/100 || least.hits > 40*len(least.latency)/100 ||
		affine.mean() > least.mean()/2 {
		t.Error("affinity finds no more, or it does not help")
	}
	one := func(*rand.Rand) uint64 { return 1 }
	hot := run(route.NameAffinity, one)
	t.Logf("one hot conversation: 99th percentile %.3f s, sent %v", hot.quantile(0.99), hot.sent)
	if hot.quantile(0.99) > 0.5 || hot.hits < 99*len(hot.latency)/100 {
		t.Errorf("%d of %d hits", hot.hits, len(hot.latency))
	}
}

// TestAffinityKeepsItsBound: under a load that no cache reduces, no replica exceeds the least busy one by more than
// the bound.
func TestAffinityKeepsItsBound(t *testing.T) {
	for _, slack := range []int{1, 4, 20} {
		p := route.NewPool(route.Rules{Policy: route.NameAffinity, Slack: slack})
		p.Set(t0, named("a", "b", "c"))
		rng := rand.New(rand.NewPCG(1, 8))
		var open []route.Try
		widest := 0
		for range 20_000 {
			if len(open) > 30 || len(open) > 0 && rng.IntN(2) == 0 {
				k := rng.IntN(len(open))
				p.End(t0, open[k], route.Served, 0)
				open = slices.Delete(open, k, k+1)
				continue
			}
			least := 1 << 30
			for _, i := range p.Replicas(t0) {
				least = min(least, i.Outstanding)
			}
			try, err := p.Begin(t0, route.Ask{Key: uint64(rng.IntN(3) + 1)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, try)
			widest = max(widest, p.Info(t0, try.Replica).Outstanding-1-least)
		}
		if widest != slack {
			t.Errorf("slack %d: the busiest one chosen had %d more than the least busy one", slack, widest)
		}
	}
}

// TestSlowStartWarmsAReplica: a replica that comes back with an empty cache gets few requests until it is warm.
// Otherwise the requests that are sent to it wait.
func TestSlowStartWarmsAReplica(t *testing.T) {
	run := func(slow time.Duration) (during []float64, most int) {
		cold := &backend{slots: 4}
		cold.cost = func(now float64, _ bool) float64 { // a request takes 2 s when it comes back, and less each second
			return max(0.2, 2-0.2*max(0, now-30))
		}
		s := simulation{rules: route.Rules{SlowStart: slow, Checked: true}, rps: 35, seconds: 60,
			backends: map[string]*backend{"a": steady(0.2), "b": steady(0.2), "cold": cold},
			events: map[float64]func(*route.Pool, time.Time){
				0:  func(p *route.Pool, now time.Time) { p.Check(now, p.Find("cold"), route.Unhealthy) },
				30: func(p *route.Pool, now time.Time) { p.Check(now, p.Find("cold"), route.Healthy) },
			}}
		o := s.run()
		return o.latency, o.most["cold"]
	}
	at99 := func(l []float64) float64 { return l[len(l)*99/100] }
	abrupt, flood := run(0)
	slowly, trickle := run(15 * time.Second)
	t.Logf("99th percentile: %.2f s at once, %.2f s slowly; at most %d and %d requests at the cold replica",
		at99(abrupt), at99(slowly), flood, trickle)
	if at99(slowly) > at99(abrupt)*0.75 || trickle >= flood {
		t.Error("slow start has no effect")
	}
}

// TestABrokenReplicaIsNoBlackHole: a replica that fails at once always has the fewest outstanding requests, and would
// get them all. It is ejected, and its requests are tried elsewhere.
func TestABrokenReplicaIsNoBlackHole(t *testing.T) {
	broken := func(now float64) bool { return now > 10 && now < 40 }
	run := func(retries float64) *outcome {
		bad := steady(0.2)
		bad.fails = broken
		s := simulation{rules: route.Rules{Retries: retries, SlowStart: 5 * time.Second}, rps: 30, seconds: 60,
			backends: map[string]*backend{"a": steady(0.2), "bad": bad, "c": steady(0.2)}}
		return s.run()
	}
	without, with := run(0), run(0.2)
	t.Logf("of about 900 requests, %d failed without retries and %d with them", without.failed, with.failed)
	if without.failed > 20 || with.failed > 0 {
		t.Errorf("sent %v", without.sent)
	}
	if with.sent["bad"] < 200 {
		t.Errorf("it never came back: sent %v", with.sent)
	}
}

// TestRetriesDoNotDoubleAnOverload: if every replica fails, a fifth of the requests is tried again, and the saved
// retries, but not every request two or three times.
func TestRetriesDoNotDoubleAnOverload(t *testing.T) {
	s := simulation{rules: route.Rules{Retries: 0.2}, rps: 100, seconds: 100, backends: map[string]*backend{}}
	for _, name := range []string{"a", "b", "c"} {
		b := steady(0.1)
		b.fails = func(float64) bool { return true }
		s.backends[name] = b
	}
	o := s.run()
	tries := o.sent["a"] + o.sent["b"] + o.sent["c"]
	if extra := tries - o.failed; o.failed < 9000 || extra > o.failed/5+110 || extra < o.failed/5 {
		t.Errorf("%d requests were tried %d times", o.failed, tries)
	}
}
