// Package judge derives the verdict from the record of a run. The verdict is a pure function of the events: anyone can
// derive it again and get the same bytes. No rule reads a clock or a file. docs/VERDICT.md explains the rules.
//
// judge.go has the entry points and applies the checks. stream.go reads a record while it judges it, and live.go
// judges a record that is still written; lean.go keeps the memory for large ones small. run.go sorts the events,
// request.go keeps what the rules read of a request, phase.go measures one phase, and gaps.go counts the gaps between
// its chunks.
//
// rules.go maps each rule to its function. Rules about load are in rules_load.go, rules_slo.go, stalls.go and
// quality.go, those about graded answers in rules_task.go, and those about the whole run in rules_run.go. blame.go
// says why requests failed, and which of the failures do not count against the server.
//
// reconcile.go and gauges.go compare metrics with the client's counts; strangers.go looks for other explanations of a
// difference, such as other clients, and cut.go says what was too large to be kept. fleet.go judges replicas behind
// one URL. resources.go, leak.go and cache.go judge memory: collector.go and teeth.go find out whether a garbage
// collector ran. gpu.go judges accelerators; sweep.go judges the steps of a sweep and derives the knee; against.go
// compares with an earlier run; generators.go judges the load generators, if there were several; host.go finds out how
// much of the machine other programs used. series.go prepares the plots, and number.go formats figures. Start reading
// at Judge.
package judge
