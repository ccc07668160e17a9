// Package schedule decides which positions of which sequences a model computes in each step of continuous batching (Yu
// et al. 2022, Orca) over a paged KV cache (Kwon et al. 2023, vLLM).
//
// It is pure: it knows no goroutine, no clock, no model and no text. The engine drives it with real steps, and the
// capacity plan with simulated ones. schedule.go is the state machine: Submit, Plan, Advance, Push and Remove are its
// events, and the stories in testdata show what comes of them. pace.go decides how many tokens of prompts join a step,
// from how long earlier steps took.
package schedule
