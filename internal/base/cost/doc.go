// Package cost measures the memory and the processor time of a piece of work, for tests that check a bound on it.
//
// cost.go is all of it.
package cost
