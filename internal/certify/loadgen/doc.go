// Package loadgen makes load on an OpenAI-compatible server and records each request as it went: open loop by a
// schedule, closed loop, and all at once.
//
// The open loop is what makes a figure honest: arrivals are drawn before the run, a late one is sent at once and never
// dropped, and its latency counts from the schedule. A server that stalls is then seen as its users would see it.
// When a request is sent is stamped just before its system call, on a thread that sleeps through the schedule in the
// kernel and writes to connections opened before. When bytes come is the kernel's stamp of their packet where it gives
// one, else the time at which the read returns. MeasureClient says what error remains.
//
// plan.go has Plan and its checks, pacer.go decides when to send as a state machine without a clock, and run.go is
// the loop around it; ahead.go makes requests before they are due, part.go divides a plan among generators, follow.go
// sends the turns of conversations. client.go and conn.go send requests, room_*.go sees that a write need not wait,
// http2.go sends where it must, head.go writes what each of them begins with, encoding.go undoes compression, chunk.go
// and sse.go read answers, toolcall.go joins calls of tools, answer.go fills the record of a request within the bounds
// of bound.go, and failure.go sorts errors into classes. arrival*.go and clock*.go stamp times, and joins.go finds
// chunks whose times the kernel has lost. null.go is the server
// that measure.go measures the client against. Start reading at Run.
package loadgen
