// Package property runs property tests in one of two ways: with the same cases each time, or in search of new ones.
//
// Usually each test has the same cases every time, on every machine, so that it fails because of a change and never
// by chance. With MIXTRAL_SEARCH=30s each test looks for new cases for that long. A failing case leaves a file in
// testdata/rapid, which is committed with the repair and runs first from then on, in both ways.
//
// property.go is all of it. All property tests start here; the house test sees to it.
package property
