package client

import (
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
)

// TestTextCompletion: the older route, at once and streamed, one prompt and several.
func TestTextCompletion(t *testing.T) {
	p := openai.CompletionNewParams{
		Model:     openai.CompletionNewParamsModel(modelID(t)),
		Prompt:    openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once upon a time")},
		MaxTokens: openai.Int(12), Temperature: openai.Float(1), Seed: openai.Int(3), Logprobs: openai.Int(2),
	}
	whole, err := client.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	c := whole.Choices[0]
	if len(whole.Choices) != 1 || c.Text == "" || whole.Usage.PromptTokens < 2 || len(c.Logprobs.Tokens) == 0 ||
		len(c.Logprobs.Tokens) != len(c.Logprobs.TextOffset) || len(c.Logprobs.TopLogprobs[0]) == 0 {
		t.Errorf("%s", whole.RawJSON())
	}
	stream := client.Completions.NewStreaming(t.Context(), p)
	var text strings.Builder
	reason := ""
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			text.WriteString(choice.Text)
			reason += string(choice.FinishReason)
		}
	}
	if err := stream.Err(); err != nil || text.String() != c.Text || reason != string(c.FinishReason) {
		t.Errorf("streamed %q %s, %v; at once %q %s", text.String(), reason, err, c.Text, c.FinishReason)
	}
	p.Prompt = openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"Once upon a time", "The end"}}
	both, err := client.Completions.New(t.Context(), p)
	if err != nil || len(both.Choices) != 2 || both.Choices[0].Text != c.Text || both.Choices[1].Index != 1 {
		t.Errorf("two prompts: %v, %v", both, err)
	}
}

// TestStreamIsLeft: a client that stops reading in the middle does no harm to the next request.
func TestStreamIsLeft(t *testing.T) {
	for range 20 {
		stream := client.Chat.Completions.NewStreaming(t.Context(), ask(t, 200))
		if !stream.Next() {
			t.Fatal(stream.Err())
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
	complete(t, ask(t, 4))
}
