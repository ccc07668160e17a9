package responses

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// FuzzTranslate: a body is refused as the client's error, or becomes the fields of a chat; and what the response
// repeats of it is JSON.
func FuzzTranslate(f *testing.F) {
	for _, s := range []string{
		`{"input":"a","stream":true,"include":["message.output_text.logprobs"],"metadata":{"a":"b"}}`,
		`{"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","summary":[]},` +
			`{"type":"function_call","call_id":"x","name":"f","arguments":"{}"},{"type":"function_call_output",` +
			`"call_id":"x","output":"b"},{"type":"item_reference","id":"msg_1"},{"id":"msg_2"}]}`,
		`{"input":"a","tools":[{"type":"function","name":"f","parameters":{},"strict":true}],` +
			`"tool_choice":{"type":"function","name":"f"}}`,
		`{"input":"a","text":{"format":{"type":"json_schema","name":"x","schema":{}},"verbosity":"low"}}`,
		`{"input":"b","previous_response_id":"resp_1","instructions":"c","store":false,"truncation":"auto"}`,
		`{"messages":[]}`, `{"input":[{"type":"message","role":"assistant","content":[{"type":"refusal"}]}]}`,
	} {
		f.Add(s)
	}
	store := NewMemory(1 << 16)
	first := (&Request{}).Answer("1", "m", 0, nil)
	first.Text(nil, "earlier", nil)
	first.Call(nil, "x", "f", "{}")
	first.End(nil, llm.FinishCalls, nil)
	if err := store.Put(f.Context(), "", first.Record(&Request{Items: []json.RawMessage{
		[]byte(`{"id":"msg_1","type":"message","role":"user","content":"hi"}`)}})); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := body.Parse([]byte(text))
		if err != nil {
			return
		}
		ctx := context.Background()
		q := Translate(o, func(id string) ([]json.RawMessage, error) { return History(ctx, store, "", id) },
			func(id string) (json.RawMessage, error) { return Reference(ctx, store, "", id) })
		if o.Err != nil {
			if !errors.Is(o.Err, llm.ErrBadRequest) && !errors.Is(o.Err, ErrNotFound) {
				t.Errorf("%q: %v", text, o.Err)
			}
			return
		}
		for name, v := range o.Fields {
			if !json.Valid(v) {
				t.Errorf("%q: %s is %q", text, name, v)
			}
		}
		if shown := q.Answer("2", "m", 0, nil).Object(); !json.Valid(shown) {
			t.Errorf("%q is shown as %s", text, shown)
		}
	})
}

// FuzzStream: for any output of a model, each event of the stream is JSON with consecutive numbers, and the last one
// shows the response that is not streamed.
func FuzzStream(f *testing.F) {
	f.Add("some\x00 words\x00\x01f\x00{\"a\":\x002}\x00", uint8(0), false)
	f.Add("\x01f\x00\x01g\x00{}\x00end", uint8(1), false)
	f.Add("\xff\xfe\r\n\ndata: x\n\n\u2028", uint8(2), true)
	f.Add("", uint8(3), true)
	f.Fuzz(func(t *testing.T, script string, how uint8, fail bool) {
		finish := []llm.Finish{llm.FinishStop, llm.FinishLength, llm.FinishCalls, ""}[how%4]
		a := (&Request{}).Answer("n", script, 1, map[string]any{"user": script})
		stream := a.Begin(nil)
		called := false
		for piece := range strings.SplitSeq(script, "\x00") {
			switch name, begins := strings.CutPrefix(piece, "\x01"); {
			case begins && name != "":
				called = true
				stream = a.Call(stream, "id"+name, name, "")
			case called && len(piece)%2 == 0:
				stream = a.Call(stream, "", "", piece)
			default:
				called = false
				stream = a.Text(stream, piece, []openai.TokenLogprob{{
					TopLogprob: openai.TopLogprob{Token: piece, Logprob: -1}}})
			}
		}
		if fail {
			stream = a.Fail(stream, "", script)
		} else {
			stream = a.End(stream, finish, &openai.Usage{PromptTokens: 3})
		}
		if !json.Valid(a.Object()) {
			t.Fatalf("%q: %s", script, a.Object())
		}
		reader, n := openai.NewReader(bytes.NewReader(stream), 0), 0
		var last []byte
		for ; ; n++ {
			e, err := reader.Next()
			if err == io.EOF {
				break
			}
			var v struct {
				Type     string
				Number   int `json:"sequence_number"`
				Response json.RawMessage
			}
			if err != nil || json.Unmarshal(e.Data, &v) != nil || v.Type != e.Type || v.Number != n {
				t.Fatalf("%q: event %d: %v %s", script, n, err, e.Data)
			}
			last = v.Response
		}
		if !bytes.Equal(last, a.Object()) {
			t.Fatalf("%q ends with %s, the response is %s", script, last, a.Object())
		}
	})
}
