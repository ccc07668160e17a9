// Package route decides which replica of a model gets a request.
//
// It has no clock, no goroutine and no connection: callers tell it what happened, and when. The gateway reports real
// requests, the capacity plan simulated ones. Start reading at Pool, in pool.go: it holds the replicas of a gateway,
// the models that they serve, and the state of each request. route.go has the policies that choose among replicas that
// may be used. health.go decides which replicas may be used at all (failures, health checks, slow start, draining),
// split.go has the fixed shares of canaries, and budget.go limits how often requests are tried again.
package route
