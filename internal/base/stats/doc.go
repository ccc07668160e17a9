// Package stats has the statistics of a certificate: exact percentiles, intervals, early stopping, rank tests and
// trends.
//
// Every function is pure and deterministic. percentile.go is where to start; interval.go has intervals and early
// stopping, ranks.go tests of ranks, and trend.go slopes and their bounds.
package stats
