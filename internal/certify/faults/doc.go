// Package faults is a collection of OpenAI-compatible servers with known behaviour: healthy servers, and servers with
// exactly one fault each. They test the certifier, which must find each fault and blame no healthy server. A server
// draws its delays from a seeded random generator. It computes nothing, so that many of them fit on one machine.
//
// faults.go lists the faults. server.go has the server, stream.go sends its answers, answers.go has their texts, and
// metrics.go has its /metrics. strange.go has working servers with unusual behaviour: dialects.go has those with
// unusual streams, and wire.go those with unusual HTTP. hostile.go has servers that attack the certifier. Start
// reading at Fault.
package faults
