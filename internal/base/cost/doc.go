// Package cost measures the memory and the processor time that a piece of work takes, for tests that hold it to a bound.
//
// cost.go is all of it.
package cost
