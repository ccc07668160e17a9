package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/responses"
)

// keeping configures a service that stores responses.
func keeping(c *Config, _ *llmtest.Fake) { c.Responses = responses.NewMemory(1 << 20) }

// response has the fields of a response that the tests read.
type response struct {
	ID, Status string
	Previous   *string `json:"previous_response_id"`
	Incomplete *struct{ Reason string }
	Output     []struct {
		ID, Type, Role, Status string
		Content                []struct {
			Type, Text string
			Logprobs   []openai.TokenLogprob
		}
	}
	Usage *struct {
		Input  int `json:"input_tokens"`
		Output int `json:"output_tokens"`
		Total  int `json:"total_tokens"`
	}
	Store bool
	Error *struct{ Code, Message string }
}

func (r *response) text() string {
	if len(r.Output) != 1 || len(r.Output[0].Content) != 1 {
		return "no message"
	}
	return r.Output[0].Content[0].Text
}

// responseEvents reads a stream, and checks what all streams of this kind have in common.
func responseEvents(t *testing.T, r io.Reader) (names []string, text string, last response) {
	t.Helper()
	events := openai.NewReader(r, 0)
	for {
		e, err := events.Next()
		if err == io.EOF {
			return names, text, last
		}
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Type     string
			Seq      int `json:"sequence_number"`
			Delta    string
			Response *response
		}
		if err := json.Unmarshal(e.Data, &v); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		if v.Seq != len(names) || v.Type == "" {
			t.Errorf("event %d is %s", len(names), e.Data)
		}
		names = append(names, v.Type)
		text += v.Delta
		if v.Response != nil {
			last = *v.Response
		}
	}
}

func TestResponses(t *testing.T) {
	f := start(t, keeping)
	r := post[response](f, "/v1/responses", `{"input":"one two three","temperature":0}`)
	if r.text() != "one two three" || r.Status != "completed" || !r.Store ||
		r.Usage.Total != r.Usage.Input+r.Usage.Output ||
		r.Output[0].Role != "assistant" || !strings.HasPrefix(r.ID, "resp_") {
		t.Errorf("%+v", r)
	}
	chat := post[openai.ChatResponse](f, "/v1/chat/completions", chatBody)
	if chat.Usage.PromptTokens != r.Usage.Input || chat.Usage.CompletionTokens != r.Usage.Output {
		t.Errorf("usage %+v, that of the same chat %+v", r.Usage, chat.Usage)
	}
	cut := post[response](f, "/v1/responses", `{"input":"one two three","temperature":0,"max_output_tokens":3}`)
	if cut.text() != "one" || cut.Status != "incomplete" || cut.Output[0].Status != "incomplete" {
		t.Errorf("%+v", cut)
	}
	// All kinds of items, and instructions before them.
	post[response](f, "/v1/responses", `{"instructions":"be brief","temperature":0,"input":[
		{"role":"user","content":"a"},{"type":"message","role":"assistant","id":"msg_1","status":"completed",
		"content":[{"type":"output_text","text":"b","annotations":[]}]},{"type":"reasoning","id":"rs_1","summary":[]},
		{"role":"developer","content":[{"type":"input_text","text":"c"},{"type":"input_text","text":"d"}]},
		{"role":"user","content":"e"}]}`)
	all := f.fake.Requests()
	var said []string
	for _, m := range all[len(all)-1].Messages {
		said = append(said, m.Role+":"+m.Content)
	}
	want := []string{"system:be brief", "user:a", "assistant:b", "system:c\nd", "user:e"}
	if !slices.Equal(said, want) {
		t.Errorf("the model was told %q, want %q", said, want)
	}
	f.wantMetrics(map[string]float64{telemetry.HTTPRequests + ",200,/v1/responses": 3})
}

func TestResponsesStream(t *testing.T) {
	f := start(t, keeping)
	resp := f.request(t.Context(), "POST", "/v1/responses",
		`{"input":"hi","temperature":0,"stream":true,"top_logprobs":2}`)
	defer resp.Body.Close()
	names, text, last := responseEvents(t, resp.Body)
	want := []string{"response.created", "response.in_progress", "response.output_item.added",
		"response.content_part.added", "response.output_text.delta", "response.output_text.delta",
		"response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"}
	if !slices.Equal(names, want) || text != "hi" || last.text() != "hi" || last.Usage == nil ||
		len(last.Output[0].Content[0].Logprobs) != 2 || len(last.Output[0].Content[0].Logprobs[0].TopLogprobs) < 2 {
		t.Errorf("%q\n%q %+v", names, text, last)
	}
	_, data := f.do("GET", "/v1/responses/"+last.ID, "")
	if kept := decode[response](t, data); kept.text() != "hi" || kept.ID != last.ID {
		t.Errorf("kept: %s", data)
	}
}

// TestResponsesBreakOff: a stream that fails ends with the response at that point, which has the error.
func TestResponsesBreakOff(t *testing.T) {
	f := start(t, func(_ *Config, fake *llmtest.Fake) { fake.Step = failAt(2) })
	resp := f.request(t.Context(), "POST", "/v1/responses", `{"input":"one two","temperature":0,"stream":true}`)
	defer resp.Body.Close()
	names, text, last := responseEvents(t, resp.Body)
	if names[len(names)-1] != "response.failed" || text != "on" || last.Status != "failed" || last.Error == nil ||
		last.Error.Code != "internal_error" || last.Output[0].Status != "incomplete" {
		t.Errorf("%q\n%q %+v", names, text, last)
	}
}

// TestResponsesGoOn: a response can continue a stored one; a stored response can be shown with its input and deleted,
// but only by its own key.
func TestResponsesGoOn(t *testing.T) {
	f := start(t, keeping, func(c *Config, _ *llmtest.Fake) {
		c.Callers = access.NewCallers(keysOf(t, "a key-of-a-0123456789\nb key-of-b-0123456789"))
	})
	ask := func(key, method, path, body string, status int) (v response, raw []byte) {
		t.Helper()
		resp, data := f.do(method, path, body, "Authorization", "Bearer key-of-"+key+"-0123456789")
		if resp.StatusCode != status || json.Unmarshal(data, &v) != nil {
			t.Fatalf("%s %s %s: %d %s", method, path, body, resp.StatusCode, data)
		}
		return v, data
	}
	first, _ := ask("a", "POST", "/v1/responses", `{"input":"one","instructions":"never again","temperature":0}`, 200)
	second, _ := ask("a", "POST", "/v1/responses", `{"input":[{"role":"user","content":"two"}],"temperature":0,
		"instructions":"brief","previous_response_id":"`+first.ID+`"}`, 200)
	_, data := ask("a", "POST", "/v1/responses", `{"input":[{"type":"item_reference","id":"`+first.Output[0].ID+`"},
		{"role":"user","content":"three"}],"temperature":0,"store":false,"previous_response_id":"`+second.ID+`"}`, 200)
	all := f.fake.Requests()
	var said []string
	for _, m := range all[len(all)-1].Messages {
		said = append(said, m.Role+":"+m.Content)
	}
	if want := []string{"user:one", "assistant:one", "user:two", "assistant:two", "assistant:one",
		"user:three"}; !slices.Equal(said, want) {
		t.Errorf("the model was told %q, want %q", said, want)
	}
	shown, raw := ask("a", "GET", "/v1/responses/"+second.ID, "", 200)
	if shown.text() != "two" || *shown.Previous != first.ID {
		t.Errorf("%s", raw)
	}
	_, raw = ask("a", "GET", "/v1/responses/"+second.ID+"/input_items?order=asc", "", 200)
	if !strings.Contains(string(raw), `"content":"two"`) || !strings.Contains(string(raw), `"has_more":false`) {
		t.Errorf("%s", raw)
	}
	ask("b", "GET", "/v1/responses/"+second.ID, "", 404)
	ask("b", "POST", "/v1/responses", `{"input":"x","previous_response_id":"`+second.ID+`"}`, 400)
	ask("b", "POST", "/v1/responses", `{"input":[{"type":"item_reference","id":"`+first.Output[0].ID+`"}]}`, 400)
	ask("b", "DELETE", "/v1/responses/"+second.ID, "", 404)
	ask("a", "GET", "/v1/responses/"+decode[response](t, data).ID, "", 404) // store was false
	ask("a", "DELETE", "/v1/responses/"+second.ID, "", 200)
	ask("a", "DELETE", "/v1/responses/"+second.ID, "", 404)
	ask("a", "GET", "/v1/responses/"+second.ID+"/nothing", "", 404)
	f.wantError("GET", "/v1/responses/"+first.ID, "", 401, "")
}

// TestResponsesRefused: an error uses the client's name of the field.
func TestResponsesRefused(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ body, field string }{
		{`{}`, "input"}, {`{"input":5}`, "input"}, {`{"input":[]}`, "input"}, {`{"input":["a"]}`, "input[0]"},
		{`{"input":[{"content":"a"}]}`, "input[0].type"}, {`{"input":[{"role":"judge","content":"a"}]}`, "input[0].role"},
		{`{"input":[{"role":"user"}]}`, "input[0].content"},
		{`{"input":[{"role":"user","content":[{"type":"input_image"}]}]}`, "input[0].content[0].type"},
		{`{"input":[{"role":"user","content":[{"type":"input_text","text":5}]}]}`, "input[0].content[0].text"},
		{`{"input":[{"role":"user","content":"a","contents":"b"}]}`, "input[0].contents"},
		{`{"input":[{"type":"function_call_output","output":"a"}]}`, "input[0].call_id"},
		{`{"input":[{"type":"computer_call"}]}`, "input[0].type"},
		{`{"input":"a","input_text":"b"}`, "input_text"}, {`{"input":"a","messages":[]}`, "messages"},
		{`{"input":"a","max_output_tokens":0}`, "max_output_tokens"}, {`{"input":"a","temperature":9}`, "temperature"},
		{`{"input":"a","text":{"format":{"type":"xml"}}}`, "text.format.type"},
		{`{"input":"a","text":{"format":{"type":"json_schema"}}}`, "text.format.schema"},
		{`{"input":"a","text":{"form":{}}}`, "text.form"}, {`{"input":"a","text":{"format":{"type":"text","x":1}}}`,
			"text.format.x"},
		{`{"input":"a","background":true}`, "background"}, {`{"input":"a","conversation":"c"}`, "conversation"},
		{`{"input":"a","metadata":{"a":5}}`, "metadata.a"}, {`{"input":"a","include":["everything"]}`, "include[0]"},
		{`{"input":"a","truncation":"middle"}`, "truncation"}, {`{"input":"a","n":2}`, "n"},
		{`{"input":"a","tools":[{"type":"web_search"}]}`, "tools[0].type"},
		{`{"input":"a","previous_response_id":"resp_1"}`, "previous_response_id"},
		{`{"input":"` + strings.Repeat("a ", 5000) + `"}`, "input"},
	} {
		f.wantError("POST", "/v1/responses", c.body, 400, c.field)
	}
	f.wantError("GET", "/v1/responses/resp_1", "", 400, "")
}

// TestTranslatedBehindOthers: an upstream without the route gets a chat, and one that has it gets the unchanged
// request.
func TestTranslatedBehindOthers(t *testing.T) {
	for _, native := range []bool{false, true} {
		var asked []string
		f := behind(t, func(w http.ResponseWriter, r *http.Request) {
			data, _ := io.ReadAll(r.Body)
			asked = append(asked, r.URL.Path)
			switch {
			case r.URL.Path == "/v1/chat/completions":
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprintf(w, `data: {"choices":[{"index":0,"delta":{"content":"far away"}}]}`+"\n\n"+
					`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\n"+
					`data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}`+"\n\ndata: [DONE]\n\n")
			case native:
				io.WriteString(w, `{"native":`+string(data)+`}`)
			default:
				w.WriteHeader(404)
				io.WriteString(w, `{"detail":"Not Found"}`)
			}
		}, nil)
		for path, body := range map[string]string{"/v1/responses": `{"input":"a"}`,
			"/v1/messages": `{"max_tokens":9,"messages":[{"role":"user","content":"a"}]}`} {
			asked = nil
			resp, data := f.do("POST", path, body)
			if native {
				if string(data) != `{"native":`+body+`}` || !slices.Equal(asked, []string{path}) {
					t.Errorf("%s: %s %s, asked for %q", path, resp.Status, data, asked)
				}
				continue
			}
			if resp.StatusCode != 200 || !strings.Contains(string(data), `"text":"far away"`) ||
				!slices.Equal(asked, []string{path, "/v1/chat/completions"}) {
				t.Errorf("%s: %s %s, asked for %q", path, resp.Status, data, asked)
			}
		}
		stop := 1.0
		if native {
			stop = 0 // no tokens are known
		}
		if got := f.metrics()[telemetry.Requests+",stop"]; got < stop {
			t.Errorf("native %v: %v answers", native, got)
		}
		resp := f.request(t.Context(), "POST", "/v1/responses", `{"input":"a","stream":true}`)
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !native && !strings.Contains(string(data), "response.completed") {
			t.Errorf("stream: %s", data)
		}
	}
}
