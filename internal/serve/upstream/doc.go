// Package upstream serves requests with other OpenAI-compatible servers: it picks a replica, passes bytes through
// unchanged, and reads from them what metrics and limits need.
//
// upstream.go has the configuration and the state of all replicas: start there. servers.go has the servers, which may
// change while requests run, and file.go reads them from a file; package route decides which one gets a request.
// health.go checks them. prepare.go reads a request's body. proxy.go passes a request on, and tries the next replica
// as long as the answer has not begun; answer.go checks the form of an answer, and stream.go reads it as it passes.
// backend.go makes it an llm.Backend: encode.go writes requests, events.go reads answers, and score.go asks for the
// probabilities of prompts. trace.go makes spans of the tries.
package upstream
