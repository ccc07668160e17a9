// Package llmtest has what tests of the seam need: a backend that follows a script, and a conformance suite that
// states the contract of llm.Backend for every implementation.
//
// conformance.go is the suite: start there. any.go adds requests of all kinds to it, stop.go stop strings,
// conversation.go orders of messages, grammar.go constrained answers, tools.go calls of tools, and prompt.go
// log-probabilities of prompts. fake.go is the backend, collect.go gathers its events, await.go waits in tests, but
// not for ever, and port.go finds ports.
package llmtest
