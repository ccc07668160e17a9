// Package offset measures how far the clock of one machine is ahead of another's, with a bound of the error that holds
// whatever the network did.
//
// exchange.go computes the offset from the times of one message and its answer (Cristian 1989), as NTP does. track.go
// combines many such readings over time. Start reading at Track.
package offset
