// Package mixtral is the AI Model Service: it serves a Mixtral model behind an OpenAI-compatible HTTP API and to Go
// programs, with an engine of its own that runs on CPUs.
//
//	config := mixtral.DefaultConfig()
//	config.ModelPath = "/opt/models/mixtral-8x7b-instruct-v0.1.Q4_K_M.gguf"
//	service, err := mixtral.Open(ctx, config)
//	if err != nil { … }
//	defer service.Close()
//	answer, err := service.GenerateCompletion(ctx, mixtral.Request{Prompt: "What is 2 + 2?"})
//
// ListenAndServe serves the same model over HTTP. All methods of Service are safe for concurrent use.
//
// The files: mixtral.go has the Service and its life, and completion.go requests and answers. config.go has the
// configuration: config_check.go, config_access.go and config_upstream.go check it, and config_problem.go lists what
// is wrong with it. Start reading at Config and Open. The work is done in internal/serve/service, which this package
// wraps.
package mixtral
