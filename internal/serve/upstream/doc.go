// Package upstream serves requests with other OpenAI-compatible servers: it picks a replica, passes bytes through
// unchanged, and learns from them what metrics and limits need.
//
// upstream.go has the configuration and the replicas' health: start there. pool.go picks a replica, as a state
// machine. proxy.go passes a request on and tries the next replica before the answer has begun; stream.go reads what
// goes through. backend.go makes it an llm.Backend, and trace.go makes spans of the tries.
package upstream
