// Package stats has the statistics of a certificate. Every function is pure and deterministic.
//
// percentile.go has exact percentiles and early stopping, interval.go has confidence intervals, ranks.go has rank
// tests and shifts, trend.go has slopes and the search for a steady state, and correlation.go measures how much
// neighbouring values of a series depend on each other. Start reading at Percentile.
package stats
