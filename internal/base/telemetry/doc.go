// Package telemetry is what the service reports about itself: logs, Prometheus metrics that one table describes, and
// OpenTelemetry traces. The certifier reads the same table to compare the service's figures with its own, and begins
// traces with the same Tracer.
//
// metrics.go has the table of metrics: start there. registry.go counts and observes. limits.go, replicas.go,
// requestlog.go and refusals.go each hold one group of metrics, descs.go what collectors share. log.go makes loggers.
// trace.go has spans and their attributes, setup.go reads the variables of OpenTelemetry, and otlp.go and otlpwire.go
// send spans to a collector.
package telemetry
