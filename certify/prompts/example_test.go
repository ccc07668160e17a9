package prompts_test

import (
	"fmt"
	"log"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// A prompt file, declared in Go.
func ExampleSet() {
	set := &prompts.Set{Prompts: []prompts.Prompt{{Category: "geography", Level: "simple",
		Text: "What is the capital of France?", Rubric: &prompts.Rubric{Form: "answer", Answers: []string{"Paris"}}}}}
	if err := set.Validate(); err != nil {
		log.Fatal(err)
	}
	file, err := set.Encode() // performance_test_prompts.json
	if err != nil {
		log.Fatal(err)
	}
	again, err := prompts.Load(file)
	if err != nil {
		log.Fatal(err)
	}
	p, ok := again.Get("geography", "simple")
	fmt.Println(ok, p.Key(), p.Rubric.Answers)
	// Output: true geography/simple [Paris]
}
