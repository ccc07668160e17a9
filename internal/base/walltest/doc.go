// Package walltest makes times as they are after the wall clock was set, for tests that durations do not depend on the
// wall clock.
//
// walltest.go is all of it.
package walltest
