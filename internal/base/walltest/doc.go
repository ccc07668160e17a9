// Package walltest makes times as they are after somebody has set the wall clock, for tests that durations do not
// depend on the wall clock.
//
// walltest.go is all of it.
package walltest
