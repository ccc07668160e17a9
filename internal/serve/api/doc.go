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
// runs it, and format.go writes its answer, whole or as a stream. messages.go reads conversations, tools.go what an
// answer may call, and grammar.go what constrains it; unknown.go renames other servers' fields and refuses fields that
// no code has read. turns.go lets the choices of a request take places in turn. scope.go says which requests share
// cached prompts. If the backend is other servers, pass.go passes the request on instead, and waiting.go keeps its
// stream alive. forecast.go refuses requests that cannot end in their time.
//
// errors.go decides which status an error gets, and browser.go which sites' pages may use the service. models.go has
// models and tokens, observe.go reports requests to the request log, trace.go makes spans, and profile.go serves Go's
// profiles.
package api
