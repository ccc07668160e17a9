// Package property runs property tests in one of two ways. Usually each test has the same cases every time, on every
// machine, so that it fails because of a change and never by chance. With MIXTRAL_SEARCH=30s each test looks for new
// cases for that long. A case that fails is written to a file in testdata/rapid. Commit the file with the repair;
// later tests run it first, in both ways.
//
// All property tests start in Check, in property.go. A test in internal/house checks that they do.
package property
