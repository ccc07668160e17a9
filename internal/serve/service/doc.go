// Package service wires the serving half together: the model or the upstream servers, the HTTP API, API keys,
// certificates, the request log, traces and the limits of the machine become one service that starts and stops.
//
//	options.go     what a service is told; the public package mixtral makes it of a configuration
//	service.go     its life: New, Load, Close, and the completions between; start reading here
//	serve.go       listening, serving and draining
//	memory.go      how the memory limit is shared out
//	usage.go       what the process uses, and how it keeps to its cores
//	upstream.go    other servers in place of the engine
//	requestlog.go  requests in a database
//	tracing.go     spans for a collector
package service
