// Package walltest makes times as they look after the wall clock was set, for tests that durations do not depend on
// it.
//
// walltest.go is all of it.
package walltest
