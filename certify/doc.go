// Package certify runs a performance test case against an OpenAI-compatible server and says, with evidence, whether
// the server keeps it: PASS, FAIL, or INVALID where the run cannot tell. It knows a server by its URL, and certifies
// our own as it certifies any other.
//
// A run is one line of work:
//
//	plan → load, measurements, scores → events → verdict → report
//
// The case is data (see package testcases); TC-L1-COMP-MIXTRAL-003 is compiled in. During the load, every request,
// resource sample and scrape of the metrics is appended to an events file. The verdict is a pure function of that
// file: anyone can derive it again with `mixtral report verify`, and a run that was killed still has what it measured.
//
// A server that the run starts is a process of its own where possible (target.Child). Then the sampled memory and CPU
// are the server's alone, and a crash of the server is a finding and does not end the certifier. Inside `go test` a
// server is an http.Handler in the same process (target.Handler), and the report says that its memory and CPU include
// the load generator's.
//
// # Where to find what
//
// certify.go has Run and its options, and run.go the coordinator that takes a run from its first phase to its report.
// It hands the work to a few types:
//
//   - plan (plan.go): the options, the case and the phases of the profile; traffic.go makes requests and arrival times
//   - server (server.go): the server under test, what it offers, and whether it still answers
//   - record (record.go): the events file and the clock of the run
//   - progress (progress.go): the phase that runs now, the requests in flight, and the caller who is told of them
//   - metrics (metrics.go): scrapes of the server's metrics before, during and after each phase
//   - observer (observe.go): the watchers beside the load
//   - phaseRun (phase.go): one phase; auditor (audit.go) makes the requests of the audit phase
//   - reviewer (reviewer.go): the model that gives a second opinion on answers
//
// Where other machines make the load, generators.go hands each its part of the plan and joins what they record
// (Options.Generators); generate.go and worker.go are such a machine's side of it.
//
// preconditions.go checks what must hold before the load, and fit.go whether the lengths fit the model, which tokens.go
// counts. task.go and task_tools.go ask questions whose answers are graded, sweep.go runs the steps of a sweep,
// earlier.go reads the run to compare with, said.go asks the server what it is, gpus.go watches its accelerators,
// and monitor.go is the specification's PerformanceMonitor. Start reading at Run.
package certify
