package upstream

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

func (p *pool) must(t *testing.T, now time.Time, want int) {
	t.Helper()
	if got := p.begin(now, make([]bool, len(p.replicas))); got != want {
		t.Fatalf("replica %d, want %d", got, want)
	}
}

func TestLeastOutstandingGetsTheNext(t *testing.T) {
	p := newPool([]string{"a", "b", "c"})
	p.must(t, at(0), 0)
	p.must(t, at(0), 1)
	p.must(t, at(0), 2)
	p.end(at(1), 1, served, 0)
	p.must(t, at(1), 1)
	p.must(t, at(1), 2) // all have one: the turn goes round
	p.must(t, at(1), 0)
}

// TestABrokenReplicaIsLeftOut: three failures in a row eject it, for longer each time; a success forgives everything.
func TestABrokenReplicaIsLeftOut(t *testing.T) {
	p := newPool([]string{"a", "b"})
	onlyA := []bool{false, true}
	fail := func(now time.Time, n int) {
		for range n {
			if p.begin(now, onlyA) != 0 {
				t.Fatal("a was not tried")
			}
			p.end(now, 0, broken, 0)
		}
	}
	fail(at(0), 2)
	if usable, _ := p.status(at(0)); usable != 2 {
		t.Fatal("ejected after two failures")
	}
	fail(at(0), 1)
	for i := range 4 { // b alone now, however many it has
		p.must(t, at(0.1*float64(i)), 1)
	}
	if usable, _ := p.status(at(0.9)); usable != 1 {
		t.Error("a is back too early")
	}
	p.must(t, at(1), 0)
	p.end(at(1), 0, broken, 0)
	fail(at(1), 2) // second ejection: 2 s
	if usable, _ := p.status(at(2.9)); usable != 1 {
		t.Error("a is back too early the second time")
	}
	p.must(t, at(3), 0)
	p.end(at(3), 0, served, 0)
	fail(at(3), 3)
	if usable, _ := p.status(at(4)); usable != 2 {
		t.Error("a success did not forgive: the wait is still long")
	}
}

func TestAPauseThatAReplicaAsksForIsKept(t *testing.T) {
	p := newPool([]string{"a", "b"})
	p.must(t, at(0), 0)
	p.end(at(0), 0, busy, 5*time.Second)
	for i := range 3 {
		p.must(t, at(float64(i)), 1)
	}
	p.must(t, at(5), 0)
}

func TestHealthChecks(t *testing.T) {
	p := newPool([]string{"a", "b"})
	p.health(0, false)
	p.must(t, at(0), 1)
	p.must(t, at(0), 1)
	p.health(0, true)
	p.must(t, at(0), 0)
	p.health(0, false)
	p.health(1, false)
	if i := p.begin(at(0), []bool{false, false}); i < 0 {
		t.Error("with nobody healthy somebody must still be tried")
	}
	if i := p.begin(at(0), []bool{true, true}); i != -1 {
		t.Errorf("all were tried, got %d", i)
	}
}

// TestPoolBooks: whatever happens, outstanding counts match, nobody usable is passed over for somebody who is not,
// and the replica that is chosen has no more requests than any other that may be used.
func TestPoolBooks(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "replicas")
		var urls []string
		for i := range n {
			urls = append(urls, fmt.Sprint(i))
		}
		p := newPool(urls)
		now := t0
		var open []int
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				usable, _ := p.status(now)
				least := 1 << 30
				for i := range p.replicas {
					if p.replicas[i].usable(now) {
						least = min(least, p.replicas[i].outstanding)
					}
				}
				i := p.begin(now, make([]bool, n))
				if r := &p.replicas[i]; usable > 0 && (!r.usable(now) || r.outstanding-1 > least) {
					t.Fatalf("chose %d: %+v", i, *r)
				}
				open = append(open, i)
			},
			"end": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				k := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				p.end(now, open[k], outcome(rapid.IntRange(0, 3).Draw(t, "outcome")), time.Second)
				open = append(open[:k], open[k+1:]...)
			},
			"health": func(t *rapid.T) {
				p.health(rapid.IntRange(0, n-1).Draw(t, "which"), rapid.Bool().Draw(t, "ok"))
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				if _, outstanding := p.status(now); outstanding != len(open) {
					t.Fatalf("%d outstanding, %d open", outstanding, len(open))
				}
			},
		})
	})
}
