// Package testcases holds test cases as data: identity, targets, prompts, phases of load and the checks that make the
// verdict. It has the cases that are built in, reads others from YAML, and builds them from memory.
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
// case.go has the types, rule.go the table of rules that a check may name, validate.go what is allowed in each field.
// parse.go reads and writes YAML, sweep.go has sweeps, traffic.go what requests ask, set.go changes single values by
// their path, schema.go makes the JSON Schema, and testcases.go has the built-in cases and the prompts of a case.
// Start reading at Case.
package testcases
