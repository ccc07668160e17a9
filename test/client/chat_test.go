package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// ask is a seeded chat request of n tokens.
func ask(t *testing.T, n int64) openai.ChatCompletionNewParams {
	t.Helper()
	return openai.ChatCompletionNewParams{
		Model: modelID(t),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("You are brief."),
			openai.UserMessage("What is water?")},
		MaxTokens:   openai.Int(n),
		Temperature: openai.Float(1),
		Seed:        openai.Int(7),
	}
}

func modelID(t *testing.T) string {
	t.Helper()
	page, err := client.Models.List(t.Context())
	if err != nil || len(page.Data) == 0 {
		t.Fatalf("models: %v, %v", page, err)
	}
	return page.Data[0].ID
}

func complete(t *testing.T, p openai.ChatCompletionNewParams, opts ...option.RequestOption) *openai.ChatCompletion {
	t.Helper()
	r, err := client.Chat.Completions.New(t.Context(), p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestModels(t *testing.T) {
	id := modelID(t)
	m, err := client.Models.Get(t.Context(), id)
	if err != nil || m.ID != id || m.Object != "model" {
		t.Errorf("model %q: %v, %v", id, m, err)
	}
}

func TestChat(t *testing.T) {
	r := complete(t, ask(t, 12))
	if r.ID == "" || r.Object != "chat.completion" || r.Created == 0 || len(r.Choices) != 1 {
		t.Fatalf("response %s", r.RawJSON())
	}
	c, u := r.Choices[0], r.Usage
	if c.Message.Role != "assistant" || c.Message.Content == "" {
		t.Errorf("message %s", c.RawJSON())
	}
	if c.FinishReason == "length" && u.CompletionTokens != 12 || c.FinishReason != "length" &&
		c.FinishReason != "stop" {
		t.Errorf("finish_reason %q after %d tokens", c.FinishReason, u.CompletionTokens)
	}
	if u.PromptTokens < 10 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage %s", u.RawJSON())
	}
}

func TestSeedDecides(t *testing.T) {
	first, again := complete(t, ask(t, 16)), complete(t, ask(t, 16))
	if a, b := first.Choices[0].Message.Content, again.Choices[0].Message.Content; a != b {
		t.Errorf("one seed, two answers: %q and %q", a, b)
	}
	other := ask(t, 16)
	other.Seed = openai.Int(8)
	if a, b := first.Choices[0].Message.Content, complete(t, other).Choices[0].Message.Content; a == b {
		t.Errorf("two seeds, one answer: %q", a)
	}
}

// TestStream: the stream adds up to what the same request gives at once.
func TestStream(t *testing.T) {
	p := ask(t, 16)
	whole := complete(t, p)
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client.Chat.Completions.NewStreaming(t.Context(), p)
	var sum openai.ChatCompletionAccumulator
	chunks := 0
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			t.Errorf("chunk does not fit: %s", stream.Current().RawJSON())
		}
		chunks++
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if len(sum.Choices) != 1 || chunks < 3 {
		t.Fatalf("%d choices in %d chunks", len(sum.Choices), chunks)
	}
	if a, b := sum.Choices[0], whole.Choices[0]; a.Message.Content != b.Message.Content ||
		a.FinishReason != b.FinishReason {
		t.Errorf("streamed %q %s, at once %q %s", a.Message.Content, a.FinishReason, b.Message.Content, b.FinishReason)
	}
	if a, b := sum.Usage, whole.Usage; a.PromptTokens != b.PromptTokens || a.CompletionTokens != b.CompletionTokens {
		t.Errorf("streamed usage %s, at once %s", a.RawJSON(), b.RawJSON())
	}
}

// TestStop cuts before a string that the same request is known to produce.
func TestStop(t *testing.T) {
	text := []rune(complete(t, ask(t, 24)).Choices[0].Message.Content)
	if len(text) < 8 {
		t.Fatalf("answer %q is too short to cut", string(text))
	}
	stop := string(text[4:7])
	p := ask(t, 24)
	p.Stop = openai.ChatCompletionNewParamsStopUnion{OfStringArray: []string{stop}}
	c := complete(t, p).Choices[0]
	want, _, _ := strings.Cut(string(text), stop)
	if c.Message.Content != want || c.FinishReason != "stop" {
		t.Errorf("stop %q: got %q, finish_reason %s; want %q", stop, c.Message.Content, c.FinishReason, want)
	}
}

func TestLogprobs(t *testing.T) {
	p := ask(t, 8)
	p.Logprobs, p.TopLogprobs = openai.Bool(true), openai.Int(3)
	r := complete(t, p)
	content := r.Choices[0].Logprobs.Content
	if n := int64(len(content)); n != r.Usage.CompletionTokens && n != r.Usage.CompletionTokens-1 { // EOS has no text
		t.Fatalf("%d log-probabilities for %d tokens", n, r.Usage.CompletionTokens)
	}
	var raw []byte
	for _, tok := range content {
		// The chosen token is the fourth where it is not among the three likeliest.
		chosen := slices.ContainsFunc(tok.TopLogprobs, func(x openai.ChatCompletionTokenLogprobTopLogprob) bool {
			return x.Logprob == tok.Logprob && slices.Equal(x.Bytes, tok.Bytes)
		})
		if n := len(tok.TopLogprobs); tok.Logprob > 0 || math.IsNaN(tok.Logprob) || !chosen || n != 3 &&
			(n != 4 || tok.TopLogprobs[3].Logprob != tok.Logprob) {
			t.Errorf("token %s", tok.RawJSON())
		}
		if !slices.IsSortedFunc(tok.TopLogprobs, func(a, b openai.ChatCompletionTokenLogprobTopLogprob) int {
			return map[bool]int{true: -1, false: 1}[a.Logprob >= b.Logprob]
		}) {
			t.Errorf("alternatives not in falling order: %s", tok.RawJSON())
		}
		for _, b := range tok.Bytes {
			raw = append(raw, byte(b))
		}
	}
	if got, want := strings.ToValidUTF8(strings.TrimPrefix(string(raw), " "), "\ufffd"),
		r.Choices[0].Message.Content; strings.ToValidUTF8(want, "\ufffd") != got && !strings.Contains(want, "\ufffd") {
		t.Errorf("bytes add up to %q, content is %q", got, want)
	}
}

func TestN(t *testing.T) {
	p := ask(t, 12)
	p.N = openai.Int(3)
	r := complete(t, p)
	seen := map[string]bool{}
	for i, c := range r.Choices {
		if c.Index != int64(i) {
			t.Errorf("choice %d has index %d", i, c.Index)
		}
		seen[c.Message.Content] = true
	}
	if len(r.Choices) != 3 || len(seen) < 2 {
		t.Errorf("%d choices, %d different", len(r.Choices), len(seen))
	}
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*openai.ChatCompletionNewParams)
		status int
		param  string
	}{
		{"temperature", func(p *openai.ChatCompletionNewParams) { p.Temperature = openai.Float(9) }, 400,
			"temperature"},
		{"top_p", func(p *openai.ChatCompletionNewParams) { p.TopP = openai.Float(1.5) }, 400, "top_p"},
		{"n", func(p *openai.ChatCompletionNewParams) { p.N = openai.Int(-1) }, 400, "n"},
		{"no messages", func(p *openai.ChatCompletionNewParams) {
			p.Messages = []openai.ChatCompletionMessageParamUnion{}
		}, 400, "messages"},
		{"model", func(p *openai.ChatCompletionNewParams) { p.Model = "no-such-model" }, 404, "model"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := ask(t, 4)
			test.change(&p)
			_, err := client.Chat.Completions.New(t.Context(), p)
			var e *openai.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an API error", err)
			}
			if e.StatusCode != test.status || !strings.HasPrefix(e.Param, test.param) || e.Message == "" ||
				e.Type == "" {
				t.Errorf("got %d %s, want %d naming %q", e.StatusCode, e.RawJSON(), test.status, test.param)
			}
		})
	}
}

// TestTokenize: what /tokenize gives, /detokenize takes back.
func TestTokenize(t *testing.T) {
	text := "Naïve 😀 text"
	var tokens struct{ Tokens []int32 }
	post(t, "/tokenize", map[string]any{"model": modelID(t), "prompt": text}, &tokens)
	var back struct{ Prompt string }
	post(t, "/detokenize", map[string]any{"model": modelID(t), "tokens": tokens.Tokens}, &back)
	if len(tokens.Tokens) < 3 || back.Prompt != text {
		t.Errorf("%q became %v, then %q", text, tokens.Tokens, back.Prompt)
	}
}

func post(t *testing.T, path string, body, into any) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(baseURL+path, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", path, r.Status, answer, err)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s: %v in %s", path, err, answer)
	}
}
