// Package api answers HTTP requests in front of any llm.Backend: OpenAI's routes, health checks, metrics, limits and
// draining.
//
// server.go has the Server, its routes and who is let in: start there. middleware.go gives each request an exchange
// (in exchange.go), a log line and recovery from panics; lifecycle.go says whether the service is starting, ready
// or draining.
//
// responses.go and anthropic.go are the routes of packages responses and messages. prompt.go has what is reported of
// prompts. align.go keeps what is reported of tokens in step with their text. wire.go gives what net/http refuses by
// itself the shape of our errors, and wire_tls.go does so inside TLS.
//
// complete.go follows a request for completions: object.go reads its body, request.go checks its fields, generate.go
// runs it, and format.go writes its answer, whole or as a stream. pass.go hands it on instead where the backend is
// other servers. forecast.go refuses what cannot end in its time.
//
// errors.go decides which status an error gets. models.go has models and tokens, observe.go tells the log of
// requests, trace.go makes spans, and profile.go serves Go's profiles.
package api
