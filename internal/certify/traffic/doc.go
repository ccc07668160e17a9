// Package traffic makes the requests and arrivals of a phase of load: prompts from files, generated prompts of given
// lengths, traces, conversations and schedules. The same seed always gives the same traffic.
//
// read.go reads files of prompts, with helpers in content.go, and trace.go files of traces. draw.go draws from
// distributions, words.go generates texts, arrivals.go makes schedules, and source.go joins them. Start reading at
// Source.
package traffic
