// Package plan finds how many replicas of a model hold given targets under given traffic, by simulation.
//
// A discrete-event simulation runs the scheduler that serves (package schedule) and the gateway's routing policies
// (package route) in virtual time. What a forward pass takes comes from a cost model:
//
//   - cost.go: what a step is, and a table that was measured (bench --profile);
//   - seen.go: the same table out of what the clients of a server saw (plan --from);
//   - hardware.go: a cost from data sheets of accelerators, after the roofline model (Williams et al. 2009).
//
// traffic.go draws arrivals and lengths from a seed, simulate.go runs them through replicas, result.go says what came
// of it, search.go finds the replicas that are needed and the rate that they hold. Start reading at simulate.go.
package plan
