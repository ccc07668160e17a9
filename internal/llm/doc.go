// Package llm is the seam between whoever answers a request (the embedded engine, an upstream server) and whoever
// asks (the HTTP API, the public package): one Request, one Event, one Backend, and the errors they agree on.
//
// Start with Backend in llm.go. sampling.go says which sampling parameters are in range, stop.go what a stop string
// is.
package llm
