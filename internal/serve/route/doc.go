// Package route decides which replica of a model gets a request.
//
// It has no clock, no goroutine and no connection: it is told what happened, and when. The gateway tells it of real
// requests, the capacity plan of simulated ones. pool.go has the replicas of a gateway, which models they serve, and
// what becomes of a request: start there, at Pool. route.go has the policies that choose among equals, health.go
// which replicas may be asked at all (failures, health checks, slow start, draining), split.go the fixed shares of
// canaries, and budget.go how often a request may be tried again.
package route
