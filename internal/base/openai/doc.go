// Package openai holds the wire format of OpenAI-compatible servers: the JSON of their requests and answers, and their
// event streams. It reads and writes that format and does nothing else.
//
// openai.go has the types and the place to start: chat and text completions, models, tokenisation, errors. sse.go
// reads and writes server-sent events within bounds. append.go writes a stream's chunks without allocating, because
// one goes out for every token. retry.go reads the Retry-After header.
package openai
