package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/model/synth"
)

func TestZZSchemas(t *testing.T) {
	data, _ := os.ReadFile(os.Getenv("SCHEMAS"))
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil { t.Fatal(err) }
	e := open(t, synth.Tiny(), Config{MaxRunning: 10, ContextLength: 1024})
	out, _ := os.Create(os.Getenv("OUT"))
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	var mu sync.Mutex
	var group sync.WaitGroup
	work := make(chan string)
	for range 10 {
		group.Go(func() {
			for name := range work {
				for seed := range int64(16) {
					r := constrained(llm.GrammarSchema, string(m[name]), seed)
					r.MaxTokens = 900
					o, err := llmtest.Collect(t.Context(), e, r)
					mu.Lock()
					rec := map[string]any{"name": name, "text": o.Text, "finish": fmt.Sprint(o.Finish)}
					if err != nil { rec["err"] = err.Error() }
					enc.Encode(rec)
					mu.Unlock()
					if err != nil { break }
				}
			}
		})
	}
	for n := range m { work <- n }
	close(work)
	group.Wait()
}
