package api

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
)

// shape returns the names of a stream's events without direct repetitions, and all pieces of one of their fields,
// joined.
func shape(t *testing.T, r io.Reader, piece func(data []byte) string) (names []string, joined string) {
	t.Helper()
	events := openai.NewReader(r, 0)
	for {
		e, err := events.Next()
		if err == io.EOF {
			return names, joined
		}
		if err != nil {
			t.Fatal(err)
		}
		name := decode[struct{ Type string }](t, e.Data).Type
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
		}
		joined += piece(e.Data)
	}
}

const (
	responseTools = `"tools":[{"type":"function","name":"get_weather","strict":true,"parameters":{"type":"object"}},` +
		`{"type":"function","name":"time"}]`
	messageTools = `"tools":[{"name":"get_weather","input_schema":{"type":"object"},"cache_control":null},` +
		`{"type":"custom","name":"time"}]`
)

// TestResponsesCalls: tools reach the backend like those of a chat, calls are separate items and events, and both the
// calls and their results come back in the next request, as items or as a stored response.
func TestResponsesCalls(t *testing.T) {
	f := start(t, keeping, calling("Let me see. ", twoCalls...))
	type answer struct {
		ID, Status string
		Output     []struct {
			Type, Name, Arguments, Status string
			CallID                        string `json:"call_id"`
		}
	}
	body := `{"input":"weather?",` + responseTools + `,"tool_choice":"required"}`
	r := post[answer](f, "/v1/responses", body)
	if len(r.Output) != 3 || r.Output[0].Type != "message" || r.Output[1].Type != "function_call" ||
		r.Output[1].CallID != "abc123XYZ" || r.Output[1].Arguments != `{"city":"Zürich <3>"}` ||
		r.Output[2].Name != "time" || r.Output[2].Status != "completed" || r.Status != "completed" {
		t.Errorf("%+v", r)
	}
	all := f.fake.Requests()
	if got := all[len(all)-1].Tools; !got.Required || len(got.List) != 2 || got.List[1].Name != "time" ||
		got.List[0].Parameters != `{"type":"object"}` {
		t.Errorf("%+v", got)
	}
	resp := f.request(t.Context(), "POST", "/v1/responses", strings.TrimSuffix(body, "}")+`,"stream":true}`)
	names, joined := shape(t, resp.Body, func(data []byte) string {
		v := decode[struct{ Type, Delta string }](t, data)
		if v.Type != "response.function_call_arguments.delta" {
			return ""
		}
		return v.Delta
	})
	resp.Body.Close()
	call := []string{"response.output_item.added", "response.function_call_arguments.delta",
		"response.function_call_arguments.done", "response.output_item.done"}
	want := slices.Concat([]string{"response.created", "response.in_progress", "response.output_item.added",
		"response.content_part.added", "response.output_text.delta", "response.output_text.done",
		"response.content_part.done", "response.output_item.done"}, call, call, []string{"response.completed"})
	if !slices.Equal(names, want) || joined != `{"city":"Zürich <3>"}{}` {
		t.Errorf("%q\n%s", names, joined)
	}

	results := `{"type":"function_call_output","call_id":"abc123XYZ","output":"sunny"},` +
		`{"type":"function_call_output","call_id":"def456UVW","output":[{"type":"input_text","text":"noon"}]}`
	items := `{"role":"user","content":"weather?"},{"role":"assistant","content":"Let me see. "},` +
		`{"type":"function_call","call_id":"abc123XYZ","name":"get_weather","arguments":"{\"city\":\"Zürich <3>\"}","id":"fc_1"},` +
		`{"type":"function_call","call_id":"def456UVW","name":"time","arguments":"{}"},`
	var told []string
	for _, body := range []string{`{"previous_response_id":"` + r.ID + `","input":[` + results + `]}`,
		`{"input":[` + items + results + `]}`} {
		post[answer](f, "/v1/responses", body)
		all := f.fake.Requests()
		ids, err := f.fake.TokenizeChat(all[len(all)-1].Messages, nil)
		text, _ := f.fake.Detokenize(ids)
		if err != nil || !strings.Contains(text, "[CALL] abc123XYZ get_weather") ||
			!strings.Contains(text, "[RESULT] def456UVW noon") {
			t.Errorf("%s: the model was told %q, %v", body, text, err)
		}
		told = append(told, text)
	}
	if told[0] != told[1] {
		t.Errorf("gone on: %q\nas items: %q", told[0], told[1])
	}
	for fields, param := range map[string]string{
		`"tools":[{"type":"function","name":"a b"}]`:                                                         "tools[0].name",
		`"tools":[{"type":"function","name":"a","parameters":5}]`:                                            "tools[0].parameters",
		`"tools":[{"type":"function","name":"a","params":{}}]`:                                               "tools[0].params",
		responseTools + `,"tool_choice":{"type":"function","name":"x"}`:                                      "tool_choice",
		responseTools + `,"tool_choice":{"type":"web_search"}`:                                               "tool_choice.type",
		`"input":[{"type":"function_call","call_id":"x","name":"f","arguments":"{"}` + `,` + results + `]`:   "input[0].arguments",
		`"input":[{"role":"user","content":"a"},{"type":"function_call_output","call_id":"x","output":"b"}]`: "input[1].type",
	} {
		body := `{` + fields + `}`
		if !strings.Contains(fields, `"input"`) {
			body = `{"input":"a",` + fields + `}`
		}
		f.wantError("POST", "/v1/responses", body, 400, param)
	}
}

// TestMessagesCalls tests the same for messages.
func TestMessagesCalls(t *testing.T) {
	f := start(t, calling("Let me see. ", twoCalls...))
	type answer struct {
		Content []struct {
			Type, ID, Name string
			Input          json.RawMessage
		}
		Reason string `json:"stop_reason"`
	}
	begin := `{"max_tokens":99,` + messageTools + `,"tool_choice":{"type":"any","disable_parallel_tool_use":true},"messages":[`
	r := post[answer](f, "/v1/messages", begin+`{"role":"user","content":"weather?"}]}`)
	if len(r.Content) != 3 || r.Content[1].Type != "tool_use" || r.Content[1].ID != "abc123XYZ" ||
		string(r.Content[1].Input) != `{"city":"Zürich <3>"}` || r.Content[2].Name != "time" || r.Reason != "tool_use" {
		t.Errorf("%+v", r)
	}
	all := f.fake.Requests()
	if got := all[len(all)-1].Tools; !got.Required || !got.Single || len(got.List) != 2 ||
		got.List[0].Parameters != `{"type":"object"}` {
		t.Errorf("%+v", got)
	}
	resp := f.request(t.Context(), "POST", "/v1/messages", begin+`{"role":"user","content":"weather?"}],"stream":true}`)
	names, joined := shape(t, resp.Body, func(data []byte) string {
		return decode[struct {
			Delta struct {
				Partial string `json:"partial_json"`
			}
		}](t, data).Delta.Partial
	})
	resp.Body.Close()
	block := []string{"content_block_start", "content_block_delta", "content_block_stop"}
	want := slices.Concat([]string{"message_start", "ping"}, block, block, block,
		[]string{"message_delta", "message_stop"})
	if !slices.Equal(names, want) || joined != `{"city":"Zürich <3>"}{}` {
		t.Errorf("%q\n%s", names, joined)
	}
	post[answer](f, "/v1/messages", begin+`{"role":"user","content":"weather?"},{"role":"assistant","content":[
		{"type":"text","text":"Let me see."},{"type":"tool_use","id":"abc123XYZ","name":"get_weather","input":{"city":"Zürich <3>"}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"abc123XYZ","content":[{"type":"text","text":"no idea"}],
		"is_error":true},{"type":"text","text":"So?"}]}]}`)
	all = f.fake.Requests()
	var said []string
	for _, m := range all[len(all)-1].Messages {
		said = append(said, m.Role+":"+m.CallID+m.Content)
	}
	if want := []string{"user:weather?", "assistant:Let me see.", "tool:abc123XYZError: no idea",
		"user:So?"}; !slices.Equal(said, want) {
		t.Errorf("the model was told %q, want %q", said, want)
	}
	for body, says := range map[string]string{
		`{"max_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"name":"a b","input_schema":{}}]}`: "tools[0].name: ",
		`{"max_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"name":"a","input_schema":5}]}`:    "tools[0].input_schema: ",
		begin + `{"role":"user","content":[{"type":"tool_result","tool_use_id":"x"}]}]}`:                         "messages[0].content[0]",
	} {
		resp, data := f.do("POST", "/v1/messages", body)
		if resp.StatusCode != 400 || !strings.Contains(string(data), says) {
			t.Errorf("%s: %s %s, want one that says %q", body, resp.Status, data, says)
		}
	}
}
