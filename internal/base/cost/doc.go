// Package cost measures the memory and the processor time of a piece of work, for tests of bounds.
//
// cost.go is all of it.
package cost
