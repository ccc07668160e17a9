// Package walltest makes times as they look after somebody has set the wall clock, for tests that durations do not
// depend on it.
//
// walltest.go is all of it.
package walltest
