// Package loadgen makes load on an OpenAI-compatible server and records each request as it went: open loop by a
// schedule, closed loop, and all at once. It must not import anything of the serving half.
//
// The open loop is what makes a figure honest: arrivals are drawn before the run, a late one is sent at once and never
// dropped, and its latency counts from the schedule. A server that stalls is then seen as its users would see it.
// When a request is sent and when bytes come is stamped as close to the system call as a Go program can: the schedule
// runs on a thread of its own that sleeps in the kernel and writes requests to connections opened before, and a stamp
// follows each read before the bytes are looked at. MeasureClient says what error remains.
package loadgen
