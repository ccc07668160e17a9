// Package slo reads service-level objectives in the form in which people write them: a metric, a statistic and a
// limit, such as "ttft:p99<2s".
//
// The certifier judges a server by objectives, and the capacity plan finds how many replicas are needed to meet them.
// slo.go has Parse, which reads a list, and Objective.Of, which computes the statistic of measured values.
package slo
