// Package engine serves many requests with one model: continuous batching over a paged KV cache (Yu et al. 2022, Orca;
// Kwon et al. 2023, vLLM). It implements llm.Backend.
//
// Package schedule decides what each step computes. The loop here (loop.go) runs the model, samples and hands out
// events. Start reading at engine.go: Open, Generate and Close. request.go is one request's state, draft.go guesses
// tokens that are likely to come, grammar.go and tools.go hold answers to a form, score.go says how likely a prompt
// is, trace.go makes a request's spans. memory.go counts the memory that serving takes, and invariants.go turns on
// checks in tests.
package engine
