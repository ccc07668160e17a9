// Package llm is the seam between those who answer a request (the engine, upstream servers) and those who ask (the
// HTTP API, the public package): one Request, one Event, one Backend, and the errors that they agree on.
//
// llm.go has these types: start there, at Backend. sampling.go has the ranges of a request's sampling, stop.go what a
// stop string means, conversation.go the order of a conversation, tools.go what an answer may call.
package llm
