package api

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// TestLoglikelihood tests the requests of evaluation harnesses: prompts as text or token ids, with echo,
// log-probabilities and at most one token to generate.
func TestLoglikelihood(t *testing.T) {
	f := start(t)
	for _, c := range []struct {
		prompt, echo string
		tokens       int
	}{{`"héllo you"`, "héllo you", 11}, {`[1,107,108]`, "hi", 3}} {
		for _, n := range []int{0, 1} {
			body := fmt.Sprintf(`{"prompt":%s,"echo":true,"logprobs":2,"max_tokens":%d,"temperature":0}`, c.prompt, n)
			r := post[openai.TextResponse](f, "/v1/completions", body)
			l := r.Choices[0].Logprobs
			if got := r.Choices[0].Text; !strings.HasPrefix(got, c.echo) ||
				len([]rune(got)) != len([]rune(c.echo))+n || *r.Choices[0].FinishReason != "length" {
				t.Errorf("%s: text %q", body, got)
			}
			if len(l.Tokens) != c.tokens+n || len(l.TokenLogprobs) != c.tokens+n || len(l.TopLogprobs) != c.tokens+n ||
				len(l.TextOffset) != c.tokens+n {
				t.Errorf("%s: %+v", body, l)
				continue
			}
			if l.TokenLogprobs[0] != nil || l.TopLogprobs[0] != nil {
				t.Errorf("%s: the first token: %v", body, *l.TokenLogprobs[0])
			}
			for i, p := range l.TokenLogprobs[1:] {
				if want := math.Log(0.5) - float64(i+1)/1024; p == nil || *p != want || len(l.TopLogprobs[i+1]) < 2 {
					t.Errorf("%s: token %d: %v", body, i+1, p)
				}
			}
			if u := r.Usage; u.PromptTokens != c.tokens || u.CompletionTokens != n {
				t.Errorf("%s: %+v", body, u)
			}
			if !slices.IsSorted(l.TextOffset) || l.TextOffset[len(l.TextOffset)-1] > len([]rune(r.Choices[0].Text)) {
				t.Errorf("%s: offsets %v", body, l.TextOffset)
			}
		}
	}
	// A batch, without the first token of answers, since that one differs for each prompt.
	r := post[openai.TextResponse](f, "/v1/completions",
		`{"prompt":[[1,107],[1,108,108]],"echo":true,"logprobs":1,"max_tokens":1,"temperature":0,"seed":1}`)
	if len(r.Choices) != 2 || !strings.HasPrefix(r.Choices[0].Text, "h") ||
		!strings.HasPrefix(r.Choices[1].Text, "ii") || len(r.Choices[1].Logprobs.Tokens) != 4 {
		t.Errorf("%+v", r.Choices)
	}
}

func TestEchoStream(t *testing.T) {
	f := start(t)
	resp := f.request(t.Context(), "POST", "/v1/completions",
		`{"prompt":"ab cd","echo":true,"logprobs":0,"temperature":0,"stream":true}`)
	defer resp.Body.Close()
	s := readStream(t, resp.Body)
	text, tokens := "", 0
	for _, data := range s.data {
		if data != openai.Done {
			c := decode[openai.TextResponse](t, []byte(data)).Choices[0]
			if text += c.Text; c.Logprobs != nil {
				tokens += len(c.Logprobs.Tokens)
			}
		}
	}
	if text != "ab cdab cd" || tokens != 11 {
		t.Errorf("%q, %d tokens\n%q", text, tokens, s.data)
	}
}

func TestPromptLogprobs(t *testing.T) {
	f := start(t)
	r := post[openai.TextResponse](f, "/v1/completions", `{"prompt":"abc","prompt_logprobs":1,"max_tokens":0}`)
	p := r.Choices[0].PromptLogprobs
	if len(p) != 4 || p[0] != nil || len(p[1]) != 1 || p[1]["100"].Rank != 1 || p[1]["100"].Decoded != "a" ||
		len(p[2]) != 2 || p[2]["101"].Decoded != "b" || r.Choices[0].Text != "" {
		t.Errorf("%+v", p)
	}
	chat := post[openai.ChatResponse](f, "/v1/chat/completions", with(`"prompt_logprobs":0`))
	if len(chat.PromptLogprobs) != chat.Usage.PromptTokens || len(chat.PromptLogprobs[1]) != 1 ||
		*chat.Choices[0].Message.Content != "one two three" {
		t.Errorf("%+v", chat)
	}
	f.wantError("POST", "/v1/chat/completions", with(`"prompt_logprobs":1,"stream":true`), 400, "prompt_logprobs")
	f.wantError("POST", "/v1/chat/completions", with(`"echo":true`), 400, "echo")
	f.wantError("POST", "/v1/completions", `{"prompt":"a","max_tokens":0}`, 400, "max_tokens")
	f.wantError("POST", "/v1/completions", `{"prompt":"a","prompt_logprobs":21}`, 400, "prompt_logprobs")
	f.wantError("POST", "/v1/completions", `{"prompt":[1000],"echo":true}`, 400, "prompt")
}
