package service

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// soakSample is what the process holds between two rounds of load, with nothing under way.
type soakSample struct {
	heap       float64 // bytes alive after a collection
	rss        float64 // bytes
	goroutines float64
	files      float64 // open file descriptors
	blocks     float64 // KV blocks held
	latency    float64 // seconds, the median of a few requests one after the other
}

// soakLimits are how much of each may be gained over a whole run and still count as no growth.
var soakLimits = []struct {
	name  string
	of    func(soakSample) float64
	floor float64 // in the value's own unit
	share float64 // of the median
}{
	{"live heap", func(s soakSample) float64 { return s.heap }, 1 << 20, 0.05},
	{"resident memory", func(s soakSample) float64 { return s.rss }, 8 << 20, 0.05},
	{"goroutines", func(s soakSample) float64 { return s.goroutines }, 1, 0},
	{"open files", func(s soakSample) float64 { return s.files }, 1, 0},
	{"KV blocks", func(s soakSample) float64 { return s.blocks }, 0.5, 0},
	{"latency", func(s soakSample) float64 { return s.latency }, 0.0005, 0.2},
}

// soakWarm is the share of rounds in which caches may fill: the prefix cache touches all its pages, pools find their
// size.
const soakWarm = 0.2

// growth says what grows: where the lower bound of the Theil-Sen slope, at 99 %, makes more over the run than its
// limit. A noisy series has a low bound, so what is found is growth beyond doubt, and what is not found is below the
// figures that TestGrowth plants.
func growth(samples []soakSample) (found []string) {
	samples = samples[int(float64(len(samples))*soakWarm):]
	x := make([]float64, len(samples))
	for i := range x {
		x[i] = float64(i)
	}
	for _, l := range soakLimits {
		y := make([]float64, len(samples))
		for i, s := range samples {
			y[i] = l.of(s)
		}
		slope, lo, _ := stats.TheilSen(x, y, 0.99)
		n := float64(len(samples) - 1)
		if most := max(l.floor, l.share*median(y)); lo*n > most {
			found = append(found,
				fmt.Sprintf("%s grows by %.4g a round, %.4g in all (at least %.4g, %.4g allowed): from %.4g to %.4g",
					l.name, slope, slope*n, lo*n, most, y[0], y[len(y)-1]))
		}
	}
	return found
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

// TestGrowth: of series like those of a run, with their noise, those that grow are found and the others are not.
func TestGrowth(t *testing.T) {
	series := func(seed uint64, plant func(i int, s *soakSample)) []soakSample {
		rng := rand.New(rand.NewPCG(seed, 0))
		samples := make([]soakSample, 40)
		for i := range samples {
			samples[i] = soakSample{heap: 5e6 * (1 + 0.01*rng.NormFloat64()), rss: 6e7 * (1 + 0.02*rng.NormFloat64()),
				goroutines: 12 + float64(rng.IntN(2)), files: 9 + float64(rng.IntN(2)),
				latency: 0.01 * (1 + 0.1*rng.NormFloat64())}
			plant(i, &samples[i])
		}
		return samples
	}
	for seed := range uint64(20) {
		if found := growth(series(seed, func(int, *soakSample) {})); len(found) > 0 {
			t.Errorf("seed %d: nothing grows, but %v", seed, found)
		}
		for name, plant := range map[string]func(i int, s *soakSample){
			"live heap":       func(i int, s *soakSample) { s.heap += 64e3 * float64(i) },
			"resident memory": func(i int, s *soakSample) { s.rss += 400e3 * float64(i) },
			"goroutines":      func(i int, s *soakSample) { s.goroutines += float64(i / 5) },
			"open files":      func(i int, s *soakSample) { s.files += float64(i / 5) },
			"KV blocks":       func(i int, s *soakSample) { s.blocks += float64(i / 8) },
			"latency":         func(i int, s *soakSample) { s.latency += 0.0003 * float64(i) },
		} {
			if found := growth(series(seed, plant)); len(found) != 1 || found[0][:len(name)] != name {
				t.Errorf("seed %d: %s grows, found %v", seed, name, found)
			}
		}
	}
}

// TestSoak keeps a service under the mixed load of TestChaos, round after round, and measures in the pauses between
// them what it holds: nothing may grow.
//
//	MIXTRAL_SOAK=5m go test -tags invariants -run TestSoak$ -timeout 0 -v ./internal/serve/service
func TestSoak(t *testing.T) {
	if os.Getenv("MIXTRAL_SOAK") == "" {
		t.Skip("MIXTRAL_SOAK=5m runs it for five minutes")
	}
	lasts, err := time.ParseDuration(os.Getenv("MIXTRAL_SOAK"))
	if err != nil || lasts < 30*time.Second {
		t.Fatalf("MIXTRAL_SOAK=%s: want a time of at least 30s: %v", os.Getenv("MIXTRAL_SOAK"), err)
	}
	_, seed := chaosSettings(t)
	s := openTiny(t, func(c *Options) {
		c.ModelPath, c.MaxConcurrentRequests, c.MaxQueuedRequests, c.MaxTokens = brokenModel(t), 4, 8, 200
	})
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	client := server.Client()
	var saw chaosCounts
	load := func(round uint64, lasts time.Duration) {
		until := time.Now().Add(lasts)
		var group sync.WaitGroup
		for w := range uint64(8) {
			group.Go(func() {
				c := chaosClient{t: t, s: s, http: client, url: server.URL,
					rng: rand.New(rand.NewPCG(seed, round<<8|w)), saw: &saw}
				for time.Now().Before(until) {
					c.act()
				}
			})
		}
		llmtest.Await(t, fmt.Sprintf("the clients of round %d", round), llmtest.Done(group.Wait))
	}
	const rounds = 40 // points enough for the slope's bounds
	var samples []soakSample
	for round := range uint64(rounds) {
		load(round, max(lasts/rounds-500*time.Millisecond, 500*time.Millisecond)) // a pause takes about half a second
		samples = append(samples, pause(t, s, server))
		if t.Failed() {
			t.FailNow()
		}
	}
	first, last := samples[int(rounds*soakWarm)], samples[rounds-1]
	t.Logf("%v, %d rounds: %d answers, %d with broken weights", lasts, rounds, saw.answers.Load(), saw.broken.Load())
	for _, l := range soakLimits {
		t.Logf("%-16s %12.6g after the warm-up, %12.6g at the end", l.name, l.of(first), l.of(last))
	}
	for _, what := range growth(samples) {
		t.Error(what)
	}
}

// pause waits until nothing is under way and measures.
func pause(t *testing.T, s *Service, server *httptest.Server) soakSample {
	t.Helper()
	server.Client().CloseIdleConnections()
	server.CloseClientConnections()
	awaitIdle(t, s)
	var took []float64
	for range 15 {
		began := time.Now()
		if _, _, err := generate(t.Context(), s, greedy("Is all well?", 30)); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began).Seconds())
	}
	awaitIdle(t, s)
	settled := func() (goroutines, files int) { return runtime.NumGoroutine(), openFiles() }
	for range 50 { // connections that were closed take their goroutines and descriptors down a little later
		g, f := settled()
		time.Sleep(10 * time.Millisecond)
		if g2, f2 := settled(); g == g2 && f == f2 {
			break
		}
	}
	goroutines, files := settled()
	debug.FreeOSMemory() // collects first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u, err := host.Self()
	if err != nil {
		t.Fatal(err)
	}
	return soakSample{heap: float64(m.HeapAlloc), rss: float64(u.RSS), goroutines: float64(goroutines),
		files: float64(files), blocks: float64(s.backend.Status().KVUsed), latency: median(took)}
}

// openFiles counts this process's file descriptors; 0 where the system does not say.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}
