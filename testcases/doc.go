// Package testcases represents test cases as data: identity, targets, prompts, phases of load and the checks that
// decide the verdict. It has the built-in cases, reads others from YAML, and makes them from Go values.
//
// A case from a file or by its name:
//
//	loaded, err := testcases.Load("TC-L1-COMP-MIXTRAL-003") // or a path
//
// A case declared in Go:
//
//	c := testcases.New("TC-MINE", "Chat answers within a second")
//	c.Targets.LatencyMS = 1000
//	c.Profiles = map[string]testcases.Phases{"quick": {
//		{ID: "single", Kind: testcases.KindClosed, Concurrency: 1, Requests: 20}}}
//	c.Checks = []testcases.Check{{ID: "mean", Clause: "The mean latency is below 1 s",
//		Rule: testcases.RuleMeanLatency, Phase: "single"}}
//	loaded, err := c.With(nil) // nil: the built-in prompts
//
// case.go has the types, kind.go how phases of a kind run and end, rule.go the table of the rules of checks, and
// validate.go the allowed values of each field. parse.go reads and writes YAML, extend.go merges a case with the one
// that it extends, source.go finds the lines of their files, and problem.go lists all mistakes. sweep.go has sweeps,
// traffic.go the traffic of phases, task.go the graded tasks, and slo.go the objectives. set.go changes single values
// by their path, schema.go makes the JSON Schema, describe.go the manual, metrics.go lists the metrics that a case can
// name, and testcases.go has the built-in cases and the prompts of a case. Start reading at Case.
package testcases
