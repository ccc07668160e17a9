package mixtral_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/hxp-enterprise/mixtral"
)

// The built-in model answers out of the box; ModelPath takes a GGUF file.
func Example() {
	ctx := context.Background()
	config := mixtral.DefaultConfig()
	config.ModelPath = "synth:tiny" // random weights: it says nothing that makes sense, but always the same
	service, err := mixtral.Open(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()

	greedy := 0.0
	request := mixtral.Request{Prompt: "What is 2 + 2?", MaxTokens: 8, Temperature: &greedy}
	answer, err := service.GenerateCompletion(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	again, err := service.GenerateCompletion(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(answer.Choices), "choice,", answer.Usage.CompletionTokens <= 8, answer.Text() == again.Text())

	memory, err := service.MemoryUsage()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("within the limit:", memory.RSS <= service.MemoryPlan().Limit)
	// Output:
	// 1 choice, true true
	// within the limit: true
}

// The HTTP API is a handler: it can stand beside a program's other routes.
func ExampleService_Handler() {
	ctx := context.Background()
	config := mixtral.DefaultConfig()
	config.ModelPath = "synth:tiny"
	service, err := mixtral.Open(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()

	server := httptest.NewServer(service.Handler())
	defer server.Close()
	response, err := http.Get(server.URL + "/readyz")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.StatusCode, string(body))
	// Output: 200 {"chat_format":"mistral","status":"ready"}
}
