// Package certify runs a performance test case against an OpenAI-compatible server and says, with evidence, whether
// the server meets the case's targets: PASS, FAIL, or INVALID if the run cannot tell. It reaches a server by its URL,
// and it certifies this project's server as it certifies any other.
//
// A run goes through these stages:
//
//	plan → load, measurements, scores → events → verdict → report
//
// The case is data (see package testcases); TC-L1-COMP-MIXTRAL-003 is compiled in. During the load, every request,
// resource sample and scrape of the metrics is appended to an events file. The verdict is a pure function of that
// file: anyone can derive it again with `mixtral report verify`, and a run that was killed keeps what it measured.
//
// A server that the run starts is a separate process if possible (target.Child). Then the sampled memory and CPU are
// the server's alone, and a crash of the server is a finding instead of the end of the certifier. Inside `go test` a
// server is an http.Handler in the same process (target.Handler), and the report says that its memory and CPU include
// the load generator's.
//
// # Files
//
// certify.go has Run and its options, and run.go the coordinator that takes a run from its first phase to its report.
// It hands the work to a few types:
//
//   - plan (plan.go): the options, the case and the phases of the profile; traffic.go makes requests and arrival times
//   - server (server.go): the server under test, its models, and whether it still answers
//   - record (record.go): the events file and the clock of the run
//   - progress (progress.go): the current phase and the requests in flight, and the function that reports them to the
//     caller
//   - metrics (metrics.go): scrapes of the server's metrics before, during and after each phase
//   - observer (observe.go): samples memory, CPU, metrics, clocks and the machine during the load
//   - phaseRun (phase.go): one phase; auditor (audit.go) makes the requests of the audit phase
//   - reviewer (reviewer.go): another model that gives a second opinion on answers
//
// If other machines make the load (Options.Generators), generators.go sends each of them its part of the plan and
// merges their records; generate.go and worker.go run on such a machine.
//
// preconditions.go checks the preconditions of the load: limits.go those of files and ports, fit.go that the requests
// fit the model's context, for which tokens.go counts their tokens, and proof.go that the model answers, with the
// fields that the server accepts. extra.go adds headers, query and body fields to requests.
//
// talk.go makes the requests of phases with traffic of their own, and the turns of conversations. task.go and
// task_tools.go ask questions whose answers are graded, score.go scores all other answers, and audit_first.go is the
// audit of the first chunk. overdue.go ends phases and runs that take longer than they can. sweep.go runs the steps of
// a sweep, earlier.go reads the run to compare with, said.go asks the server to describe itself, gpus.go samples its
// accelerators, trace.go sends spans of the requests, and monitor.go is the specification's PerformanceMonitor. Start
// reading at Run.
package certify
