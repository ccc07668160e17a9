// Package slo reads service-level objectives as people write them: a metric, a statistic and a limit, such as
// "ttft:p99<2s".
//
// The certifier judges a server by objectives, and the capacity plan finds how many replicas are needed to keep them.
// slo.go has Parse, which reads a list, and Objective.Of, which takes the statistic of measured values.
package slo
