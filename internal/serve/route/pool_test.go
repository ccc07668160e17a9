package route_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hxp-enterprise/mixtral/internal/base/property"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

// trace drives a pool.
type trace struct {
	*testing.T
	p *route.Pool
}

func pool(t *testing.T, r route.Rules, members ...route.Member) *trace {
	t.Helper()
	if err := errors.Join(r.Check(), route.CheckMembers(members)); err != nil {
		t.Fatal(err)
	}
	p := route.NewPool(r)
	p.Set(t0, members)
	return &trace{t, p}
}

// named returns members that take any model.
func named(names ...string) (list []route.Member) {
	for _, n := range names {
		list = append(list, route.Member{Name: n, Any: true})
	}
	return list
}

func (t *trace) begin(seconds float64, want string) route.Try {
	t.Helper()
	try, err := t.p.Begin(at(seconds), route.Ask{}, nil)
	if err != nil || try.Replica.Name() != want {
		t.Fatalf("at %v s: %+v, %v; want %s", seconds, try, err, want)
	}
	return try
}

func (t *trace) state(seconds float64, name string, want route.State) {
	t.Helper()
	if got := t.p.Info(at(seconds), t.p.Find(name)).State; got != want {
		t.Fatalf("at %v s: %s is %s, want %s", seconds, name, got, want)
	}
}

// only prevents all members but one from being chosen.
func (t *trace) only(name string) (others []*route.Replica) {
	for _, i := range t.p.Replicas(t0) {
		if i.Name != name {
			others = append(others, t.p.Find(i.Name))
		}
	}
	return others
}

// send makes a member answer a request at once.
func (t *trace) send(seconds float64, name string, o route.Outcome) {
	t.Helper()
	try, err := t.p.Begin(at(seconds), route.Ask{}, t.only(name))
	if err != nil || try.Replica.Name() != name {
		t.Fatalf("at %v s: %v", seconds, err)
	}
	t.p.End(at(seconds), try, o, time.Second)
}

func TestLeastOutstandingGetsTheNext(t *testing.T) {
	p := pool(t, route.Rules{}, named("a", "b", "c")...)
	p.begin(0, "a")
	b := p.begin(0, "b")
	p.begin(0, "c")
	p.p.End(at(1), b, route.Served, 0)
	p.begin(1, "b")
	p.begin(1, "c") // all have one, so the turn goes round
	p.begin(1, "a")
}

// TestABrokenReplicaIsLeftOut: three failures in a row eject a replica. Then it must first serve one request at a
// time; the wait doubles with each failure of such a trial.
func TestABrokenReplicaIsLeftOut(t *testing.T) {
	p := pool(t, route.Rules{SlowStart: 10 * time.Second}, named("a", "b")...)
	p.send(0, "a", route.Broken)
	p.send(0, "a", route.Broken)
	p.state(0, "a", route.Up)
	p.send(0, "a", route.Broken)
	p.state(0.9, "a", route.Ejected)
	for range 4 { // only b is left, however many it has
		p.begin(0.9, "b")
	}
	p.state(1, "a", route.Trial)
	trial := p.begin(1, "a")
	p.begin(1, "b") // one at a time
	p.p.End(at(1.5), trial, route.Broken, 0)
	p.state(3.4, "a", route.Ejected) // 2 s
	trial = p.begin(3.5, "a")
	p.p.End(at(4), trial, route.Served, 0)
	p.state(4, "a", route.Starting)
	p.state(14, "a", route.Up)
	p.send(15, "a", route.Refused) // nobody listens there: it is ejected at once, and for longer than before
	p.state(18.9, "a", route.Ejected)
	p.state(19, "a", route.Trial)
	p.send(19, "a", route.Served)
	p.send(100, "a", route.Refused) // much later: as if for the first time
	p.state(101, "a", route.Trial)
}

// TestHalfOfTheLastFail: failures that never come three in a row are noticed too.
func TestHalfOfTheLastFail(t *testing.T) {
	p := pool(t, route.Rules{}, named("a", "b")...)
	for i := range 19 {
		p.send(float64(i)/100, "a", []route.Outcome{route.Broken, route.Served}[i%2])
	}
	p.state(0.2, "a", route.Up)
	p.send(0.2, "a", route.Broken)
	p.state(0.3, "a", route.Ejected)
	for i := range 40 { // a tenth is tolerated
		o := route.Served
		if i%10 == 0 {
			o = route.Broken
		}
		p.send(0.2, "b", o)
	}
	p.state(0.3, "b", route.Up)
}

// TestOldFailuresSayNothingNew: when a replica dies, each of its requests fails. Together they eject it once.
func TestOldFailuresSayNothingNew(t *testing.T) {
	p := pool(t, route.Rules{}, named("a")...)
	var tries []route.Try
	for range 50 {
		tries = append(tries, p.begin(0, "a"))
	}
	for _, try := range tries {
		p.p.End(at(1), try, route.Broken, 0)
	}
	p.state(1.9, "a", route.Ejected)
	p.state(2, "a", route.Trial)
	if i := p.p.Info(at(2), p.p.Find("a")); i.Failed != 50 || i.Sent != 50 || i.Outstanding != 0 {
		t.Errorf("%+v", i)
	}
}

func TestAPauseThatAReplicaAsksForIsKept(t *testing.T) {
	p := pool(t, route.Rules{}, named("a", "b")...)
	try := p.begin(0, "a")
	p.p.End(at(0), try, route.Busy, 5*time.Second)
	p.state(4.9, "a", route.Paused)
	for i := range 3 {
		p.begin(float64(i), "b")
	}
	p.begin(5, "a")
}

func TestHealthChecks(t *testing.T) {
	p := pool(t, route.Rules{SlowStart: 10 * time.Second, Checked: true}, named("a", "b")...)
	a, b := p.p.Find("a"), p.p.Find("b")
	p.p.Check(at(0), a, route.Unhealthy)
	p.begin(0, "b")
	p.begin(0, "b")
	p.p.Check(at(1), b, route.Late)
	p.state(1, "b", route.Up) // once is tolerated
	p.p.Check(at(2), b, route.Healthy)
	p.p.Check(at(3), b, route.Late)
	p.state(3, "b", route.Up)
	p.p.Check(at(4), b, route.Late)
	p.state(4, "b", route.Down)
	if _, err := p.p.Begin(at(4), route.Ask{}, nil); err != nil {
		t.Error("with nobody healthy somebody must still be tried:", err)
	}
	if _, err := p.p.Begin(at(4), route.Ask{}, []*route.Replica{a, b}); !errors.Is(err, route.ErrNobody) {
		t.Error(err)
	}
	p.p.Check(at(5), a, route.Healthy)
	p.state(5, "a", route.Starting)
	if w := p.p.Info(at(10), a).Weight; w != 0.5 {
		t.Errorf("half way it has the weight %v", w)
	}
	if w := p.p.Info(at(5), a).Weight; w != 0.1 {
		t.Errorf("it begins with the weight %v", w)
	}
	p.state(15, "a", route.Up)
}

// TestMembersComeAndGo: a new member waits for its first health check and starts slowly, a removed one finishes its
// requests, and a draining one gets nothing, even if there is no other.
func TestMembersComeAndGo(t *testing.T) {
	p := pool(t, route.Rules{SlowStart: 10 * time.Second, Checked: true}, named("a", "b")...)
	stream := p.begin(0, "a")
	p.p.Set(at(1), named("b", "c"))
	p.state(1, "a", route.Draining)
	p.state(1, "c", route.Down)
	for range 3 {
		p.begin(1, "b")
	}
	p.p.Check(at(2), p.p.Find("c"), route.Healthy)
	p.state(2, "c", route.Starting)
	if open, _, _ := p.p.Status(at(2)); open != 4 {
		t.Errorf("%d requests under way", open)
	}
	p.p.End(at(3), stream, route.Served, 0)
	if p.p.Find("a") != nil {
		t.Error("a has finished, and is still there")
	}
	drained := named("b", "c")
	drained[0].Drain, drained[1].Drain = true, true
	p.p.Set(at(20), drained)
	if _, err := p.p.Begin(at(20), route.Ask{}, nil); !errors.Is(err, route.ErrNobody) {
		t.Error(err)
	}
	if _, models, missing := p.p.Status(at(20)); models != 1 || missing != 1 {
		t.Errorf("%d of %d models are missing", missing, models)
	}
	p.p.Set(at(21), named("b", "c"))
	p.state(21, "b", route.Starting)
	if i := p.p.Info(at(21), p.p.Find("b")); i.Outstanding != 3 {
		t.Errorf("a drain forgot what is under way: %+v", i)
	}
}

// TestModels: who gets which name.
func TestModels(t *testing.T) {
	p := pool(t, route.Rules{}, route.Member{Name: "big", Models: []string{"m", "n"}},
		route.Member{Name: "small", Models: []string{"s"}}, route.Member{Name: "asked"})
	names := func(model string) (list []string) {
		for _, r := range p.p.Of(model) {
			list = append(list, r.Name())
		}
		return list
	}
	check := func(model string, want ...string) {
		t.Helper()
		if got := names(model); !slices.Equal(got, want) {
			t.Errorf("%q goes to %q, want %q", model, got, want)
		}
	}
	check("m", "big")
	check("", "big")
	check("s", "small")
	check("x", "asked") // it may have the model
	p.p.Serves(p.p.Find("asked"), []string{"m", "y"})
	check("m", "big", "asked")
	check("x")
	if _, err := p.p.Begin(t0, route.Ask{Model: "x"}, nil); !errors.Is(err, route.ErrModel) {
		t.Error(err)
	}
	if got := p.p.Models(); !slices.Equal(got, []string{"m", "n", "s", "y"}) {
		t.Errorf("models %q", got)
	}
	p.p.Check(t0, p.p.Find("small"), route.Unhealthy)
	if _, models, missing := p.p.Status(t0); models != 4 || missing != 1 {
		t.Errorf("%d of %d models are missing", missing, models)
	}
	// Members that take any name get the names that nobody lists, and only these.
	p.p.Set(t0, append(named("any"), route.Member{Name: "big", Models: []string{"m"}}))
	check("m", "big")
	check("x", "any")
	check("", "any")
}

// TestCanaries: the share is exact by request, and with a draw each draw stays with one version.
func TestCanaries(t *testing.T) {
	members := []route.Member{{Name: "a", Any: true}, {Name: "b", Any: true}, {Name: "new", Any: true, Share: 0.05},
		{Name: "odd", Any: true, Share: 0.1}}
	for _, policy := range route.Names {
		p := pool(t, route.Rules{Policy: policy}, members...)
		counts := map[string]int{}
		for i := range 1000 { // nobody is busy, so weights alone could not give this share
			try, err := p.p.Begin(at(float64(i)), route.Ask{Key: uint64(i) + 1}, nil)
			if err != nil {
				t.Fatal(err)
			}
			counts[try.Replica.Name()]++
			p.p.End(at(float64(i)), try, route.Served, 0)
		}
		if counts["new"] != 50 || counts["odd"] < 99 || counts["odd"] > 100 || counts["a"] < 350 || counts["b"] < 350 {
			t.Errorf("%s: by request, the shares are %v", policy, counts)
		}
	}
	p := pool(t, route.Rules{}, members...)
	byDraw := func(now float64) map[string]int {
		counts := map[string]int{}
		for i := range 20_000 {
			var last string
			for range 2 {
				try, _ := p.p.Begin(at(now), route.Ask{Draw: route.Hash(fmt.Sprint(i))}, nil)
				name := try.Replica.Name()
				if name != "new" && name != "odd" {
					name = "stable"
				}
				if last != "" && name != last {
					t.Fatalf("draw %d went to %s and to %s", i, last, name)
				}
				last = name
				p.p.End(at(now), try, route.Served, 0)
			}
			counts[last]++
		}
		return counts
	}
	near := func(counts map[string]int, name string, want float64) {
		t.Helper()
		if math.Abs(float64(counts[name])-want) > 4*math.Sqrt(want) {
			t.Errorf("%s has %d of 20,000 draws, want %v", name, counts[name], want)
		}
	}
	counts := byDraw(0)
	near(counts, "new", 1000)
	near(counts, "odd", 2000)
	// If a canary is down, its requests go to the others, and so does a second try.
	p.p.Check(at(1), p.p.Find("new"), route.Unhealthy)
	if counts := byDraw(1); counts["new"] != 0 {
		t.Errorf("a canary that is down has %d requests", counts["new"])
	}
	p = pool(t, route.Rules{}, route.Member{Name: "a", Any: true}, route.Member{Name: "new", Any: true, Share: 1})
	try := p.begin(0, "new")
	if second, err := p.p.Begin(at(0), route.Ask{}, []*route.Replica{try.Replica}); err != nil ||
		second.Replica.Name() != "a" {
		t.Errorf("second try: %+v, %v", second, err)
	}
	p.p.Check(at(1), p.p.Find("a"), route.Unhealthy)
	p.begin(1, "new")
}

// TestRetriesHaveABudget: a fifth of the requests may be tried again, and the saved retries.
func TestRetriesHaveABudget(t *testing.T) {
	p := pool(t, route.Rules{Retries: 0.2}, named("a", "b")...)
	tried := []*route.Replica{p.p.Find("a")}
	again := func() bool { return p.p.Again(at(0), route.Ask{}, tried, false, false) }
	for i := range 100 {
		if !again() {
			t.Fatalf("retry %d was refused at rest", i)
		}
	}
	if again() {
		t.Error("more retries than were saved up")
	}
	if !p.p.Again(at(0), route.Ask{}, tried, true, false) {
		t.Error("one that costs nothing was refused")
	}
	made := 0
	for range 1000 {
		try, _ := p.p.Begin(at(0), route.Ask{}, nil)
		p.p.End(at(0), try, route.Served, 0)
		if again() {
			made++
		}
	}
	if made < 199 || made > 201 {
		t.Errorf("%d retries of 1,000 requests", made)
	}
	if _, denied := p.p.Retries(); denied != int64(1+1000-made) {
		t.Errorf("%d were denied", denied)
	}
	if p.p.Again(at(0), route.Ask{}, []*route.Replica{p.p.Find("a"), p.p.Find("b")}, true, false) {
		t.Error("there is nobody left to try")
	}
	p.p.Check(at(0), p.p.Find("b"), route.Unhealthy)
	if p.p.Again(at(0), route.Ask{}, tried, true, true) || !p.p.Again(at(0), route.Ask{}, tried, true, false) {
		t.Error("a refusal is exchanged for one that is down, or a failure is not")
	}
	// With many requests under way, as many retries are saved: a replica that dies fails all of its own.
	p = pool(t, route.Rules{Retries: 0.2}, named("a", "b")...)
	for range 3000 {
		p.p.Begin(at(0), route.Ask{}, nil)
	}
	saved := 0
	for ; saved < 5000 && again(); saved++ {
	}
	if saved < 670 || saved > 690 {
		t.Errorf("%d were saved up by 3,000 requests", saved)
	}
}

func TestWhatRoutingMayBe(t *testing.T) {
	for _, r := range []route.Rules{{Policy: "random"}, {Slack: -1}, {SlowStart: -1}, {Retries: -1},
		{Retries: math.NaN()}} {
		if err := r.Check(); !errors.Is(err, route.ErrRules) && !errors.Is(err, route.ErrUnknown) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, list := range [][]route.Member{{{Name: "a"}, {Name: "a"}}, {{Name: "a", Weight: -1}},
		{{Name: "a", Share: 1.1}}, {{Name: "a", Share: 0.6}, {Name: "b", Share: 0.6, Models: []string{"m"}}}} {
		if err := route.CheckMembers(list); !errors.Is(err, route.ErrRules) {
			t.Errorf("%+v: %v", list, err)
		}
	}
	if err := route.CheckMembers([]route.Member{{Name: "a", Share: 0.6, Models: []string{"n"}},
		{Name: "b", Share: 0.6, Models: []string{"m"}}}); err != nil {
		t.Error(err)
	}
}

// TestPoolBooks: for any events, the counts match, no usable replica is passed over for an unusable one, no draining
// one gets a request, and with least-outstanding and equal weights the chosen replica has the fewest requests.
func TestPoolBooks(t *testing.T) {
	property.Check(t, func(t *rapid.T) {
		p := route.NewPool(route.Rules{Retries: 0.2, Checked: rapid.Bool().Draw(t, "checked")})
		names := []string{"a", "b", "c", "d"}
		draw := func() (list []route.Member) {
			for _, n := range names {
				if rapid.IntRange(0, 3).Draw(t, "member "+n) > 0 {
					drain := rapid.IntRange(0, 4).Draw(t, "drain") == 0
					list = append(list, route.Member{Name: n, Any: true, Drain: drain})
				}
			}
			return list
		}
		now := t0
		p.Set(now, draw())
		var open []route.Try
		one := func() *route.Replica { return p.Find(rapid.SampledFrom(names).Draw(t, "which")) }
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				before := map[string]route.Info{}
				least, usable := math.MaxInt, false
				for _, i := range p.Replicas(now) {
					before[i.Name] = i
					if i.Usable {
						usable, least = true, min(least, i.Outstanding)
					}
				}
				try, err := p.Begin(now, route.Ask{}, nil)
				if err != nil {
					if usable {
						t.Fatal(err)
					}
					return
				}
				i := before[try.Replica.Name()]
				if i.State == route.Draining || usable && (!i.Usable || i.Outstanding > least) {
					t.Fatalf("chose %+v among %+v", i, before)
				}
				open = append(open, try)
			},
			"end": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				k := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				p.End(now, open[k], route.Outcome(rapid.IntRange(0, 4).Draw(t, "outcome")), time.Second)
				open = slices.Delete(open, k, k+1)
			},
			"check": func(t *rapid.T) {
				if r := one(); r != nil {
					p.Check(now, r, route.Health(rapid.IntRange(0, 2).Draw(t, "health")))
				}
			},
			"set": func(t *rapid.T) { p.Set(now, draw()) },
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				sum := 0
				for _, i := range p.Replicas(now) {
					if i.Outstanding < 0 {
						t.Fatalf("%+v", i)
					}
					sum += i.Outstanding
				}
				if all, _, _ := p.Status(now); all != len(open) || sum != len(open) {
					t.Fatalf("%d and %d outstanding, %d open", all, sum, len(open))
				}
			},
		})
	})
}
