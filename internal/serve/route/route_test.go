package route_test

import (
	"errors"
	"math"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

func even(n int) []route.Candidate {
	r := make([]route.Candidate, n)
	for i := range r {
		r[i].Weight = 1
	}
	return r
}

// TestShares: requests that never end are distributed by weight, with any policy.
func TestShares(t *testing.T) {
	for _, name := range route.Names {
		p, err := route.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		replicas := []route.Candidate{{Weight: 1}, {Weight: 0}, {Weight: 3}, {Weight: 0.5}}
		const n = 9000
		for k := range n {
			i := p.Pick(replicas, uint64(k)+1)
			replicas[i].Outstanding++
		}
		for i, r := range replicas {
			want := n * r.Weight / 4.5
			if math.Abs(float64(r.Outstanding)-want) > 0.03*n {
				t.Errorf("%s: replica %d got %d of %d, want %.0f", name, i, r.Outstanding, n, want)
			}
		}
	}
}

func TestNobodyToAsk(t *testing.T) {
	for _, name := range route.Names {
		p, _ := route.Parse(name)
		for _, replicas := range [][]route.Candidate{nil, {{}, {}}} {
			if i := p.Pick(replicas, 7); i != -1 {
				t.Errorf("%s picks %d of %v", name, i, replicas)
			}
		}
	}
	if _, err := route.Parse("random"); !errors.Is(err, route.ErrUnknown) {
		t.Error(err)
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	p := &route.RoundRobin{}
	replicas := even(3)
	replicas[1].Outstanding = 1000
	for k := range 9 {
		if i := p.Pick(replicas, 0); i != k%3 {
			t.Fatalf("turn %d went to %d", k, i)
		}
	}
}

func TestLeastTakesTheLeast(t *testing.T) {
	p := &route.Least{}
	replicas := even(4)
	for i := range replicas {
		replicas[i].Outstanding = 5
	}
	replicas[2].Outstanding = 4
	if i := p.Pick(replicas, 0); i != 2 {
		t.Fatalf("picked %d", i)
	}
	replicas[2].Outstanding = 5
	seen := map[int]bool{}
	for range 4 {
		seen[p.Pick(replicas, 0)] = true
	}
	if len(seen) != 4 {
		t.Errorf("ties went to %v alone", seen)
	}
}

// TestAffinity: a key stays with its replica until that is busier than the bound allows, and other keys keep theirs
// when a replica is removed.
func TestAffinity(t *testing.T) {
	p := &route.Affinity{}
	replicas := even(5)
	homes := map[uint64]int{}
	counts := make([]int, 5)
	for key := uint64(1); key <= 1000; key++ {
		homes[key] = p.Pick(replicas, key)
		counts[homes[key]]++
		if again := p.Pick(replicas, key); again != homes[key] {
			t.Fatalf("key %d went to %d and then to %d", key, homes[key], again)
		}
	}
	for i, n := range counts {
		if n < 140 || n > 260 {
			t.Errorf("replica %d is the home of %d of 1,000 keys", i, n)
		}
	}
	home := homes[1]
	replicas[home].Outstanding = route.DefaultSlack
	if got := p.Pick(replicas, 1); got != home {
		t.Errorf("within the bound it left %d for %d", home, got)
	}
	replicas[home].Outstanding++
	if got := p.Pick(replicas, 1); got == home {
		t.Error("beyond the bound it stayed")
	}
	replicas[home] = route.Candidate{}
	for key, old := range homes {
		if got := p.Pick(replicas, key); old != home && got != old {
			t.Fatalf("key %d moved from %d to %d when %d went", key, old, got, home)
		}
	}
}
