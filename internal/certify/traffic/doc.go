// Package traffic makes the requests and arrivals of a phase of load: prompts from files, prompts made up to given
// lengths, traces, conversations and schedules, all from a seed.
//
// read.go reads the formats of files with the helpers of content.go, trace.go those of traces, draw.go draws from distributions, words.go makes up
// prompts, arrivals.go makes schedules, and source.go joins them. Start reading at Source.
package traffic
