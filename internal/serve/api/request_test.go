package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/responses"
)

// TestFieldsReachTheBackend: every field has the meaning that OpenAI and vLLM document.
func TestFieldsReachTheBackend(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) { c.Temperature = 0.7 })
	seed := int64(-3)
	message := []llm.Message{{Role: llm.RoleUser, Content: "hi"}}
	base := func(change func(*llm.Request)) llm.Request {
		r := llm.Request{Model: "fake", Messages: message, MaxTokens: 256, Sampling: llm.Sampling{Temperature: 0.7}}
		change(&r)
		return r
	}
	for _, test := range []struct {
		fields string
		want   llm.Request
	}{
		{``, base(func(*llm.Request) {})},
		{`"temperature":0`, base(func(r *llm.Request) { r.Sampling.Temperature = 0 })},
		{`"temperature":null,"top_p":null,"stop":null,"n":null,"seed":null,"stream":null,"logit_bias":null,"max_tokens":null`, base(func(*llm.Request) {})},
		{`"top_p":0.25,"top_k":7,"min_p":0.5`, base(func(r *llm.Request) {
			r.Sampling.TopP, r.Sampling.TopK, r.Sampling.MinP = 0.25, 7, 0.5
		})},
		{`"top_k":-1`, base(func(*llm.Request) {})},
		{`"presence_penalty":-2,"frequency_penalty":2,"repetition_penalty":1.5`, base(func(r *llm.Request) {
			r.Sampling.PresencePenalty, r.Sampling.FrequencyPenalty, r.Sampling.RepetitionPenalty = -2, 2, 1.5
		})},
		{`"seed":-3`, base(func(r *llm.Request) { r.Sampling.Seed = &seed })},
		{`"n":1.0,"max_tokens":5.0`, base(func(r *llm.Request) { r.MaxTokens = 5 })},
		{`"max_tokens":5`, base(func(r *llm.Request) { r.MaxTokens = 5 })},
		{`"max_tokens":5,"max_completion_tokens":6`, base(func(r *llm.Request) { r.MaxTokens = 6 })},
		{`"stop":"x"`, base(func(r *llm.Request) { r.Stop = []string{"x"} })},
		{`"stop":["x","y","z","w"]`, base(func(r *llm.Request) { r.Stop = []string{"x", "y", "z", "w"} })},
		{`"stop":[]`, base(func(*llm.Request) {})},
		{`"stop":""`, base(func(*llm.Request) {})},
		{`"stop":["","x",""]`, base(func(r *llm.Request) { r.Stop = []string{"x"} })},
		{`"stop":["a","b","c","d","e"]`, base(func(r *llm.Request) { r.Stop = []string{"a", "b", "c", "d", "e"} })},
		{`"seed":-1`, base(func(*llm.Request) {})},
		{`"top_p":0`, base(func(r *llm.Request) { r.Sampling.TopK = 1 })},
		{`"top_p":0,"top_k":40`, base(func(r *llm.Request) { r.Sampling.TopK = 1 })},
		{`"max_tokens":-1`, base(func(*llm.Request) {})},
		{`"max_tokens":257`, base(func(*llm.Request) {})},
		{`"max_tokens":5,"max_completion_tokens":9007199254740993`, base(func(*llm.Request) {})},
		{`"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none"`, base(func(*llm.Request) {})},
		{`"logprobs":true`, base(func(r *llm.Request) { r.Logprobs = true })},
		{`"logprobs":true,"top_logprobs":20`, base(func(r *llm.Request) { r.Logprobs, r.TopLogprobs = true, 20 })},
		{`"logprobs":false,"top_logprobs":0`, base(func(*llm.Request) {})},
		{`"logit_bias":{"5":-100,"200":1.5}`,
			base(func(r *llm.Request) { r.Sampling.LogitBias = map[int32]float64{5: -100, 200: 1.5} })},
		{`"ignore_eos":true,"max_tokens":2`, base(func(r *llm.Request) { r.IgnoreEOS, r.MaxTokens = true, 2 })},
		{`"user":"u","metadata":{},"store":false`, base(func(*llm.Request) {})},
		{`"tools":[],"response_format":{"type": "text"},"tool_choice":"none","parallel_tool_calls":true`,
			base(func(*llm.Request) {})},
		{`"tool_choice":"auto","modalities":["text"],"min_tokens":0,"stop_token_ids":[],"add_generation_prompt":true,"best_of":1,"echo":false`, base(func(*llm.Request) {})},
		{`"model":"fake"`, base(func(*llm.Request) {})},
		{`"model":""`, base(func(*llm.Request) {})},
		{`"messages":[{"role":"developer","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"n"}]`,
			base(func(r *llm.Request) {
				r.Messages = []llm.Message{{Role: llm.RoleSystem, Content: "s"}, {Role: llm.RoleUser, Content: "a\nb"}}
			})},
		{`"messages":[{"role":"assistant"},{"role":"user","content":null},{"role":"system","content":"s"}]`,
			base(func(r *llm.Request) { // unchanged: the backend puts them in order
				r.Messages = []llm.Message{{Role: llm.RoleAssistant}, {Role: llm.RoleUser},
					{Role: llm.RoleSystem, Content: "s"}}
			})},
	} {
		body := `{"messages":[{"role":"user","content":"hi"}]}`
		if test.fields != "" {
			body = strings.TrimSuffix(body, "}") + "," + test.fields + "}"
		}
		if resp, data := f.do("POST", "/v1/chat/completions", body); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", test.fields, resp.StatusCode, data)
			continue
		}
		calls := f.fake.Requests()
		if diff := cmp.Diff(test.want, calls[len(calls)-1], cmpopts.IgnoreFields(llm.Request{}, "ID"),
			cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", test.fields, diff)
		}
	}
}

// TestBadFields: a value that is out of range or has the wrong type is a 400 that names the field, and reaches no
// backend.
func TestBadFields(t *testing.T) {
	f := start(t)
	both := func(field string, values ...string) (cases [][2]string) {
		for _, v := range values {
			cases = append(cases, [2]string{fmt.Sprintf(`"%s":%s`, field, v), field})
		}
		return cases
	}
	var shared [][2]string
	for _, c := range [][][2]string{
		both("temperature", `-0.1`, `2.1`, `"1"`, `true`, `[]`, `1e999`, `{}`),
		both("top_p", `1.01`, `-1`, `"x"`),
		both("min_p", `-0.1`, `1`, `"x"`),
		both("top_k", `-2`, `1.5`, `"x"`, `99999999999`),
		both("presence_penalty", `-2.1`, `2.1`, `"x"`),
		both("frequency_penalty", `-2.1`, `2.1`, `[1]`),
		both("repetition_penalty", `0`, `-1`, `11`, `"x"`),
		both("n", `0`, `-1`, `9`, `1.5`, `"2"`),
		both("seed", `1.5`, `"x"`, `99999999999999999999`, `1e300`, `-1e19`),
		both("max_tokens", `0`, `-2`, `1.5`, `"5"`, `true`),
		both("max_completion_tokens", `0`, `"5"`),
		both("stream", `1`, `"true"`),
		both("ignore_eos", `1`),
		both("user", `1`),
		both("model", `1`, `[]`),
		both("stop", `1`, `{}`, `["a"`+strings.Repeat(`,"a"`, 128)+`]`),
		both("tools", `1`, `"x"`), both("tool_choice", `"required"`, `{"type":"function","function":{"name":"f"}}`),
		both("functions", `1`), both("function_call", `{"name":"f"}`),
		both("suffix", `"x"`),
		both("best_of", `2`),
		both("modalities", `["text","audio"]`), both("min_tokens", `1`), both("stop_token_ids", `[2]`),
		both("add_generation_prompt", `false`),
		both("response_format", `1`, `"json_object"`, `[]`), both("guided_json", `1`, `[]`),
		both("guided_regex", `{}`, `1`), both("guided_choice", `"a"`), both("guided_grammar", `{}`),
		both("grammar", `{}`), both("json_schema", `1`), both("structured_outputs", `1`),
		both("guided_whitespace_pattern", `"x"`),
		{{`"response_format":{"type":"xml"}`, "response_format.type"}, {`"response_format":{"x":1}`, "response_format.type"},
			{`"response_format":{"type":"json_schema"}`, "response_format.json_schema"},
			{`"response_format":{"type":"json_schema","json_schema":{"name":"x"}}`, "response_format.json_schema.schema"},
			{`"response_format":{"type":"json_schema","json_schema":{"schema":3}}`, "response_format.json_schema.schema"},
			{`"guided_choice":["a",1]`, "guided_choice[1]"}, {`"structured_outputs":{"xml":"y"}`, "structured_outputs"},
			{`"structured_outputs":{"json":1}`, "structured_outputs.json"},
			{`"structured_outputs":{"structural_tag":"y"}`, "structured_outputs"},
			{`"guided_regex":"a","grammar":"root ::= \"a\""`, "grammar"},
			{`"response_format":{"type":"json_object"},"structured_outputs":{"regex":"a"}`, "structured_outputs.regex"}},
		{{`"stop":["a",1]`, "stop[1]"}, {`"stop":[null]`, "stop[0]"},
			{`"stop":["` + strings.Repeat("x", 600) + `"]`, "stop[0]"}},
		{{`"logit_bias":[1]`, "logit_bias"}, {`"logit_bias":{"x":1}`, "logit_bias"},
			{`"logit_bias":{"-1":1}`, "logit_bias"}, {`"logit_bias":{"999":1}`, "logit_bias"},
			{`"logit_bias":{"5":101}`, "logit_bias.5"}, {`"logit_bias":{"5":"1"}`, "logit_bias.5"}},
		{{`"stream_options":{"include_usage":true}`, "stream_options"},
			{`"stream":true,"stream_options":1`, "stream_options"},
			{`"stream":true,"stream_options":{"include_usage":1}`, "stream_options.include_usage"}},
	} {
		shared = append(shared, c...)
	}
	chat := `{"messages":[{"role":"user","content":"hi"}]`
	for _, c := range shared {
		f.wantError("POST", "/v1/chat/completions", chat+","+c[0]+"}", 400, c[1])
		f.wantError("POST", "/v1/completions", `{"prompt":"hi",`+c[0]+"}", 400, c[1])
	}
	for _, c := range [][2]string{
		{`{}`, "messages"}, {`{"messages":[]}`, "messages"}, {`{"messages":null}`, "messages"},
		{`{"messages":"hi"}`, "messages"}, {`{"messages":[1]}`, "messages[0]"},
		{`{"messages":[null]}`, "messages[0]"},
		{`{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","tool_calls":[{"id":"1"}]}]}`,
			"messages[1].tool_calls[0].function"}, {`{"messages":[{"role":"tool","content":"a"}]}`, "messages[0].role"},
		{`{"messages":[{"content":"a"}]}`, "messages[0].role"},
		{`{"messages":[{"role":"judge","content":"a"}]}`, "messages[0].role"},
		{`{"messages":[{"role":7,"content":"a"}]}`, "messages[0].role"},
		{`{"messages":[{"role":"user"}]}`, "messages[0].content"},
		{`{"messages":[{"role":"user","content":5}]}`, "messages[0].content"},
		{`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}`,
			"messages[0].content[0].type"}, {`{"messages":[{"role":"user","content":[{"type":"text"}]}]}`,
			"messages[0].content[0].text"},
		{`{"messages":[{"role":"user","content":["a"]}]}`, "messages[0].content[0]"},
		{chat + `,"logprobs":1}`, "logprobs"}, {chat + `,"top_logprobs":2}`, "top_logprobs"},
		{chat + `,"logprobs":true,"top_logprobs":21}`, "top_logprobs"},
		{chat + `,"logprobs":true,"top_logprobs":-1}`, "top_logprobs"},
	} {
		f.wantError("POST", "/v1/chat/completions", c[0], 400, c[1])
	}
	for _, c := range [][2]string{
		{`{}`, "prompt"}, {`{"prompt":null}`, "prompt"}, {`{"prompt":""}`, "prompt"}, {`{"prompt":[]}`, "prompt"},
		{`{"prompt":1}`, "prompt"}, {`{"prompt":{}}`, "prompt"}, {`{"prompt":[""]}`, "prompt[0]"},
		{`{"prompt":["a",1]}`, "prompt[1]"}, {`{"prompt":[1,"a"]}`, "prompt"}, {`{"prompt":[[]]}`, "prompt[0]"},
		{`{"prompt":[1,null]}`, "prompt"}, {`{"prompt":[1.5]}`, "prompt"}, {`{"prompt":[999999]}`, "prompt"},
		{`{"prompt":["a"` + strings.Repeat(`,"a"`, 17) + `],"n":8}`, "prompt"},
		{`{"prompt":["a"` + strings.Repeat(`,"a"`, 200) + `]}`, "prompt"},
		{`{"prompt":"a","logprobs":true}`, "logprobs"}, {`{"prompt":"a","logprobs":21}`, "logprobs"},
	} {
		f.wantError("POST", "/v1/completions", c[0], 400, c[1])
	}
	for _, body := range []string{``, `null`, `[]`, `"x"`, `{`, `{"messages":`, "{\"a\":1}x", `{'a':1}`,
		strings.Repeat(`{"a":`, 20000)} {
		_, e := f.wantError("POST", "/v1/chat/completions", body, 400, "")
		if e.Code == nil || *e.Code != "invalid_json" {
			t.Errorf("%.20q: %+v", body, e)
		}
	}
	f.wantError("POST", "/v1/chat/completions", with(`"model":"gpt-4"`), 404, "model")
	_, e := f.wantError("POST", "/v1/completions", `{"prompt":"`+strings.Repeat("x", 5000)+`"}`, 400, "prompt")
	if e.Code == nil || *e.Code != "context_length_exceeded" {
		t.Errorf("%+v", e)
	}
	for _, stream := range []string{"false", "true"} {
		_, e := f.wantError("POST", "/v1/chat/completions",
			`{"messages":[{"role":"user","content":"`+strings.Repeat("x", 5000)+`"}],"stream":`+stream+`}`, 400,
			"messages")
		if *e.Code != "context_length_exceeded" || !strings.HasPrefix(e.Message, "messages: has") {
			t.Errorf("%+v", e)
		}
	}
	f.wantMetrics(map[string]float64{telemetry.Requests + ",stop": 0, telemetry.Requests + ",length": 0,
		telemetry.Requests + ",error": 0, telemetry.GenerationTokens: 0})
}

// TestErrorsKeepSecrets: a message quotes numbers, but never texts.
func TestErrorsKeepSecrets(t *testing.T) {
	f := start(t)
	secret := strings.Repeat("my secret ", 30)
	for _, body := range []string{
		`{"messages":[{"role":"` + secret + `","content":"a"}]}`, `{"messages":"` + secret + `"}`, `{"prompt":{"` +
			secret + `":1}}`,
		with(`"temperature":"` + secret + `"`), with(`"n":"` + secret + `"`), with(`"stop":{"` + secret + `":1}`),
		with(`"logit_bias":{"` + secret + `":1}`),
	} {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
			resp, data := f.do("POST", path, body)
			if resp.StatusCode < 400 || strings.Contains(string(data), secret[:15]) {
				t.Errorf("%s: %d %s", body, resp.StatusCode, data)
			}
		}
	}
	post[json.RawMessage](f, "/v1/chat/completions", `{"messages":[{"role":"user","content":"`+secret+`"}]}`)
	if strings.Contains(f.log.String(), secret[:15]) {
		t.Errorf("the log has it: %s", f.log)
	}
}

// FuzzChat: any body gets valid JSON as the answer, and never a status of 500 or above.
func FuzzChat(f *testing.F) {
	for _, seed := range []string{
		chatBody, with(`"n":3,"stop":["a","b"],"logprobs":true,"top_logprobs":2`), `{"prompt":["a",[1,2]]}`,
		`{"prompt":[[1,2],"x"],"n":2}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":"\ud800"}]}]}`,
		`{"messages":[{}]}`, `{"logit_bias":{"1":1e400}}`, `{"seed":-9223372036854775808,"n":8,"prompt":"a"}`,
		"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\x00\"}]}", `[[[[`, `{"stream_options":{}}`,
		`{"prompt":[[1,100],[3]],"echo":true,"logprobs":2,"max_tokens":0}`, `{"prompt":"a","prompt_logprobs":3,"n":2}`,
		`{"input":"a","stream":true,"include":["message.output_text.logprobs"],"metadata":{"a":"b"}}`,
		`{"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","summary":[]},` +
			`{"type":"function_call","call_id":"x","name":"f","arguments":"{}"},{"type":"function_call_output",` +
			`"call_id":"x","output":"b"},{"type":"item_reference","id":"msg_1"}],"previous_response_id":"resp_1"}`,
		`{"input":"a","tools":[{"type":"function","name":"f"}],"tool_choice":{"type":"function","name":"f"},` +
			`"text":{"format":{"type":"json_schema","name":"x","schema":{}}},"stream":true}`,
		`{"max_tokens":3,"system":[{"type":"text","text":"a"}],"messages":[{"role":"user","content":[{"type":"text",` +
			`"text":"a"}]},{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"f","input":{}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"b","is_error":true}]}],` +
			`"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any"},"stream":true}`,
		`{"max_tokens":3,"messages":[{"role":"user","content":"a"}],"stop_sequences":["a"],"thinking":{"type":"enabled"},` +
			`"output_config":{"format":{"type":"json_schema","schema":{}}}}`,
	} {
		f.Add(seed)
	}
	fake := llmtest.NewFake("fake", 64, 200, 0)
	fake.Grammar = func(*llm.Grammar) (string, error) { return "{}", nil }
	fake.Calls = func(r *llm.Request) (string, []llm.Call) {
		return "a", []llm.Call{{ID: "x", Name: r.Tools.List[0].Name, Arguments: "{}"}}
	}
	server := New(Config{Metrics: telemetry.NewMetrics("v"), MaxTokens: 8, Responses: responses.NewMemory(1 << 16)})
	server.SetBackend(fake)
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize",
			"/v1/responses", "/v1/messages", "/v1/messages/count_tokens"} {
			w := httptest.NewRecorder()
			server.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
			if w.Code >= 500 {
				t.Errorf("%s %q: %d %s", path, body, w.Code, w.Body)
			}
			if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s %q: %s", path, body, w.Body)
			}
			for line := range strings.Lines(w.Body.String()) {
				if data, ok := strings.CutPrefix(line, "data: "); ok && data != openai.Done+"\n" &&
					!json.Valid([]byte(data)) {
					t.Errorf("%s %q: %s", path, body, line)
				}
			}
		}
	})
}

// TestMoreChoicesThanPlaces: a request may have more choices than the service has places. They start when places are
// free, and leave the queue to other requests.
func TestMoreChoicesThanPlaces(t *testing.T) {
	f := start(t, func(c *Config, fake *llmtest.Fake) {
		*fake = *llmtest.NewFake("fake", 4096, 2, 1)
		c.Slots, c.Queue = 2, 1
	})
	var most atomic.Int32
	f.fake.Step = func(context.Context, *llm.Request, int) error {
		st := f.fake.Status()
		if now := int32(st.Running + st.Waiting); now > most.Load() {
			most.Store(now)
		}
		return nil
	}
	prompts := strings.TrimSuffix(strings.Repeat(`"a b",`, 64), ",")
	for range 3 { // several such requests compete for places
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() {
				resp, data := f.do("POST", "/v1/completions", `{"prompt":[`+prompts+`],"n":2,"max_tokens":3,"temperature":0}`)
				var r openai.TextResponse
				if json.Unmarshal(data, &r) != nil || resp.StatusCode != 200 || len(r.Choices) != 128 ||
					r.Usage.CompletionTokens != 3*128 {
					t.Errorf("%s %.300s", resp.Status, data)
				}
			})
		}
		group.Wait()
	}
	if resp, body := f.do("POST", "/v1/chat/completions", with(`"n":8,"stream":true`)); resp.StatusCode != 200 ||
		strings.Count(string(body), `"finish_reason":"stop"`) != 8 {
		t.Errorf("%s %s", resp.Status, body)
	}
	if most.Load() > 3 {
		t.Errorf("%d choices at a time", most.Load())
	}
	if n := f.metrics()[telemetry.Requests+",abort"]; n != 0 {
		t.Errorf("%v aborted", n)
	}
}

// TestNoPlaceForAnyChoice: a full service refuses a request for several answers as it refuses a request for one.
func TestNoPlaceForAnyChoice(t *testing.T) {
	release := make(chan struct{})
	f := start(t, func(c *Config, fake *llmtest.Fake) {
		*fake = *llmtest.NewFake("fake", 4096, 1, 0)
		fake.Step = holdUntil(release)
	})
	done := make(chan int, 1)
	go func() {
		resp, _ := f.do("POST", "/v1/chat/completions", chatBody)
		done <- resp.StatusCode
	}()
	llmtest.Until(t, "it runs", func() bool { return f.fake.Status().Running == 1 })
	f.wantError("POST", "/v1/chat/completions", with(`"n":5`), 429, "")
	close(release)
	if status := llmtest.Await(t, "an answer", done); status != 200 {
		t.Errorf("status %d", status)
	}
}
