// Package loadgen sends load to an OpenAI-compatible server and records each request. It has open loops, which follow
// a schedule, closed loops, and batches, which send all requests at once.
//
// The open loop measures a server as its users see it: arrivals are drawn before the run, a late one is sent at once
// and never dropped, and its latency counts from the schedule. So a stall of the server counts for every request that
// it delays. The time at which a request is sent is taken just before its system call, on a thread that sleeps in the
// kernel until the request is due and writes to connections opened before. The time at which bytes arrive is the
// kernel's time stamp of their packet if it gives one, and otherwise the time at which the read returns. MeasureClient
// measures the remaining error.
//
// plan.go has Plan and its checks, pacer.go decides when to send as a state machine without a clock, and run.go is the
// loop around it. ahead.go makes requests before they are due, part.go divides a plan among generators, and follow.go
// sends the turns of conversations. client.go and conn.go send requests over HTTP/1.1, and http2.go over HTTP/2.
// room_*.go makes sockets whose writes need not wait, head.go writes the heads of requests, and encoding.go
// decompresses answers. sse.go, chunk.go and chunk_slow.go parse answers, toolcall.go joins tool calls, answer.go
// fills the record of a request within the bounds of bound.go, failure.go sorts errors into classes, and trace.go
// makes spans. alive_*.go looks whether the server has closed an idle connection. arrival*.go and clock*.go take
// times, and joins.go finds chunks whose times the kernel did not keep. stack.go is a list without a lock, and
// procs.go raises GOMAXPROCS during a run. null.go is the server with which measure.go measures the client's error.
// Start reading at Run.
package loadgen
