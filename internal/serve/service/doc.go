// Package service connects the parts of the serving half: the model or the upstream servers, the HTTP API, API keys,
// certificates, the request log, traces and the limits of the machine become one service that starts and stops.
//
//	options.go     the service's options; the public package mixtral makes them of a configuration
//	service.go     New, Load, Close, and completions in between; start reading here
//	serve.go       listening, serving and draining
//	memory.go      how the memory limit is divided
//	packed.go      packed copies of ordinary models, made in the background
//	usage.go       what the process uses, and how it keeps to its cores
//	upstream.go    other servers in place of the engine
//	requestlog.go  requests in a database
//	responses.go   answers that later requests continue, in memory or in the database
//	tracing.go     spans for a collector
package service
