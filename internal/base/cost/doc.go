// Package cost measures the memory and the processor time of a piece of work, for tests that hold it to a bound.
//
// cost.go is all of it.
package cost
