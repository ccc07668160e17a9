// Package api answers HTTP requests in front of any llm.Backend: OpenAI's routes, health checks, metrics, limits and
// draining.
//
// server.go has the Server, its routes, and the checks before a request is admitted: start there. middleware.go gives
// each request an exchange (in exchange.go), a log line and recovery from panics; lifecycle.go says whether the
// service is starting, ready or draining.
//
// responses.go and anthropic.go are the routes of packages responses and messages. prompt.go has what is reported
// about prompts. align.go keeps the reported tokens in step with their text. wire.go gives the refusals of net/http
// the form of our errors, and wire_tls.go does so inside TLS.
//
// complete.go follows a request for completions: object.go reads its body, request.go checks its fields, generate.go
// runs it, and format.go writes its answer, whole or as a stream. If the backend is other servers, pass.go passes the
// request on instead. forecast.go refuses requests that cannot end in their time.
//
// errors.go decides which status an error gets. models.go has models and tokens, observe.go reports requests to the
// request log, trace.go makes spans, and profile.go serves Go's profiles.
package api
