package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

// scorer is a replica that answers text completions with the given choice, and has /tokenize only if ids are given.
func scorer(t *testing.T, choice, ids string) *fake {
	return newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/tokenize" && ids == "":
			http.NotFound(w, r)
		case r.URL.Path == "/tokenize":
			fmt.Fprintf(w, `{"tokens":[%s],"count":3,"max_model_len":99}`, ids)
		default:
			fmt.Fprintf(w, `{"id":"c","object":"text_completion","created":1,"model":"there","choices":[{"index":0,`+
				`"text":"abc","finish_reason":"length",%s}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`, choice)
		}
	})
}

const (
	vllmScores = `"prompt_logprobs":[null,` +
		`{"7":{"logprob":-3,"rank":9,"decoded_token":"b"},"5":{"logprob":-0.5,"rank":1,"decoded_token":"x"}},` +
		`{"8":{"logprob":-0.25,"rank":1,"decoded_token":"c"},"9":{"logprob":-2,"rank":2,"decoded_token":"y"}}]`
	echoScores = `"logprobs":{"tokens":["a","b","c"],"token_logprobs":[null,-3,-0.25],` +
		`"top_logprobs":[null,{"b":-3,"x":-0.5},{"c":-0.25,"y":-2}],"text_offset":[0,1,2]}`
)

// TestScores: a prompt's log-probabilities are read in vLLM's form and in that of OpenAI's echo, whether the ids of
// its tokens are known or not, and generated tokens do not count as a part of it.
func TestScores(t *testing.T) {
	text := llm.Request{Prompt: "abc"}
	tokens := llm.Request{PromptTokens: []int32{6, 7, 8}}
	chat := llm.Request{Messages: []llm.Message{{Role: llm.RoleUser, Content: "abc"}}}
	more := strings.NewReplacer(`"c"]`, `"c","d"]`, `-0.25]`, `-0.25,-1]`, `"y":-2}]`, `"y":-2},{"d":-1}]`)
	for _, c := range []struct {
		name, choice, ids string
		r                 llm.Request
		want              string // id:logprob:rank:alternatives of each token; ids are negative where nobody told them
	}{
		{"vLLM, tokenised", vllmScores, "6,7,8", text, "6:0:0:0 7:-3:9:1 8:-0.25:1:2"},
		{"vLLM, tokens", vllmScores, "", tokens, "6:0:0:0 7:-3:9:1 8:-0.25:1:2"},
		{"vLLM, a chat", vllmScores, "6,7,8", chat, "6:0:0:0 7:-3:9:1 8:-0.25:1:2"},
		{"vLLM with its echo", vllmScores + "," + echoScores, "", text, "?:0:0:0 7:-3:9:1 8:-0.25:1:2"},
		{"an echo", echoScores, "", text, "?:0:0:0 ?:-3:2:2 ?:-0.25:1:2"},
		{"an echo of tokens", echoScores, "", tokens, "6:0:0:0 7:-3:2:2 8:-0.25:1:2"},
		{"an echo, tokenised", echoScores, "6,7,8", text, "6:0:0:0 7:-3:2:2 8:-0.25:1:2"},
		{"an echo and an answer", more.Replace(echoScores), "", tokens, "6:0:0:0 7:-3:2:2 8:-0.25:1:2"},
	} {
		f := scorer(t, c.choice, c.ids)
		r := c.r
		r.ID, r.Model, r.PromptLogprobs, r.PromptTopLogprobs, r.PromptOnly = "r", "there", true, 2, true
		out, err := llmtest.Collect(t.Context(), connect(t, Config{}, f), &r)
		var got []string
		for _, p := range out.Prompt {
			id := fmt.Sprint(p.ID)
			if p.ID <= llm.UnknownID {
				id = "?"
			}
			got = append(got, fmt.Sprintf("%s:%g:%d:%d", id, p.Logprob, p.Rank, len(p.Top)))
		}
		if s := strings.Join(got, " "); err != nil || s != c.want || out.Finish != llm.FinishLength ||
			out.Text != "" || out.Usage.PromptTokens != 3 || out.Usage.CompletionTokens != 0 {
			t.Errorf("%s: %s, want %s; %+v, %v", c.name, s, c.want, out, err)
		}
		var sent map[string]json.RawMessage
		json.Unmarshal([]byte(f.body), &sent)
		for field, want := range map[string]string{"echo": "true", "max_tokens": "0", "logprobs": "2",
			"prompt_logprobs": "2"} {
			if string(sent[field]) != want {
				t.Errorf("%s: sent %s, want %s of %s", c.name, f.body, field, want)
			}
		}
	}
}

// TestScoresRefused: if a server says nothing about the prompt, or nothing that fits it, no figures are invented.
func TestScoresRefused(t *testing.T) {
	tokens := []int32{6, 7, 8}
	for _, c := range []struct {
		name, choice string
		want         error
	}{
		{"nothing", `"logprobs":null`, llm.ErrUnsupported},
		{"too few", strings.ReplaceAll(vllmScores, "[null,", "["), ErrUnreachable},
		{"other tokens", strings.ReplaceAll(vllmScores, `"7"`, `"70"`), ErrUnreachable},
		{"no ids", strings.ReplaceAll(vllmScores, `"7"`, `"seven"`), ErrUnreachable},
		{"null within", strings.ReplaceAll(echoScores, "[null,-3", "[null,null"), ErrUnreachable},
		{"another type", `"prompt_logprobs":"x"`, ErrUnreachable},
		{"a bomb", `"prompt_logprobs":[` + strings.Repeat("{},", 1<<20) + `{}]`, ErrUnreachable},
	} {
		u := connect(t, Config{}, scorer(t, c.choice, ""))
		r := &llm.Request{ID: "r", Model: "there", PromptTokens: tokens, PromptLogprobs: true, PromptOnly: true}
		if out, err := llmtest.Collect(t.Context(), u, r); !errors.Is(err, c.want) || out.Events > 0 {
			t.Errorf("%s: %v after %d events", c.name, err, out.Events)
		}
	}
	// chats are scored by their tokens, which only their server knows
	u := connect(t, Config{}, scorer(t, vllmScores, ""))
	r := &llm.Request{ID: "r", Messages: []llm.Message{{Role: llm.RoleUser, Content: "abc"}}, PromptLogprobs: true}
	if _, err := llmtest.Collect(t.Context(), u, r); !errors.Is(err, llm.ErrUnsupported) {
		t.Error(err)
	}
	refuses := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":{"message":"echo: is not known","param":"echo"}}`)
	})
	var bad *llm.FieldError
	r = &llm.Request{ID: "r", Prompt: "abc", ParseSpecial: true, PromptLogprobs: true}
	if _, err := llmtest.Collect(t.Context(), connect(t, Config{}, refuses), r); !errors.As(err, &bad) ||
		bad.Field != "echo" {
		t.Error(err)
	}
}
