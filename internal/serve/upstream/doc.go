// Package upstream serves requests with other OpenAI-compatible servers: it picks a replica, passes bytes through
// unchanged, and learns from them what metrics and limits need.
//
// upstream.go has the configuration and what is known of the replicas: start there. servers.go has the servers, which
// may change while requests run, and file.go reads them from a file; which one gets a request, package route decides.
// health.go checks them. prepare.go reads a request's body. proxy.go passes a request on and tries the next replica
// before the answer has begun; stream.go reads what goes through. backend.go makes it an llm.Backend:
// encode.go writes requests, events.go reads answers, and score.go asks how likely prompts are. trace.go makes spans
// of the tries.
package upstream
