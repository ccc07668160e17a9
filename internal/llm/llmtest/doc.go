// Package llmtest holds what tests of the seam need: a scripted backend, and a conformance suite that states
// llm.Backend's contract for every implementation.
//
// Start with Run in conformance.go, which lists the suite; stop.go and any.go have its parts about stop strings and
// about any valid request. collect.go reads a whole answer and checks its events, await.go waits with a limit. fake.go
// is the scripted backend.
package llmtest
