package service

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/host"
	"github.com/hxp-enterprise/mixtral/internal/base/stats"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// soakRounds is the number of rounds: enough for the slope's bounds, and one for every minute of a long run.
// MIXTRAL_SOAK_ROUNDS sets another number: many short rounds show within minutes what grows with each renewal of keys.
func soakRounds(t *testing.T, lasts time.Duration) int {
	t.Helper()
	rounds := int(min(max(lasts/(15*time.Second), 40), 480))
	if v := os.Getenv("MIXTRAL_SOAK_ROUNDS"); v != "" {
		var err error
		if rounds, err = strconv.Atoi(v); err != nil || rounds < 40 {
			t.Fatalf("MIXTRAL_SOAK_ROUNDS=%s: want a number of at least 40: %v", v, err)
		}
	}
	return rounds
}

// soakProfile writes a profile of the heap after a round into the directory MIXTRAL_SOAK_PROFILES, if that is set. Two
// of them show where growth comes from: go tool pprof -base heap-0100.pb.gz -sample_index=inuse_space TEST
// heap-0400.pb.gz.
func soakProfile(t *testing.T, round int) {
	t.Helper()
	dir := os.Getenv("MIXTRAL_SOAK_PROFILES")
	if dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("heap-%04d.pb.gz", round)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runtime.GC() // twice: pools are emptied by the second, and a profile shows the heap of the collection before
	runtime.GC()
	if err := pprof.Lookup("heap").WriteTo(f, 0); err != nil {
		t.Fatal(err)
	}
}

// TestSoak keeps a service under mixed load, round after round: chats, structured answers, tool calls, clients that
// leave or read slowly, wrong keys, broken weights; while keys and certificates are renewed and the database of the
// request log is killed and started again. It measures in the pauses between the rounds what the process holds:
// nothing may grow.
//
//	make soak SOAK=5m
func TestSoak(t *testing.T) {
	if os.Getenv("MIXTRAL_SOAK") == "" {
		t.Skip("MIXTRAL_SOAK=5m runs it for five minutes")
	}
	lasts, err := time.ParseDuration(os.Getenv("MIXTRAL_SOAK"))
	if err != nil || lasts < 30*time.Second {
		t.Fatalf("MIXTRAL_SOAK=%s: want a time of at least 30s: %v", os.Getenv("MIXTRAL_SOAK"), err)
	}
	_, seed := chaosSettings(t)
	w := newSoakWorld(t)
	var saw chaosCounts
	load := func(round uint64, until time.Time) {
		var group sync.WaitGroup
		for i := range uint64(8) {
			group.Go(func() {
				c := w.client(rand.New(rand.NewPCG(seed, round<<8|i)), &saw)
				for time.Now().Before(until) {
					c.act()
				}
			})
		}
		group.Go(func() { w.renew(rand.New(rand.NewPCG(seed, round<<8|99)), until) })
		ended := llmtest.Done(group.Wait)
		select {
		case <-ended:
		case <-time.After(time.Until(until) + 10*time.Minute): // it may run at the lowest priority
			t.Fatalf("the clients of round %d do not end", round)
		}
	}
	rounds := soakRounds(t, lasts)
	began := time.Now()
	samples := make([]soakSample, 0, rounds)
	for round := range rounds {
		const pauses = 500 * time.Millisecond // the time that measuring takes
		until := began.Add(lasts*time.Duration(round+1)/time.Duration(rounds) - pauses)
		if soonest := time.Now().Add(500 * time.Millisecond); until.Before(soonest) {
			until = soonest
		}
		load(uint64(round), until)
		samples = append(samples, pause(t, w))
		if (round+1)%(rounds/10) == 0 {
			soakProfile(t, round+1)
		}
		if t.Failed() {
			t.FailNow()
		}
		if n := len(samples); n%(rounds/10) == 0 && n > 10 && n < rounds {
			t.Logf("after %v, %d rounds of %d:\n%s%v", time.Since(began).Round(time.Second), n, rounds,
				soakTable(trends(samples, time.Since(began))), &samples[n-1].memory)
		}
	}
	list := trends(samples, time.Since(began))
	t.Logf("%v, %d rounds: %d answers, %d with broken weights, %d renewals of keys and certificates, %d restarts of "+
		"the database, %v lines of the request log\n%s", time.Since(began).Round(time.Second), rounds,
		saw.answers.Load(), saw.broken.Load(), w.renewals, w.restarts, metricOf(t, w.s, telemetry.LogWritten),
		soakTable(list))
	for at, s := range map[string]*soakSample{"after the warm-up": &samples[int(float64(rounds)*soakWarm)],
		"at the end": &samples[rounds-1]} {
		t.Logf("%s: %v", at, &s.memory)
	}
	for _, what := range growth(list) {
		t.Error(what)
	}
	w.checkLog()
}

// pause waits until nothing is under way and measures.
func pause(t *testing.T, w *soakWorld) soakSample {
	t.Helper()
	s := w.s
	w.http.CloseIdleConnections()
	w.logged()
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
	for range 50 { // closed connections end their goroutines and descriptors a little later
		g, f := settled()
		time.Sleep(10 * time.Millisecond)
		if g2, f2 := settled(); g == g2 && f == f2 {
			break
		}
	}
	goroutines, files := settled()
	debug.FreeOSMemory() // collects first
	heap, memory := readSoakMemory()
	u, err := host.Self()
	if err != nil {
		t.Fatal(err)
	}
	return soakSample{heap: heap, rss: float64(u.RSS), goroutines: float64(goroutines),
		files: float64(files), blocks: float64(s.backend.Status().KVUsed), latency: stats.Median(took),
		fastest: slices.Min(took), memory: memory}
}

// openFiles counts this process's file descriptors; 0 where the system does not say.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}
