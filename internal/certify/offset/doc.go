// Package offset compares the clocks of two machines: how far one is ahead of the other, with a bound that holds
// whatever the network did.
//
// exchange.go computes an offset from the times of one message and its answer (Cristian 1989, as NTP does), and
// track.go follows the offset through many of them. Start reading at Track.
package offset
