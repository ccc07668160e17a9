// Package stats has the statistics of a certificate. Every function is pure and deterministic.
//
// percentile.go has exact percentiles and early stopping, interval.go has confidence intervals, ranks.go has rank
// tests and shifts, and trend.go has slopes and the search for a steady state. Start reading at Percentile.
package stats
