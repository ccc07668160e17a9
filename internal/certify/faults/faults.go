package faults

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a server.
type Fault string

// The bank. Healthy variants come first: they differ in ways that are allowed.
const (
	Healthy      Fault = "healthy"       // steady, honest, within every target
	HealthyNoisy Fault = "healthy-noisy" // latencies spread widely, but within every target
	// memory rises and is given back again and again, as with a garbage collector
	HealthySawtooth Fault = "healthy-sawtooth"
	HealthyCache    Fault = "healthy-cache"   // memory grows by a cache that fills for hours, and that it declares
	HealthyWarming  Fault = "healthy-warming" // memory grows by buffers that it takes once, and does not speak of
	// memory as runtimes with a collector have it, which works only when there is work: Go keeps the pages that it has
	// freed, the JVM gives them back at the end of a cycle longer than a short phase, CPython takes arenas one by one
	HealthyGo     Fault = "healthy-go"
	HealthyJVM    Fault = "healthy-jvm"
	HealthyArenas Fault = "healthy-arenas"
	// a chunk that names the role is sent at once, as OpenAI's API does, and the metrics do not count it as a token
	HealthyPrelude Fault = "healthy-prelude"
	// reasons before it answers; its metrics and its usage count the reasoning
	HealthyReasoning Fault = "healthy-reasoning"

	Stall  Fault = "stall"   // everything stops for 1.4 s in every 10 s
	Leak   Fault = "leak"    // memory grows linearly and never comes back
	LeakGo Fault = "leak-go" // the same behind a collector's teeth
	// leaks with the requests that a run of half a minute cannot tell from garbage: behind a collector whose cycle is
	// longer, and in a runtime that takes its memory in arenas
	LeakJVM    Fault = "leak-jvm"
	LeakArenas Fault = "leak-arenas"
	// the same as leak, and a gauge calls it a cache; by seed its bound moves, or is too low, or is not kept, or it
	// fills in idle too
	LyingCache    Fault = "lying-cache"
	LyingTokens   Fault = "lying-tokens"   // the token counters of /metrics are 3 % too high
	MissedCounts  Fault = "missed-counts"  // /metrics misses one request in 40
	CachedReplies Fault = "cached-replies" // a prompt that was seen before is answered at once
	EmptyFirst    Fault = "empty-first"    // an empty chunk is sent at once, and its TTFT metric counts it
	InflatedUsage Fault = "inflated-usage" // usage.completion_tokens is 30 % above what was sent
	Drift         Fault = "drift"          // slower and slower: +1 % of latency a minute, times Config.Speed
	Errors        Fault = "errors"         // 1 % of the requests get status 500
	Truncated     Fault = "truncated"      // 1 % of the streams break off in the middle
	SlowFirst     Fault = "slow-first"     // the first byte takes longer than the latency target
	CPUBurner     Fault = "cpu-burner"     // uses more cores than allowed
	IgnoresMax    Fault = "ignores-max"    // answers with more tokens than max_tokens
	FalseFinish   Fault = "false-finish"   // says finish_reason "stop" where max_tokens cut the answer
	LyingTTFT     Fault = "lying-ttft"     // its TTFT metric leaves most of the wait out; the requests do not
	TooSlow       Fault = "too-slow"       // serves 80 % of the target rate: a queue builds up
	Garbled       Fault = "garbled"        // answers lose their order when many requests are in flight
	MemoryHog     Fault = "memory-hog"     // more memory than allowed, for a moment, under load only
)

// ErrUnknown is matched when a fault has no such name.
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

// Unseen lists faulty servers that a short run cannot find. It must not pass them: it says how long a run must be.
func Unseen() []Fault { return []Fault{LeakJVM, LeakArenas} }

// All lists every server of the bank.
func All() []Fault { return slices.Concat(HealthyOnes(), Planted(), Unseen()) }

// Parse finds a fault by name.
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
