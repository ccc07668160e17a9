package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// harness sends the requests of lm-evaluation-harness' local-completions and local-chat-completions, and reads the
// answers as it does (lm_eval/models/openai_completions.py and api_models.py of version 0.4.9).
func harness(base, model string) checks {
	post := func(ctx context.Context, path string, body, into any) error {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, bytes.NewReader(data))
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s %v", resp.Status, answer, err)
		}
		return json.Unmarshal(answer, into)
	}
	tokens := func(ctx context.Context, text string) (ids []int, err error) {
		var out struct{ Tokens []int }
		err = post(ctx, "/tokenize", map[string]any{"model": model, "prompt": text}, &out)
		return out.Tokens, err
	}
	return checks{
		// A batch of token ids, contexts and continuations together: the sum of the continuation's log-probabilities,
		// and whether it is what greedy decoding gives. The last token is the one generated, and is left out.
		"loglikelihood": {"token ids": func(ctx context.Context) error {
			var batch [][]int
			var contexts []int
			for _, pair := range [][2]string{{"The sky is", " blue"}, {"Two and two", " make four"}} {
				before, err := tokens(ctx, pair[0])
				if err != nil {
					return err
				}
				whole, err := tokens(ctx, pair[0]+pair[1])
				if err != nil {
					return err
				}
				batch, contexts = append(batch, whole), append(contexts, len(before))
			}
			for _, most := range []int{1, 0} {
				var out struct {
					Choices []struct {
						Index    int
						Logprobs struct {
							Tokens []*float64           `json:"token_logprobs"`
							Top    []map[string]float64 `json:"top_logprobs"`
						}
					}
				}
				err := post(ctx, "/v1/completions", map[string]any{"model": model, "prompt": batch, "temperature": 0,
					"max_tokens": most, "logprobs": 1, "seed": 1234, "echo": true}, &out)
				if err != nil {
					return err
				}
				for _, c := range out.Choices {
					l := c.Logprobs
					if len(l.Tokens) != len(batch[c.Index])+most || len(l.Top) != len(l.Tokens) {
						return fmt.Errorf("%d log-probabilities of %d tokens", len(l.Tokens), len(batch[c.Index]))
					}
					for i := contexts[c.Index]; i < len(batch[c.Index]); i++ {
						if l.Tokens[i] == nil || *l.Tokens[i] > 0 || len(l.Top[i]) == 0 {
							return fmt.Errorf("token %d: %v of %v", i, l.Tokens[i], l.Top[i])
						}
					}
				}
			}
			return nil
		}},
		"generate_until": {"texts": func(ctx context.Context) error {
			var out struct{ Choices []struct{ Text string } }
			err := post(ctx, "/v1/completions", map[string]any{"model": model, "prompt": []string{"Once", "Twice"},
				"max_tokens": 8, "temperature": 0, "stop": []string{"\n\n", "Question:"}, "seed": 1234}, &out)
			if err != nil {
				return err
			}
			return want(len(out.Choices) == 2, "two answers")
		}, "chat": func(ctx context.Context) error {
			var out struct {
				Choices []struct{ Message struct{ Content string } }
			}
			err := post(ctx, "/v1/chat/completions", map[string]any{"model": model, "max_tokens": 8, "temperature": 0,
				"messages": []any{map[string]any{"role": "user", "content": "Hello", "type": "text"}},
				"stop":     []string{"\n\n"}, "seed": 1234}, &out)
			if err != nil {
				return err
			}
			return want(len(out.Choices) == 1, "an answer")
		}},
	}
}
