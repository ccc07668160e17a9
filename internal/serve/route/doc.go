// Package route decides which replica of a model gets a request.
//
// Policies are pure: they are told what is outstanding at each replica and give an index. The gateway asks them with
// real requests, the capacity plan with simulated ones. route.go has all of them: start at Policy.
package route
