// Package property runs property tests in one of two ways. Usually each has the same cases every time, on every
// machine, so that a test fails because of a change and never by chance. With MIXTRAL_SEARCH=30s each looks for new
// cases for that long. What fails then leaves a file in testdata/rapid. It runs first from then on, in both ways, and
// is committed with the repair.
//
// All property tests start in Check, in property.go; a test of the house sees to it.
package property
