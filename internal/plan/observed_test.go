package plan

import (
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/slo"
)

// observedOf runs traffic on a server with known costs as a certification does: first one request after another, then
// an open loop.
func observedOf(t *testing.T, cost *Profile, traffic Traffic, replicas int) []Observed {
	t.Helper()
	var all []Observed
	begin := 0.0
	for _, part := range []Traffic{
		{Requests: 40, Concurrency: 1, Prompt: traffic.Prompt, Output: traffic.Output, Seed: 3},
		{Requests: 200, Concurrency: 4, Prompt: traffic.Prompt, Output: traffic.Output, Seed: 4}, traffic} {
		var observed []Observed
		r := cost.Replica()
		simulate(t, Setup{Replica: r, Replicas: replicas, Traffic: part, observed: func(s Observed) {
			observed = append(observed,
				s)
		}})
		end := begin
		for _, s := range observed {
			s.Begin, s.First, s.Last = s.Begin+begin, s.First+begin, s.Last+begin
			end = max(end, s.Last)
			all = append(all, s)
		}
		begin = end + 1
	}
	return all
}

// TestAPlanFromWhatWasObserved: costs that were fitted to what clients observed at one rate predict latencies at
// others, for servers with quite different costs.
func TestAPlanFromWhatWasObserved(t *testing.T) {
	lengths := func(n int, of ...int) (out []int) {
		for i := range n {
			out = append(out, of[i%len(of)])
		}
		return out
	}
	base := Profile{SchemaVersion: profileVersion, MaxRunning: 64, PrefillChunk: 512, ContextLength: 8192,
		BlockTokens: 16,
		KVBlocks:    1 << 16}
	for name, tt := range map[string]struct {
		points     []Point
		row        float64
		context    float64
		request    float64
		rate       float64
		prompt     []int
		output     []int
		replicas   int
		ttft, most float64 // relative errors that are allowed at the rates
	}{
		"a processor: each token costs": {points: []Point{{1, 0.01, 0, 0}, {512, 3, 0, 0}}, request: 0.002, rate: 1.5,
			prompt: lengths(30, 20, 35, 60), output: lengths(30, 12, 30, 20, 40, 25), replicas: 1, ttft: 0.15,
			most: 0.1},
		"an accelerator: steps cost, tokens hardly": {points: []Point{{1, 0.02, 0, 0}, {64, 0.022, 0, 0},
			{512, 0.05, 0, 0}}, row: 2e-5, request: 0.005, rate: 12, prompt: lengths(30, 100, 200, 300),
			output: lengths(30, 50, 100, 150, 80), replicas: 1, ttft: 0.15, most: 0.08},
		"long contexts cost": {points: []Point{{1, 0.01, 0, 0}, {512, 0.2, 0, 0}}, context: 2e-6, request: 0.003,
			rate:   1.7,
			prompt: lengths(30, 300, 600, 900), output: lengths(30, 40, 90, 60), replicas: 1, ttft: 0.2, most: 0.1},
		"three replicas": {points: []Point{{1, 0.02, 0, 0}, {64, 0.03, 0, 0}, {512, 0.06, 0, 0}}, request: 0.005,
			rate:   25,
			prompt: lengths(30, 100, 200, 300), output: lengths(30, 50, 100, 80), replicas: 3, ttft: 0.2, most: 0.1},
	} {
		truth := base
		truth.Points, truth.PerRow, truth.PerContext, truth.PerRequest = tt.points, tt.row, tt.context, tt.request
		traffic := Traffic{Requests: 1500, RPS: tt.rate, Prompt: tt.prompt, Output: tt.output, Seed: 5}
		fitted := base
		if err := fitted.FitObserved(observedOf(t, &truth, traffic, tt.replicas), tt.replicas); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, factor := range []float64{0.5, 1, 1.3} {
			at := traffic
			at.RPS, at.Requests, at.Seed = tt.rate*factor, 4000, 99
			want := simulate(t, Setup{Replica: truth.Replica(), Replicas: tt.replicas, Traffic: at})
			got := simulate(t, Setup{Replica: fitted.Replica(), Replicas: tt.replicas, Traffic: at})
			for _, x := range []struct {
				what      string
				got, want float64
				most      float64
			}{{"mean latency", mean(got.Latency), mean(want.Latency), tt.most},
				{"p50", got.Percentile(slo.Latency, .5), want.Percentile(slo.Latency, .5), tt.most},
				{"p99", got.Percentile(slo.Latency, .99), want.Percentile(slo.Latency, .99), tt.most},
				{"mean TTFT", mean(got.TTFT), mean(want.TTFT), tt.ttft},
				{"throughput", got.Throughput, want.Throughput, 0.02}} {
				if off := math.Abs(x.got/x.want - 1); !(off <= x.most) {
					t.Errorf("%s at %g: %s %.4g, truth %.4g (%+.1f %%)", name, at.RPS, x.what, x.got, x.want,
						100*(x.got/x.want-1))
				}
			}
		}
	}
}

// TestTooLittleWasObserved: the error of a fit names what is missing.
func TestTooLittleWasObserved(t *testing.T) {
	p := Profile{SchemaVersion: profileVersion}
	if err := p.FitObserved(nil, 1); !errors.Is(err, ErrProfile) {
		t.Error(err)
	}
	few := slices.Repeat([]Observed{{0, 1, 2, 10, 10}}, leastObserved)
	if err := p.FitObserved(few, 0); !errors.Is(err, ErrProfile) {
		t.Error(err)
	}
	short := slices.Repeat([]Observed{{0, 1, 1, 10, 1}}, leastObserved)
	if err := p.FitObserved(short, 1); !errors.Is(err, ErrProfile) {
		t.Error(err)
	}
}
