// Package plan finds how many replicas of a model hold given targets under given traffic, by simulation.
//
// A discrete-event simulation runs the scheduler of the service (package schedule) and the gateway's routing policies
// (package route) in virtual time. A cost model says how long a forward pass takes:
//
//   - cost.go: the work of a step, and a table that was measured (bench --profile) and fitted by fit.go;
//   - observed.go: the same table, computed from what the clients of a server observed (plan --from);
//   - hardware.go: a cost from data sheets of accelerators, after the roofline model (Williams et al. 2009).
//
// traffic.go draws arrivals and lengths from a seed, simulate.go runs them through replicas, with the next events in
// heap.go, result.go has the results, and search.go finds the replicas that are needed and the highest rate that they
// hold. Start reading at simulate.go.
package plan
