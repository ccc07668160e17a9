// Package judge derives the verdict from the record of a run. The verdict is a pure function of the events: anyone can
// derive it again and get the same bytes. No rule reads a clock or a file. docs/VERDICT.md explains the rules.
//
// judge.go has the entry points and applies the checks; run.go sorts the events; phase.go measures one phase. rules.go
// maps each rule to its function: rules about load are in rules_load.go, stalls.go and quality.go, rules about the
// whole run in rules_run.go. reconcile.go and gauges.go compare metrics with the client's counts; resources.go,
// leak.go and cache.go judge memory, gpu.go accelerators; sweep.go judges the steps of a sweep and derives the knee;
// against.go compares with an earlier run; generators.go judges the load generators, if there were several; host.go
// finds out how much of the machine other programs used. series.go prepares the plots, and number.go formats figures.
// Start reading at Judge.
package judge
