package upstream

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// encode writes a request in the form of the API. It reports those errors that an upstream would report without naming
// the field.
func encode(r *llm.Request) (path string, body []byte, err error) {
	if r.Tools != nil && len(r.Messages) == 0 {
		return "", nil, llm.BadField("tools", "is only allowed in chats")
	}
	if err := llm.CheckStop(r.Stop); err != nil {
		return "", nil, err
	}
	if err := r.Tools.Check(); err != nil {
		return "", nil, err
	}
	s := r.Sampling
	m := map[string]any{"model": r.Model, "stream": true, "stream_options": map[string]any{"include_usage": true},
		"temperature": s.Temperature}
	set := func(key string, v any, ok bool) {
		if ok {
			m[key] = v
		}
	}
	set("max_tokens", r.MaxTokens, r.MaxTokens > 0)
	set("top_p", s.TopP, s.TopP > 0)
	set("top_k", s.TopK, s.TopK > 0)
	set("min_p", s.MinP, s.MinP > 0)
	set("repetition_penalty", s.RepetitionPenalty, s.RepetitionPenalty > 0)
	set("presence_penalty", s.PresencePenalty, s.PresencePenalty != 0)
	set("frequency_penalty", s.FrequencyPenalty, s.FrequencyPenalty != 0)
	set("seed", s.Seed, s.Seed != nil)
	set("logit_bias", s.LogitBias, len(s.LogitBias) > 0)
	set("stop", r.Stop, len(r.Stop) > 0)
	set("ignore_eos", true, r.IgnoreEOS)
	set("cache_salt", r.CacheScope, r.CacheScope != "")
	if err := form(m, r.Grammar); err != nil {
		return "", nil, err
	}
	path = "/v1/completions"
	switch {
	case len(r.Messages) > 0:
		path = "/v1/chat/completions"
		if err := chat(m, r); err != nil {
			return "", nil, err
		}
	case len(r.PromptTokens) > 0:
		m["prompt"] = r.PromptTokens
	default:
		m["prompt"] = r.Prompt
	}
	if path == "/v1/completions" {
		set("logprobs", r.TopLogprobs, r.Logprobs)
		set("parse_special", true, r.ParseSpecial)
		set("add_special_tokens", false, r.NoSpecial)
	}
	body, err = json.Marshal(m)
	return path, body, err
}

// chat sets the fields of a chat request.
func chat(m map[string]any, r *llm.Request) error {
	list, err := llm.Arrange(r.Messages)
	if err != nil {
		return err
	}
	m["messages"] = messages(list)
	if list[len(list)-1].Role == llm.RoleAssistant { // the answer continues this message
		m["continue_final_message"], m["add_generation_prompt"] = true, false
	}
	if r.Logprobs {
		m["logprobs"] = true
		if r.TopLogprobs > 0 {
			m["top_logprobs"] = r.TopLogprobs
		}
	}
	if t := r.Tools; t != nil {
		for i, tool := range t.List {
			if tool.Parameters != "" && !json.Valid([]byte(tool.Parameters)) {
				field := cmp.Or(tool.Field, fmt.Sprintf("tools[%d].function", i))
				return llm.BadField(field+".parameters", "is not JSON")
			}
		}
		m["tools"] = functions(t.Callable())
		m["tool_choice"] = "auto"
		switch {
		case t.Required && len(t.Only) == 1:
			m["tool_choice"] = map[string]any{"type": openai.TypeFunction,
				"function": map[string]any{"name": t.Only[0]}}
		case t.Required:
			m["tool_choice"] = "required"
		}
		if t.Single {
			m["parallel_tool_calls"] = false
		}
	}
	return nil
}

// form sets the fields that constrain an answer: OpenAI's where it has one, and otherwise vLLM's, under their newer
// and their older names, since servers ignore names that they do not know.
func form(m map[string]any, g *llm.Grammar) error {
	if g == nil {
		return nil
	}
	var name, older string
	var value any = g.Source
	switch g.Kind {
	case llm.GrammarJSON:
		m["response_format"] = map[string]any{"type": "json_object"}
		return nil
	case llm.GrammarSchema:
		if !json.Valid([]byte(g.Source)) {
			return g.Fail("is not JSON")
		}
		m["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "answer",
			"strict": true, "schema": json.RawMessage(g.Source)}}
		return nil
	case llm.GrammarRegex:
		name, older = "regex", "guided_regex"
	case llm.GrammarGBNF, llm.GrammarLark, llm.GrammarEBNF:
		name, older = "grammar", "guided_grammar"
	case llm.GrammarChoice:
		name, older, value = "choice", "guided_choice", g.Choices
	default:
		return g.Fail(fmt.Sprintf("a grammar cannot be of the kind %q", g.Kind))
	}
	if len(g.Source)+len(g.Choices) == 0 {
		return g.Fail("is empty")
	}
	m["structured_outputs"], m[older] = map[string]any{name: value}, value
	return nil
}

// messages writes a conversation in the form of the API.
func messages(list []llm.Message) []map[string]any {
	var out []map[string]any
	for _, msg := range list {
		m := map[string]any{"role": msg.Role, "content": msg.Content}
		var calls []openai.ToolCall
		for _, c := range msg.Calls {
			calls = append(calls, openai.ToolCall{ID: c.ID, Type: openai.TypeFunction,
				Function: openai.FunctionCall{Name: c.Name, Arguments: c.Arguments}})
		}
		if calls != nil {
			m["tool_calls"] = calls
		}
		if msg.CallID != "" {
			m["tool_call_id"] = msg.CallID
		}
		if msg.Name != "" {
			m["name"] = msg.Name
		}
		out = append(out, m)
	}
	return out
}

// functions writes tools in the form of the API.
func functions(list []llm.Tool) []map[string]any {
	var out []map[string]any
	for _, tool := range list {
		if tool.Source == "" && tool.Parameters == "" { // many servers take a missing schema for that of any object
			tool.Parameters = `{"type":"object","properties":{},"additionalProperties":false}`
		}
		f := json.RawMessage(tool.Definition())
		out = append(out, map[string]any{"type": openai.TypeFunction, "function": f})
	}
	return out
}
