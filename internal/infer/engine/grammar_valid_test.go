package engine

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/hxp-enterprise/mixtral/internal/infer/grammar/grammartest"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

// TestAnswersAreValid: whatever the schema and the seed, an answer at temperature 2 that ends by itself is valid, as
// Google's validator sees it. MIXTRAL_GRAMMAR says how many runs there are.
func TestAnswersAreValid(t *testing.T) {
	runs := 150
	if s := os.Getenv("MIXTRAL_GRAMMAR"); s != "" {
		var err error
		if runs, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	e := open(t, synth.Tiny(), Config{MaxRunning: 10, ContextLength: 512})
	var ended, cut, refused atomic.Int32
	var group sync.WaitGroup
	next := make(chan int)
	for range 10 {
		group.Go(func() {
			for run := range next {
				rng := rand.New(rand.NewPCG(uint64(run), 11))
				schema := grammartest.Schema(rng)
				switch text, finish, err := validAnswer(t, e, schema, int64(run)); {
				case err != nil:
					t.Errorf("run %d: %s\nmade %s: %v", run, schema, text, err)
				case finish == llm.FinishNone:
					refused.Add(1)
				case finish == llm.FinishLength:
					cut.Add(1)
				default:
					ended.Add(1)
				}
			}
		})
	}
	for run := range runs {
		next <- run
	}
	close(next)
	group.Wait()
	t.Logf("%d answers ended and are valid, %d were cut, %d schemas refused", ended.Load(), cut.Load(), refused.Load())
	if int(ended.Load()) < runs/2 {
		t.Errorf("only %d of %d answers ended", ended.Load(), runs)
	}
}

// validAnswer makes an answer and checks it. finish is empty where the schema was refused.
func validAnswer(t *testing.T, e *Engine, schema string, seed int64) (text string, finish llm.Finish, err error) {
	r := constrained(llm.GrammarSchema, schema, seed)
	if seed%3 == 0 { // raw prompts too
		r.Messages, r.Prompt = nil, "which words?"
	}
	out, err := llmtest.Collect(t.Context(), e, r)
	if field, ok := err.(*llm.FieldError); ok && field.Field == "response_format" && out.Events == 0 {
		return "", llm.FinishNone, nil
	}
	if err != nil || out.Finish != llm.FinishStop {
		return out.Text, out.Finish, err
	}
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		return out.Text, out.Finish, err
	}
	v, err := s.Resolve(nil)
	if err != nil {
		return out.Text, out.Finish, err
	}
	var value any
	if err := json.Unmarshal([]byte(out.Text), &value); err != nil {
		return out.Text, out.Finish, err
	}
	return out.Text, out.Finish, v.Validate(value)
}
