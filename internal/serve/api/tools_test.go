package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
)

const (
	weatherSource = `{"name":"get_weather","strict":true,"parameters":{"type":"object","properties":{"city":{"type":"string"}}}}`
	timeSource    = `{"name":"time","description":"The time"}`
	weatherTool   = `{"type":"function","function":` + weatherSource + `}`
	timeTool      = `{"type":"function","function":` + timeSource + `}`
	twoTools      = `"tools":[` + weatherTool + `,` + timeTool + `]`
)

// TestToolsReachTheBackend tests every way to say what may be called.
func TestToolsReachTheBackend(t *testing.T) {
	f := start(t, calling("a text"))
	list := func(prefix, suffix string) []llm.Tool {
		return []llm.Tool{{Name: "get_weather", Source: weatherSource, Field: prefix + "[0]" + suffix,
			Parameters: `{"type":"object","properties":{"city":{"type":"string"}}}`},
			{Name: "time", Description: "The time", Source: timeSource, Field: prefix + "[1]" + suffix}}
	}
	tools := func(change func(*llm.Tools)) *llm.Tools {
		w := &llm.Tools{List: list("tools", ".function")}
		change(w)
		return w
	}
	older := func(change func(*llm.Tools)) *llm.Tools {
		w := &llm.Tools{List: list("functions", ""), Single: true}
		change(w)
		return w
	}
	auto := func(*llm.Tools) {}
	functions := `"functions":[` + weatherSource + `,` + timeSource + `]`
	for fields, want := range map[string]*llm.Tools{
		twoTools:                                  tools(auto),
		twoTools + `,"tool_choice":"auto"`:        tools(auto),
		twoTools + `,"tool_choice":null`:          tools(auto),
		twoTools + `,"tool_choice":"none"`:        nil,
		twoTools + `,"tool_choice":"required"`:    tools(func(w *llm.Tools) { w.Required = true }),
		twoTools + `,"tool_choice":"any"`:         tools(func(w *llm.Tools) { w.Required = true }),
		twoTools + `,"parallel_tool_calls":false`: tools(func(w *llm.Tools) { w.Single = true }),
		twoTools + `,"parallel_tool_calls":true`:  tools(auto),
		twoTools + `,"tool_choice":{"type":"function","function":{"name":"time"}}`: tools(func(w *llm.Tools) {
			w.Required, w.Only, w.Field = true, []string{"time"}, "tool_choice"
		}),
		twoTools + `,"tool_choice":{"type":"function","name":"time"}`: tools(func(w *llm.Tools) {
			w.Required, w.Only, w.Field = true, []string{"time"}, "tool_choice"
		}),
		twoTools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"time"}}]}}`: tools(func(w *llm.Tools) {
			w.Required, w.Only, w.Field = true, []string{"time"}, "tool_choice.allowed_tools.tools"
		}),
		twoTools + `,"tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"name":"time"},{"type":"function","name":"get_weather"}]}`: tools(func(w *llm.Tools) {
			w.Only, w.Field = []string{"time", "get_weather"}, "tool_choice.tools"
		}),
		twoTools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`: nil,
		twoTools + `,"functions":[]`:          tools(auto),
		functions:                             older(auto),
		functions + `,"function_call":"none"`: nil,
		functions + `,"function_call":"auto"`: older(auto),
		functions + `,"function_call":{"name":"time"}`: older(func(w *llm.Tools) {
			w.Required, w.Only, w.Field = true, []string{"time"}, "function_call"
		}),
		`"tools":[],"tool_choice":"none"`:       nil,
		`"tools":[],` + functions:               older(auto),
		`"functions":[],"function_call":"auto"`: nil,
	} {
		if resp, data := f.do("POST", "/v1/chat/completions", with(fields)); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", fields, resp.StatusCode, data)
			continue
		}
		calls := f.fake.Requests()
		if diff := cmp.Diff(want, calls[len(calls)-1].Tools, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", fields, diff)
		}
	}
}

// TestToolsRefused: an error in tools is a 400 that names the field.
func TestToolsRefused(t *testing.T) {
	f := start(t)
	many := strings.Repeat(timeTool+",", llm.MaxTools) + timeTool
	for _, c := range [][2]string{
		{`"tools":[1]`,
			"tools[0]"},
		{`"tools":[{}]`,
			"tools[0].type"},
		{`"tools":[` + many + `]`,
			"tools"},
		{`"tools":[{"type":"function"}]`,
			"tools[0].function"},
		{`"tools":[{"type":"web_search"}]`,
			"tools[0].type"},
		{`"tools":[{"type":"custom","custom":{"name":"x"}}]`,
			"tools[0].type"},
		{`"tools":[{"type":"function","function":{}}]`,
			"tools[0].function.name"},
		{`"tools":[{"type":"function","function":{"name":"a b"}}]`,
			"tools[0].function.name"},
		{`"tools":[{"type":"function","function":{"name":7}}]`,
			"tools[0].function.name"},
		{`"tools":[{"type":"function","function":{"name":"` + strings.Repeat("a", 65) + `"}}]`,
			"tools[0].function.name"},
		{`"tools":[{"type":"function","function":{"name":"a","parameters":[]}}]`,
			"tools[0].function.parameters"},
		{`"tools":[{"type":"function","function":{"name":"a","strict":1}}]`,
			"tools[0].function.strict"},
		{`"tools":[` + timeTool + `,` + timeTool + `]`,
			"tools[1].function.name"},
		{`"functions":[{"name":"a"},{"name":"a"}]`,
			"functions[1].name"},
		{twoTools + `,"functions":[{"name":"a"}]`,
			"functions"},
		{twoTools + `,"tool_choice":"sometimes"`,
			"tool_choice"},
		{twoTools + `,"tool_choice":1`,
			"tool_choice"},
		{twoTools + `,"tool_choice":{"type":"function","function":{"name":"x"}}`,
			"tool_choice"},
		{twoTools + `,"tool_choice":{"type":"function"}`,
			"tool_choice.function"},
		{twoTools + `,"tool_choice":{"type":"function","function":{}}`,
			"tool_choice.function.name"},
		{twoTools + `,"tool_choice":{"type":"web_search"}`,
			"tool_choice.type"},
		{twoTools + `,"tool_choice":{"function":{"name":"time"}}`,
			"tool_choice.type"},
		{twoTools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"never","tools":[]}}`,
			"tool_choice.allowed_tools.mode"},
		{twoTools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[]}}`,
			"tool_choice.allowed_tools.tools"},
		{twoTools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"tools":[{"name":"x"}]}}`,
			"tool_choice.allowed_tools.tools"},
		{twoTools + `,"function_call":{"name":"time"}`,
			"function_call"},
		{`"functions":[{"name":"a"}],"tool_choice":"required"`,
			"tool_choice"},
		{twoTools + `,"parallel_tool_calls":"yes"`,
			"parallel_tool_calls"},
		{`"tool_choice":{"type":"function","function":{"name":"time"}}`,
			"tool_choice"},
		{`"tool_choice":"required"`,
			"tool_choice"},
		{`"functions":[],"function_call":{"name":"a"}`,
			"function_call"},
		{`"messages":[{"role":"user","content":"a"},{"role":"tool","content":"b","tool_call_id":"x"}]`,
			"messages[1].role"},
		{`"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{"}}]},{"role":"tool","content":"b","tool_call_id":"x"}]`,
			"messages[1].tool_calls[0].function.arguments"},
		{`"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":"b","tool_call_id":"y"}]`,
			"messages[2].tool_call_id"},
		{`"messages":[{"role":"user","content":"a","tool_calls":[{"id":"x"}]}]`,
			"messages[0].tool_calls"},
		{`"messages":[{"role":"assistant","tool_calls":[{"type":"custom","function":{"name":"f"}}]}]`,
			"messages[0].tool_calls[0].type"},
		{`"messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]`,
			"messages[0].tool_calls[0].function.name"},
		{`"messages":[{"role":"assistant","function_call":{"arguments":"{}"}}]`,
			"messages[0].function_call.name"},
		{`"messages":[{"role":"function","content":"x"}]`,
			"messages[0].name"},
	} {
		f.wantError("POST", "/v1/chat/completions", with(c[0]), 400, c[1])
	}
	for fields, param := range map[string]string{twoTools: "tools", `"functions":[{"name":"a"}]`: "functions",
		`"tool_choice":"required"`: "tool_choice"} {
		f.wantError("POST", "/v1/completions", `{"prompt":"a",`+fields+"}", 400, param)
	}
	if strings.Contains(f.log.String(), "a b") {
		t.Error("the log quotes a request")
	}
}

// TestToolHistory tests calls and results in a conversation, in OpenAI's newer and older form.
func TestToolHistory(t *testing.T) {
	f := start(t)
	for body, want := range map[string][]llm.Message{
		`[{"role":"user","content":"a"},
		{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"id":"y","function":{"name":"g","arguments":{"b":[]}}}]},
		{"role":"tool","tool_call_id":"x","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]},
		{"role":"tool","tool_call_id":"y","content":null}]`: {{Role: llm.RoleUser, Content: "a"},
			{Role: llm.RoleAssistant, Calls: []llm.Call{{ID: "x", Name: "f", Arguments: `{"a": 1}`}, {ID: "y", Name: "g",
				Arguments: `{"b":[]}`}}}, {Role: llm.RoleTool, CallID: "x", Content: "1\n2"}, {Role: llm.RoleTool, CallID: "y"}},
		`[{"role":"user","content":"a"},{"role":"assistant","content":"so","function_call":{"name":"f","arguments":""}},
		{"role":"function","name":"f","content":"9"}]`: {{Role: llm.RoleUser, Content: "a"}, {Role: llm.RoleAssistant,
			Content: "so", Calls: []llm.Call{{Name: "f"}}}, {Role: llm.RoleTool, Name: "f", Content: "9"}},
	} {
		if resp, data := f.do("POST", "/v1/chat/completions", `{"messages":`+body+`}`); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", body, resp.StatusCode, data)
			continue
		}
		calls := f.fake.Requests()
		if diff := cmp.Diff(want, calls[len(calls)-1].Messages, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

// calling makes the fake model answer with calls.
func calling(text string, calls ...llm.Call) func(*Config, *llmtest.Fake) {
	return func(_ *Config, f *llmtest.Fake) {
		f.Calls = func(*llm.Request) (string, []llm.Call) { return text, calls }
	}
}

var twoCalls = []llm.Call{{ID: "abc123XYZ", Name: "get_weather", Arguments: `{"city":"Zürich <3>"}`},
	{ID: "def456UVW", Name: "time", Arguments: "{}"}}

func TestCallsAtOnce(t *testing.T) {
	f := start(t, calling("", twoCalls...))
	_, data := f.do("POST", "/v1/chat/completions", with(twoTools))
	want := `"message":{"role":"assistant","content":null,"tool_calls":[{"id":"abc123XYZ","type":"function","function":` +
		`{"name":"get_weather","arguments":"{\"city\":\"Zürich <3>\"}"}},{"id":"def456UVW","type":"function",` +
		`"function":{"name":"time","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}`
	if !strings.Contains(string(data), want) {
		t.Errorf("%s\nwant %s", data, want)
	}
	_, data = f.do("POST", "/v1/chat/completions", with(`"functions":[`+weatherSource+`]`))
	want = `"message":{"role":"assistant","content":null,"function_call":{"name":"get_weather","arguments":` +
		`"{\"city\":\"Zürich <3>\"}"}},"logprobs":null,"finish_reason":"function_call"}`
	if !strings.Contains(string(data), want) {
		t.Errorf("%s\nwant %s", data, want)
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",stop": 2})
}

// TestCallsStreamed: the pieces of a stream add up to the answer that is not streamed, in the order that clients need.
func TestCallsStreamed(t *testing.T) {
	for _, fields := range []string{twoTools, twoTools + `,"n":3,"logprobs":true,"top_logprobs":1`,
		twoTools + `,"max_tokens":20`, twoTools + `,"stop":"Z"`, `"functions":[` + weatherSource + `]`} {
		for _, text := range []string{"", "Let me see. "} {
			calls := twoCalls
			if strings.Contains(fields, "functions") {
				calls = twoCalls[:1]
			}
			f := start(t, calling(text, calls...))
			whole := post[openai.ChatResponse](f, "/v1/chat/completions", with(fields))
			resp := f.request(t.Context(), "POST", "/v1/chat/completions", with(fields+`,"stream":true`))
			s := readStream(t, resp.Body)
			resp.Body.Close()
			got := make([]openai.ChatChoice, len(whole.Choices))
			for _, data := range s.data[:len(s.data)-1] {
				c := decode[openai.ChatChunk](t, []byte(data)).Choices[0]
				joinDelta(t, &got[c.Index], c)
			}
			for i := range whole.Choices {
				want := whole.Choices[i]
				if got[i].Index = i; !reflect.DeepEqual(got[i], want) || want.Message.Text() != text {
					t.Errorf("%s, %q: streamed\n%s, at once\n%s", fields, text, mustJSON(got[i]), mustJSON(want))
				}
			}
		}
	}
}

// joinDelta adds a chunk to an answer, as clients do.
func joinDelta(t *testing.T, to *openai.ChatChoice, c openai.ChatChunkChoice) {
	m := &to.Message
	m.Role += c.Delta.Role
	if c.Delta.Content != nil {
		text := m.Text() + *c.Delta.Content
		m.Content = &text
	}
	for _, call := range c.Delta.ToolCalls {
		switch {
		case call.Index == nil:
			t.Fatalf("a call without index: %s", mustJSON(c))
		case *call.Index == len(m.ToolCalls):
			if call.ID == "" || call.Type != "function" || call.Function.Name == "" {
				t.Errorf("the first piece of a call: %s", mustJSON(call))
			}
			call.Index = nil
			m.ToolCalls = append(m.ToolCalls, call)
		default:
			if call.ID+call.Type+call.Function.Name != "" {
				t.Errorf("a later piece of a call: %s", mustJSON(call))
			}
			m.ToolCalls[*call.Index].Function.Arguments += call.Function.Arguments
		}
	}
	if f := c.Delta.FunctionCall; f != nil {
		if m.FunctionCall == nil {
			m.FunctionCall = &openai.FunctionCall{}
		}
		m.FunctionCall.Name += f.Name
		m.FunctionCall.Arguments += f.Arguments
	}
	if c.Logprobs != nil {
		if to.Logprobs == nil {
			to.Logprobs = &openai.ChatLogprobs{}
		}
		to.Logprobs.Content = append(to.Logprobs.Content, c.Logprobs.Content...)
	}
	if c.FinishReason != nil {
		to.FinishReason = *c.FinishReason
	}
}

// TestTokenizeTools: /tokenize accepts the tools of a chat.
func TestTokenizeTools(t *testing.T) {
	f := start(t)
	count := func(fields string) int {
		return post[openai.TokenizeResponse](f, "/tokenize", `{"messages":[{"role":"user","content":"a"}]`+fields+`}`).Count
	}
	if plain, with := count(""), count(","+twoTools); with != plain+len(weatherSource)+len(timeSource)+2 {
		t.Errorf("%d tokens, and with tools %d", plain, with)
	}
	if plain, with := count(""), count(","+twoTools+`,"tool_choice":"none"`); with != plain {
		t.Errorf("%d tokens, and with tools that may not be called %d", plain, with)
	}
	f.wantError("POST", "/tokenize", `{"messages":[{"role":"user","content":"a"}],"tools":[{}]}`, 400, "tools[0].type")
}

// TestMistralsClients: libraries for Mistral's servers read each delta with a call as a whole call, so they get it
// whole, with the usage at the end; and they read errors without an object around them.
func TestMistralsClients(t *testing.T) {
	f := start(t, func(_ *Config, fake *llmtest.Fake) {
		fake.Calls = func(*llm.Request) (string, []llm.Call) {
			return "so ", []llm.Call{{ID: "a", Name: "one", Arguments: `{"x":1}`}, {ID: "b", Name: "two",
				Arguments: `{"y":[true,false]}`}}
		}
	})
	const tools = `"stream":true,"tools":[{"type":"function","function":{"name":"one"}},` +
		`{"type":"function","function":{"name":"two"}}]`
	for agent, whole := range map[string]bool{"openai/1": false, "mistral-client-python/1.2": true,
		"speakeasy-sdk/typescript 1.15.1 2.1 1.0 @mistralai/mistralai": true} {
		_, data := f.do("POST", "/v1/chat/completions", with(tools), "User-Agent", agent)
		var deltas []openai.ToolCall
		text := ""
		for line := range strings.Lines(string(data)) {
			var c openai.ChatChunk
			if data, ok := strings.CutPrefix(line, "data: {"); ok && json.Unmarshal([]byte("{"+data), &c) == nil {
				for _, choice := range c.Choices {
					deltas = append(deltas, choice.Delta.ToolCalls...)
					if choice.Delta.Content != nil {
						text += *choice.Delta.Content
					}
				}
			}
		}
		calls := map[int]string{}
		for _, d := range deltas {
			if whole && (d.ID == "" || d.Function.Name == "" || !json.Valid([]byte(d.Function.Arguments))) {
				t.Errorf("%s: a piece of a call: %+v", agent, d)
			}
			calls[*d.Index] += d.Function.Name + d.Function.Arguments
		}
		if calls[0] != `one{"x":1}` || calls[1] != `two{"y":[true,false]}` || text != "so " ||
			whole != (len(deltas) == 2) || whole != strings.Contains(string(data), `"usage":{"prompt_tokens"`) {
			t.Errorf("%s: %q %v in %d deltas\n%s", agent, text, calls, len(deltas), data)
		}
		_, refusal := f.do("POST", "/v1/chat/completions", with(`"temperature":9`), "User-Agent", agent)
		var e struct {
			openai.ErrorResponse
			Object, Message, Param string
		}
		if json.Unmarshal(refusal, &e) != nil || e.ErrorResponse.Error.Message == "" ||
			whole != (e.Message == e.ErrorResponse.Error.Message && e.Param == "temperature" && e.Object == "error") {
			t.Errorf("%s: %s", agent, refusal)
		}
	}
}
