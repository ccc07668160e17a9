package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault names a server of the bank by the one thing that is wrong with it; a healthy server has a name too.
type Fault string

// The bank. The healthy servers come first; they differ in ways that are allowed.
const (
	Healthy      Fault = "healthy"       // steady, honest, within every target
	HealthyNoisy Fault = "healthy-noisy" // latencies spread widely, but within every target
	// memory rises and falls again and again, as with a garbage collector
	HealthySawtooth Fault = "healthy-sawtooth"
	// memory grows by a cache that fills for hours; /metrics declares the cache
	HealthyCache Fault = "healthy-cache"
	// memory grows by buffers that are allocated once; /metrics does not mention them
	HealthyWarming Fault = "healthy-warming"
	// Memory as in runtimes with a garbage collector, which runs only while requests make garbage. Go keeps the pages
	// that it has freed. The JVM returns them at the end of a cycle that is longer than a short phase. CPython
	// allocates arenas one by one.
	HealthyGo     Fault = "healthy-go"
	HealthyJVM    Fault = "healthy-jvm"
	HealthyArenas Fault = "healthy-arenas"
	// sends a chunk with the role at once, as OpenAI's API does; its metrics do not count that chunk as a token
	HealthyPrelude Fault = "healthy-prelude"
	// reasons before it answers; its metrics and its usage count the reasoning
	HealthyReasoning Fault = "healthy-reasoning"

	Stall  Fault = "stall"   // everything stops for 1.4 s in every 10 s
	Leak   Fault = "leak"    // memory grows linearly and is never freed
	LeakGo Fault = "leak-go" // the same, hidden by the rise and fall of a garbage collector
	// Leaks that grow with the number of requests. A run of half a minute cannot tell them from garbage: the first is
	// hidden by a collector whose cycle is longer, the second is in a runtime that allocates its memory in arenas.
	LeakJVM    Fault = "leak-jvm"
	LeakArenas Fault = "leak-arenas"
	// the same as leak, and a gauge calls the leaked memory a cache; depending on the seed, the cache's declared limit
	// rises with it, is lower than the leak, is exceeded, or the cache grows while the server is idle too
	LyingCache    Fault = "lying-cache"
	LyingTokens   Fault = "lying-tokens"   // the token counters of /metrics are 3 % too high
	MissedCounts  Fault = "missed-counts"  // /metrics misses one request in 40
	CachedReplies Fault = "cached-replies" // answers a repeated prompt at once
	// sends an empty chunk at once, and its TTFT metric counts that chunk as the first token
	EmptyFirst    Fault = "empty-first"
	InflatedUsage Fault = "inflated-usage" // usage.completion_tokens is 30 % above what was sent
	Drift         Fault = "drift"          // latency grows by 1 % a minute, times Config.Speed
	Errors        Fault = "errors"         // 1 % of the requests get status 500
	Truncated     Fault = "truncated"      // the connection closes in the middle of 1 % of the answers
	SlowFirst     Fault = "slow-first"     // the first token takes longer than the latency target
	CPUBurner     Fault = "cpu-burner"     // uses more cores than allowed
	IgnoresMax    Fault = "ignores-max"    // answers with more tokens than max_tokens
	FalseFinish   Fault = "false-finish"   // sends finish_reason "stop" when max_tokens has cut the answer
	LyingTTFT     Fault = "lying-ttft"     // its TTFT metric reports a quarter of the real time
	TooSlow       Fault = "too-slow"       // serves 80 % of the target rate: a queue builds up
	Garbled       Fault = "garbled"        // the words of an answer are shuffled when many requests are in flight
	// uses more memory than allowed, while more than four requests are in flight
	MemoryHog Fault = "memory-hog"
)

// ErrUnknown matches Parse's error for a name that is not in the bank.
var ErrUnknown = errors.New("unknown fault")

// HealthyOnes lists the servers that must pass.
func HealthyOnes() []Fault {
	return []Fault{Healthy, HealthyNoisy, HealthySawtooth, HealthyCache, HealthyWarming, HealthyGo,
		HealthyJVM, HealthyArenas, HealthyPrelude, HealthyReasoning}
}

// Planted lists the servers that must not pass.
func Planted() []Fault {
	return []Fault{Stall, Leak, LeakGo, LyingCache, LyingTokens, MissedCounts, CachedReplies, EmptyFirst,
		InflatedUsage,
		Drift, Errors, Truncated,
		SlowFirst, CPUBurner, IgnoresMax, FalseFinish, LyingTTFT, TooSlow, Garbled, MemoryHog}
}

// Unseen lists the faulty servers whose fault a short run cannot find. A short run must not pass them: it must say how
// long a run has to be.
func Unseen() []Fault { return []Fault{LeakJVM, LeakArenas} }

// All lists every server of the bank: HealthyOnes, Planted and Unseen.
func All() []Fault { return slices.Concat(HealthyOnes(), Planted(), Unseen()) }

// Parse finds a server of the bank by its name. Its error matches ErrUnknown and lists the names.
func Parse(name string) (Fault, error) {
	all := All()
	var names []string
	for _, f := range all {
		if string(f) == name {
			return f, nil
		}
		names = append(names, string(f))
	}
	return "", fmt.Errorf("%w: %q (one of %s)", ErrUnknown, name, strings.Join(names, ", "))
}
