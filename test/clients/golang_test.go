package clients

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	goopenai "github.com/sashabaranov/go-openai"
	"github.com/tmc/langchaingo/llms"
	lcopenai "github.com/tmc/langchaingo/llms/openai"
)

// object reads a schema.
func object(schema string) (v map[string]any) {
	if err := json.Unmarshal([]byte(schema), &v); err != nil {
		panic(err)
	}
	return v
}

// official is OpenAI's client for Go.
func official(base, model string) checks {
	client := openai.NewClient(option.WithBaseURL(base+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	ask := func(most int64) openai.ChatCompletionNewParams {
		p := openai.ChatCompletionNewParams{Model: model, Temperature: openai.Float(0),
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say something.")}}
		if most > 0 {
			p.MaxTokens = openai.Int(most)
		}
		return p
	}
	input := responses.ResponseNewParamsInputUnion{OfString: openai.String("Hello")}
	return checks{
		"chat": {"New": func(ctx context.Context) error {
			r, err := client.Chat.Completions.New(ctx, ask(12))
			if err != nil {
				return err
			}
			return want(r.Usage.TotalTokens > 0, "usage")
		}},
		"stream": {"accumulated": func(ctx context.Context) error {
			stream := client.Chat.Completions.NewStreaming(ctx, ask(12))
			all := openai.ChatCompletionAccumulator{}
			for stream.Next() {
				if !all.AddChunk(stream.Current()) {
					return errors.New("a chunk does not fit those before it")
				}
			}
			whole, err := client.Chat.Completions.New(ctx, ask(12))
			if err := errors.Join(stream.Err(), err); err != nil {
				return err
			}
			return want(all.Choices[0].Message.Content == whole.Choices[0].Message.Content, "the same text")
		}},
		"structured": {"json_schema": func(ctx context.Context) error {
			p := ask(0)
			p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
				JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Strict: openai.Bool(true),
					Schema: object(personSchema)}}
			r, err := client.Chat.Completions.New(ctx, p)
			if err != nil {
				return err
			}
			return isPerson(r.Choices[0].Message.Content)
		}},
		"tools": {"required": func(ctx context.Context) error {
			p := ask(0)
			p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(
				shared.FunctionDefinitionParam{Name: "weather", Parameters: object(weatherSchema)})}
			p.ToolChoice.OfAuto, p.ParallelToolCalls = openai.String("required"), openai.Bool(false)
			r, err := client.Chat.Completions.New(ctx, p)
			if err != nil {
				return err
			}
			m := r.Choices[0].Message
			if err := want(len(m.ToolCalls) == 1 && r.Choices[0].FinishReason == "tool_calls", "a call"); err != nil {
				return err
			}
			if err := isCity(m.ToolCalls[0].Function.Arguments); err != nil {
				return err
			}
			p.Messages = append(p.Messages, m.ToParam(), openai.ToolMessage("sunny", m.ToolCalls[0].ID))
			p.ToolChoice.OfAuto, p.MaxTokens = openai.String("none"), openai.Int(12)
			_, err = client.Chat.Completions.New(ctx, p)
			return err
		}},
		"responses": {"New": func(ctx context.Context) error {
			r, err := client.Responses.New(ctx, responses.ResponseNewParams{Model: model, Input: input,
				Temperature:     openai.Float(0),
				MaxOutputTokens: openai.Int(12)})
			if err != nil {
				return err
			}
			_, err = client.Responses.New(ctx, responses.ResponseNewParams{Model: model, Input: input,
				Temperature:     openai.Float(0),
				MaxOutputTokens: openai.Int(4), PreviousResponseID: openai.String(r.ID)})
			return err
		}, "streamed": func(ctx context.Context) error {
			stream := client.Responses.NewStreaming(ctx, responses.ResponseNewParams{Model: model, Input: input,
				Temperature:     openai.Float(0),
				MaxOutputTokens: openai.Int(12)})
			text, final := "", ""
			for stream.Next() {
				switch e := stream.Current().AsAny().(type) {
				case responses.ResponseTextDeltaEvent:
					text += e.Delta
				case responses.ResponseIncompleteEvent:
					final = e.Response.OutputText()
				case responses.ResponseCompletedEvent:
					final = e.Response.OutputText()
				}
			}
			if stream.Err() != nil {
				return stream.Err()
			}
			return want(text == final && text != "", "pieces that make %q, got %q", final, text)
		}},
		"models": {"List": func(ctx context.Context) error {
			list, err := client.Models.List(ctx)
			if err != nil {
				return err
			}
			return want(len(list.Data) == 1 && list.Data[0].ID == model, "the model")
		}},
		"errors": {"bad value": func(ctx context.Context) error {
			p := ask(12)
			p.Temperature = openai.Float(9)
			_, err := client.Chat.Completions.New(ctx, p)
			var e *openai.Error
			return want(errors.As(err, &e) && e.StatusCode == 400 && e.Param == "temperature", "a 400, got %v", err)
		}},
	}
}

// community is go-openai.
func community(base, model string) checks {
	c := goopenai.DefaultConfig("none")
	c.BaseURL = base + "/v1"
	client := goopenai.NewClientWithConfig(c)
	ask := func(most int) goopenai.ChatCompletionRequest {
		return goopenai.ChatCompletionRequest{Model: model, MaxTokens: most,
			Messages: []goopenai.ChatCompletionMessage{{Role: "user", Content: "Say something."}}}
	}
	seed := 7
	return checks{
		"chat": {"CreateChatCompletion": func(ctx context.Context) error {
			r, err := client.CreateChatCompletion(ctx, ask(12))
			if err != nil {
				return err
			}
			return want(r.Usage.TotalTokens > 0, "usage")
		}, "CreateCompletion": func(ctx context.Context) error {
			_, err := client.CreateCompletion(ctx, goopenai.CompletionRequest{Model: model, Prompt: "Once",
				MaxTokens: 8})
			return err
		}},
		"stream": {"CreateChatCompletionStream": func(ctx context.Context) error {
			p := ask(12)
			p.Seed = &seed
			whole, err := client.CreateChatCompletion(ctx, p)
			if err != nil {
				return err
			}
			stream, err := client.CreateChatCompletionStream(ctx, p)
			if err != nil {
				return err
			}
			defer stream.Close()
			text := ""
			for {
				chunk, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return want(text == whole.Choices[0].Message.Content, "the same text")
				}
				if err != nil {
					return err
				}
				text += chunk.Choices[0].Delta.Content
			}
		}},
		"structured": {"json_schema": func(ctx context.Context) error {
			p := ask(0)
			p.ResponseFormat = &goopenai.ChatCompletionResponseFormat{Type: "json_schema",
				JSONSchema: &goopenai.ChatCompletionResponseFormatJSONSchema{Name: "person",
					Schema: json.RawMessage(personSchema)}}
			r, err := client.CreateChatCompletion(ctx, p)
			if err != nil {
				return err
			}
			return isPerson(r.Choices[0].Message.Content)
		}},
		"tools": {"required": func(ctx context.Context) error {
			p := ask(0)
			p.Tools = []goopenai.Tool{{Type: "function", Function: &goopenai.FunctionDefinition{Name: "weather",
				Parameters: json.RawMessage(weatherSchema)}}}
			p.ToolChoice, p.ParallelToolCalls = "required", false
			r, err := client.CreateChatCompletion(ctx, p)
			if err != nil {
				return err
			}
			if err := want(len(r.Choices[0].Message.ToolCalls) == 1, "a call"); err != nil {
				return err
			}
			return isCity(r.Choices[0].Message.ToolCalls[0].Function.Arguments)
		}},
		"responses": {"CreateResponse": func(ctx context.Context) error {
			_, err := client.CreateResponse(ctx, goopenai.CreateResponseRequest{Model: model, Input: "Hello"})
			return err
		}},
		"models": {"ListModels": func(ctx context.Context) error {
			list, err := client.ListModels(ctx)
			if err != nil {
				return err
			}
			return want(len(list.Models) == 1 && list.Models[0].ID == model, "the model")
		}},
		"errors": {"bad value": func(ctx context.Context) error {
			p := ask(12)
			p.TopP = 7
			_, err := client.CreateChatCompletion(ctx, p)
			var e *goopenai.APIError
			return want(errors.As(err, &e) && e.HTTPStatusCode == 400 && e.Param != nil && *e.Param == "top_p",
				"a 400, got %v", err)
		}},
	}
}

// langchain is langchaingo.
func langchain(base, model string) checks {
	open := func(more ...lcopenai.Option) (*lcopenai.LLM, error) {
		return lcopenai.New(append([]lcopenai.Option{lcopenai.WithBaseURL(base + "/v1"), lcopenai.WithToken("none"),
			lcopenai.WithModel(model)}, more...)...)
	}
	ask := []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeSystem, "Be brief."),
		llms.TextParts(llms.ChatMessageTypeHuman, "Say something.")}
	return checks{
		"chat": {"GenerateContent": func(ctx context.Context) error {
			l, err := open()
			if err != nil {
				return err
			}
			r, err := l.GenerateContent(ctx, ask, llms.WithMaxTokens(12), llms.WithStopWords([]string{"zzzz"}))
			if err != nil {
				return err
			}
			return want(len(r.Choices) == 1, "a choice")
		}},
		"stream": {"WithStreamingFunc": func(ctx context.Context) error {
			l, err := open()
			if err != nil {
				return err
			}
			text := ""
			r, err := l.GenerateContent(ctx, ask, llms.WithMaxTokens(12), llms.WithStreamingFunc(
				func(_ context.Context, chunk []byte) error {
					text += string(chunk)
					return nil
				}))
			if err != nil {
				return err
			}
			return want(text == r.Choices[0].Content, "pieces that make the text")
		}},
		"structured": {"WithResponseFormat": func(ctx context.Context) error {
			var schema lcopenai.ResponseFormatJSONSchemaProperty
			if err := json.Unmarshal([]byte(personSchema), &schema); err != nil {
				return err
			}
			l, err := open(lcopenai.WithResponseFormat(&lcopenai.ResponseFormat{Type: "json_schema",
				JSONSchema: &lcopenai.ResponseFormatJSONSchema{Name: "person", Strict: true, Schema: &schema}}))
			if err != nil {
				return err
			}
			r, err := l.GenerateContent(ctx, ask)
			if err != nil {
				return err
			}
			var p struct{ Name string }
			if err := json.Unmarshal([]byte(r.Choices[0].Content), &p); err != nil {
				return err
			}
			return want(p.Name == "Ada" || p.Name == "Grace", "a person, got %s", r.Choices[0].Content)
		}},
		"tools": {"WithTools": func(ctx context.Context) error {
			l, err := open()
			if err != nil {
				return err
			}
			r, err := l.GenerateContent(ctx, ask, llms.WithToolChoice("required"), llms.WithTools([]llms.Tool{{
				Type: "function", Function: &llms.FunctionDefinition{Name: "weather", Description: "The weather.",
					Parameters: object(weatherSchema)}}}))
			if err != nil {
				return err
			}
			if err := want(len(r.Choices[0].ToolCalls) == 1, "a call"); err != nil {
				return err
			}
			return isCity(r.Choices[0].ToolCalls[0].FunctionCall.Arguments)
		}},
		"errors": {"bad value": func(ctx context.Context) error {
			l, err := open()
			if err != nil {
				return err
			}
			_, err = l.GenerateContent(ctx, ask, llms.WithTemperature(9))
			named := err != nil && strings.Contains(err.Error(), "temperature")
			return want(named, "an error of temperature, got %v", err)
		}},
	}
}
