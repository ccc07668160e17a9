package client

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

// TestStructuredOutput: an answer keeps to a schema, at once and streamed.
func TestStructuredOutput(t *testing.T) {
	p := ask(t, 200)
	p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{
		OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "city", Strict: openai.Bool(true), Schema: map[string]any{"type": "object",
				"properties": map[string]any{"name": map[string]any{"type": "string", "maxLength": 12},
					"size": map[string]any{"enum": []string{"small", "large"}}},
				"required": []string{"name", "size"}, "additionalProperties": false}}}}
	c := complete(t, p).Choices[0]
	var v struct{ Name, Size string }
	if err := json.Unmarshal([]byte(c.Message.Content), &v); err != nil || v.Size != "small" && v.Size != "large" {
		t.Errorf("%q, %s: %v", c.Message.Content, c.FinishReason, err)
	}
	if sum := streamed(t, p); sum.Choices[0].Message.Content != c.Message.Content {
		t.Errorf("streamed %q, at once %q", sum.Choices[0].Message.Content, c.Message.Content)
	}
}

// streamed gives a streamed answer as the client's accumulator puts it together.
func streamed(t *testing.T, p openai.ChatCompletionNewParams) openai.ChatCompletion {
	t.Helper()
	stream := client.Chat.Completions.NewStreaming(t.Context(), p)
	defer stream.Close()
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			t.Fatalf("a chunk that does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return sum.ChatCompletion
}

func tools() []openai.ChatCompletionToolUnionParam {
	parameters := shared.FunctionParameters{"type": "object", "required": []string{"city", "days"},
		"properties": map[string]any{"city": map[string]any{"type": "string", "maxLength": 10},
			"days": map[string]any{"type": "integer", "minimum": 1, "maximum": 7}}, "additionalProperties": false}
	return []openai.ChatCompletionToolUnionParam{
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_weather",
			Strict:      openai.Bool(true),
			Description: openai.String("The weather of the next days."), Parameters: parameters}),
		openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "now"}),
	}
}

// wantWeather checks a call of get_weather.
func wantWeather(t *testing.T, calls []openai.ChatCompletionMessageToolCallUnion) {
	t.Helper()
	for _, c := range calls {
		var v struct {
			City *string
			Days int
		}
		if err := json.Unmarshal([]byte(c.Function.Arguments), &v); err != nil || v.City == nil || v.Days < 1 ||
			v.Days > 7 ||
			c.Function.Name != "get_weather" || c.ID == "" {
			t.Errorf("%s: %v", c.RawJSON(), err)
		}
	}
	if len(calls) == 0 {
		t.Error("no call")
	}
}

// TestTools: a forced call is valid, streamed as at once, and its result goes back.
func TestTools(t *testing.T) {
	p := ask(t, 250)
	p.Tools, p.ParallelToolCalls = tools(), openai.Bool(false)
	p.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(
		openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "get_weather"})
	r := complete(t, p)
	message := r.Choices[0].Message
	if r.Choices[0].FinishReason != "tool_calls" || message.Content != "" || len(message.ToolCalls) != 1 {
		t.Fatalf("%s", r.RawJSON())
	}
	wantWeather(t, message.ToolCalls)
	sum := streamed(t, p)
	if a, b := sum.Choices[0].Message.ToolCalls, message.ToolCalls; len(a) != 1 || a[0].ID != b[0].ID ||
		a[0].Function.Name != b[0].Function.Name || a[0].Function.Arguments != b[0].Function.Arguments ||
		sum.Choices[0].FinishReason != "tool_calls" {
		t.Errorf("streamed %+v, at once %+v", sum.Choices[0], r.Choices[0])
	}
	p.Messages = append(p.Messages, message.ToParam(), openai.ToolMessage(`{"rain": false}`, message.ToolCalls[0].ID))
	p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("none")}
	if last := complete(t, p).Choices[0]; len(last.Message.ToolCalls) > 0 || last.Message.Content == "" {
		t.Errorf("%s", last.RawJSON())
	}
}

// TestToolChoices: each way to choose.
func TestToolChoices(t *testing.T) {
	for name, choice := range map[string]openai.ChatCompletionToolChoiceOptionUnionParam{
		"required": {OfAuto: openai.String("required")}, "auto": {OfAuto: param.NewOpt("auto")},
		"allowed": openai.ToolChoiceOptionAllowedTools(openai.ChatCompletionAllowedToolsParam{Mode: "required",
			Tools: []map[string]any{{"type": "function", "function": map[string]any{"name": "get_weather"}}}}),
	} {
		p := ask(t, 250)
		p.Tools, p.ToolChoice = tools(), choice
		p.N = openai.Int(3)
		for _, c := range complete(t, p).Choices {
			calls := c.Message.ToolCalls
			if c.FinishReason == "length" && len(calls) > 0 {
				calls = calls[:len(calls)-1]
			}
			calls = slices.DeleteFunc(slices.Clone(calls), func(c openai.ChatCompletionMessageToolCallUnion) bool {
				return name != "allowed" && c.Function.Name == "now" && c.Function.Arguments == "{}"
			})
			if name == "allowed" || len(calls) > 0 {
				wantWeather(t, calls)
			}
			if name != "auto" && (c.Message.Content != "" || c.FinishReason == "stop") {
				t.Errorf("%s: %s", name, c.RawJSON())
			}
		}
	}
}
