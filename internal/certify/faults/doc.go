// Package faults is a bank of OpenAI-compatible servers with known behaviour: healthy ones, and ones with exactly one
// planted fault each. The certifier is tried on them: it must find each fault, and blame no healthy server. The times
// of a server are drawn from a seed. It computes nothing, so that many of them fit on one machine.
//
// faults.go lists the faults; server.go has the server, stream.go sends its answers, answers.go has their texts, and
// metrics.go has what it reports of itself. strange.go has servers that clients choke on, dialects.go
// those with other streams, wire.go those with other HTTP. Start reading at Fault.
package faults
