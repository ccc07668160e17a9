// Package bound keeps texts and JSON from elsewhere to a size, before anything is made of them.
//
// bound.go is all of it.
package bound
