// Package faults is a collection of OpenAI-compatible servers with known behaviour: healthy servers, and servers with
// exactly one fault each. They test the certifier: it must find each fault and blame no healthy server. The times of a
// server are drawn from a seed. It computes nothing, so that many of them fit on one machine.
//
// faults.go lists the faults; server.go has the server, stream.go sends its answers, answers.go has their texts, and
// metrics.go has what it reports of itself. strange.go has healthy servers with unusual answers, dialects.go servers
// with other streams, and wire.go servers with other HTTP. Start reading at Fault.
package faults
