package plan

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
	"github.com/hxp-enterprise/mixtral/internal/serve/route"
)

// fixed is a cost that does not depend on the size of a step.
type fixed struct{ step, request float64 }

func (f fixed) Step(Step) (float64, Bound) { return f.step, Unknown }
func (f fixed) Request() float64           { return f.request }

func replica(c Cost, running int) Replica {
	return Replica{Cost: c, MaxRunning: running, MaxWaiting: 1 << 20, Chunk: 4096, Context: 8192, BlockTokens: 16,
		Blocks: 1 << 16}
}

func simulate(t testing.TB, s Setup) *Result {
	t.Helper()
	if s.Policy == "" {
		s.Policy = route.NameLeast
	}
	r, err := Simulate(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t *testing.T, what string, got, want, share float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > share*math.Abs(want) {
		t.Errorf("%s is %.5g, want %.5g within %.3g %%", what, got, want, 100*share)
	}
}

func mean(v []float64) float64 { return slo.Objective{}.Of(v) }

// TestOneRequest: the times of a single request are sums of its steps.
func TestOneRequest(t *testing.T) {
	r := simulate(t, Setup{Replica: replica(fixed{0.1, 0.02}, 4), Replicas: 1,
		Traffic: Traffic{Requests: 1, Concurrency: 1, Prompt: []int{100}, Output: []int{5}}})
	near(t, "time to the first token", r.TTFT[0], 0.12, 1e-9)
	near(t, "latency", r.Latency[0], 0.52, 1e-9)
	near(t, "time a token", r.TPOT[0], 0.1, 1e-9)
	if r.Steps != 5 || r.Completed != 1 {
		t.Errorf("%d steps, %d completed", r.Steps, r.Completed)
	}
}

// TestQueueFormula: one sequence at a time with a constant service time is an M/D/1 queue, whose mean wait is
// ρs/(2(1−ρ)) by Pollaczek and Khinchine.
func TestQueueFormula(t *testing.T) {
	const service, rho = 0.1, 0.7
	r := simulate(t, Setup{Replica: replica(fixed{service, 0}, 1), Replicas: 1, Warmup: 0.02,
		Traffic: Traffic{Requests: 400_000, RPS: rho / service, Prompt: []int{10}, Output: []int{1}, Seed: 1}})
	near(t, "mean wait", mean(r.Latency)-service, rho*service/(2*(1-rho)), 0.02)
	near(t, "busy share", r.Busy, rho, 0.01)
	near(t, "throughput", r.Throughput, rho/service, 0.01)
}

// TestLittle: the mean number of requests under way is the rate times the mean latency, here in a closed loop.
func TestLittle(t *testing.T) {
	r := simulate(t, Setup{Replica: replica(fixed{0.05, 0}, 8), Replicas: 3, Warmup: 0.05,
		Traffic: Traffic{Requests: 20_000, Concurrency: 20, Prompt: []int{10, 300}, Output: []int{1, 40}, Seed: 2}})
	near(t, "requests under way", r.Throughput*mean(r.Latency), 20, 0.01)
}

// TestEverythingEnds: no request is lost, and a seed gives the same run again.
func TestEverythingEnds(t *testing.T) {
	for _, policy := range route.Names {
		small := replica(fixed{0.01, 0}, 6)
		small.Blocks, small.MaxWaiting = 40, 3 // sequences take blocks from each other, and the queue is short
		s := Setup{Replica: small, Replicas: 3, Policy: policy, Traffic: Traffic{Requests: 3000, RPS: 40,
			Prompt: []int{20, 200, 400}, Output: []int{80, 3, 200}, Shared: 0.5, Groups: 4, Burstiness: 0.3, Seed: 3}}
		a, b := simulate(t, s), simulate(t, s)
		if a.Completed+a.Refused != 3000 || a.Refused == 0 || a.Preemptions == 0 || a.CacheHits == 0 {
			t.Errorf("%s: %d completed, %d refused, %d preempted, %d cache hits", policy, a.Completed, a.Refused,
				a.Preemptions, a.CacheHits)
		}
		if !slices.Equal(a.Latency, b.Latency) {
			t.Errorf("%s: two runs of a seed differ", policy)
		}
	}
}

// TestPoliciesDiffer: requests that share long prefixes need less computing if they go to the same replica.
func TestPoliciesDiffer(t *testing.T) {
	hits := map[string]int64{}
	ttft := map[string]float64{}
	for _, policy := range route.Names {
		r := simulate(t, Setup{Replica: replica(&slow{}, 16), Replicas: 8, Policy: policy, Traffic: Traffic{
			Requests: 4000, RPS: 30, Prompt: []int{2000}, Output: []int{20}, Shared: 0.9, Groups: 64, Seed: 4}})
		hits[policy], ttft[policy] = r.CacheHits, mean(r.TTFT)
	}
	if hits[route.NameAffinity] <= hits[route.NameLeast] || ttft[route.NameAffinity] >= ttft[route.NameLeast] {
		t.Errorf("cache hits %v, mean time to the first token %v", hits, ttft)
	}
}

// slow is a cost in proportion to the number of tokens.
type slow struct{}

func (*slow) Step(s Step) (float64, Bound) { return 1e-3 + 2e-4*float64(s.Tokens()), Compute }
func (*slow) Request() float64             { return 0 }

func TestArrivals(t *testing.T) {
	for _, k := range []float64{0, 0.25, 1, 4, math.Inf(1)} {
		tr := Traffic{Requests: 1, RPS: 10, Burstiness: k, Prompt: []int{1}, Output: []int{1}, Seed: 5}
		src := tr.source()
		var gaps []float64
		last := 0.0
		for range 100_000 {
			c := src.next()
			gaps = append(gaps, c.Arrival-last)
			last = c.Arrival
		}
		m, v := mean(gaps), 0.0
		for _, g := range gaps {
			v += (g - m) * (g - m) / float64(len(gaps))
		}
		shape := k
		if k == 0 {
			shape = 1
		}
		near(t, "mean gap", m, 0.1, 0.02)
		if math.IsInf(k, 1) {
			if v > 1e-12 {
				t.Errorf("constant gaps vary by %v", v)
			}
			continue
		}
		near(t, "variance of gaps", v, 0.01/shape, 0.05)
	}
}

func TestReplicasAndKnee(t *testing.T) {
	// Each replica serves 10 per second: one request at a time, 0.1 s each.
	s := Setup{Replica: replica(fixed{0.1, 0}, 1), Policy: route.NameLeast, Warmup: 0.1,
		Traffic: Traffic{Requests: 20_000, RPS: 75, Prompt: []int{10}, Output: []int{1}, Seed: 6}}
	objectives, err := slo.Parse("latency:p99<1s")
	if err != nil {
		t.Fatal(err)
	}
	d := Demand{Objectives: objectives}
	n, trials, err := Replicas(t.Context(), s, d, 1000)
	if err != nil || n != 8 && n != 9 {
		t.Fatalf("%d replicas, %v, after %d trials", n, err, len(trials))
	}
	s.Replicas = n
	knee, _, err := Knee(t.Context(), s, d)
	if err != nil || knee < 75 || knee > 10*float64(n) {
		t.Errorf("%d replicas hold %.1f/s, %v", n, knee, err)
	}
	objectives, _ = slo.Parse("latency:mean<50ms")
	if _, _, err := Replicas(t.Context(), s, Demand{Objectives: objectives}, 16); !errors.Is(err, ErrImpossible) {
		t.Errorf("faster than a step: %v", err)
	}
}

func TestBadSetups(t *testing.T) {
	good := Setup{Replica: replica(fixed{1, 0}, 1), Replicas: 1, Policy: route.NameLeast,
		Traffic: Traffic{Requests: 1, RPS: 1, Prompt: []int{1}, Output: []int{1}}}
	for name, tt := range map[string]struct {
		spoil func(*Setup)
		want  error
	}{
		"no requests": {func(s *Setup) { s.Traffic.Requests = 0 }, ErrTraffic},
		"rate":        {func(s *Setup) { s.Traffic.RPS = math.NaN() }, ErrTraffic},
		"nobody":      {func(s *Setup) { s.Traffic.RPS = 0 }, ErrTraffic},
		"burstiness":  {func(s *Setup) { s.Traffic.Burstiness = -1 }, ErrTraffic},
		"lengths":     {func(s *Setup) { s.Traffic.Output = nil }, ErrTraffic},
		"zero length": {func(s *Setup) { s.Traffic.Output = []int{0} }, ErrTraffic},
		"too long":    {func(s *Setup) { s.Traffic.Prompt = []int{9000} }, ErrTraffic},
		"shared":      {func(s *Setup) { s.Traffic.Shared = 2 }, ErrTraffic},
		"replicas":    {func(s *Setup) { s.Replicas = 0 }, ErrReplica},
		"blocks":      {func(s *Setup) { s.Replica.Blocks = 0 }, ErrReplica},
		"cost":        {func(s *Setup) { s.Replica.Cost = nil }, ErrReplica},
		"policy":      {func(s *Setup) { s.Policy = "random" }, route.ErrUnknown},
	} {
		s := good
		tt.spoil(&s)
		if _, err := Simulate(t.Context(), s); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Simulate(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestWhatNobodyFindsNeedNotBeKept: a simulation that keeps no KV blocks while none can be found gives the same run as
// one that keeps all, with and without room for all sequences.
func TestWhatNobodyFindsNeedNotBeKept(t *testing.T) {
	for _, blocks := range []int{10_000, 40} {
		s := Setup{Replica: replica(&slow{}, 6), Replicas: 3, Policy: route.NameLeast, Traffic: Traffic{Requests: 4000,
			RPS: 20, Prompt: []int{20, 200, 400}, Output: []int{80, 3, 200}, Burstiness: 0.3, Seed: 3}}
		s.Replica.Blocks = blocks
		short := simulate(t, s)
		s.remember = true
		whole := simulate(t, s)
		if !slices.Equal(short.Latency, whole.Latency) || !slices.Equal(short.TTFT, whole.TTFT) ||
			short.Steps != whole.Steps || short.Busy != whole.Busy || short.Preemptions != whole.Preemptions {
			t.Errorf("%d blocks: %d and %d steps", blocks, short.Steps, whole.Steps)
		}
		if (whole.Preemptions > 0) != (blocks == 40) {
			t.Errorf("%d blocks: %d preemptions", blocks, whole.Preemptions)
		}
		if _, err := simulateOnce(t.Context(), s, true); errors.Is(err, errRemember) != (blocks == 40) {
			t.Errorf("%d blocks: %v", blocks, err)
		}
	}
}

// BenchmarkFleet simulates a million requests on a thousand replicas.
func BenchmarkFleet(b *testing.B) {
	h, err := NewHardware("h100", 1, Mixtral8x7B, 8)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r := simulate(b, Setup{Replica: h.Replica(), Replicas: 1000, Policy: route.NameLeast, Traffic: Traffic{
			Requests: 1_000_000, RPS: 30_000, Prompt: []int{300}, Output: []int{145}, Seed: 1}})
		b.ReportMetric(float64(r.Steps), "steps")
		b.ReportMetric(r.Batch, "tokens/step")
	}
}
