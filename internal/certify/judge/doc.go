// Package judge derives the verdict from the record of a run. It is a pure function of the events: anyone can derive
// the verdict again and get the same bytes. It reads no clock and no file. docs/VERDICT.md explains the rules.
//
// judge.go has the entrance and applies the checks; run.go sorts the events; phase.go measures one phase. rules.go
// maps each rule to its function: rules about load are in rules_load.go, stalls.go and quality.go, rules about the
// whole run in rules_run.go. reconcile.go and gauges.go compare metrics with the client's counts; resources.go,
// leak.go and cache.go judge memory, gpu.go
// accelerators; sweep.go judges the steps of a sweep and derives the knee; against.go compares with an earlier run;
// generators.go judges those that made the load, where they were several; host.go finds out what other programs took
// of the machine. series.go prepares the plots, and number.go writes figures. Start reading at Judge.
package judge
