// Package route decides which replica of a model gets a request.
//
// It has no clock, no goroutine and no connection: callers tell it what happened, and when. The gateway tells it of
// real requests, the capacity plan of simulated ones. Start reading at Pool, in pool.go, which has the replicas of a
// gateway, the models that they serve, and what becomes of a request. route.go has the policies that choose among
// equal replicas, health.go which replicas may be asked at all (failures, health checks, slow start, draining),
// split.go the fixed shares of canaries, and budget.go how often a request may be tried again.
package route
