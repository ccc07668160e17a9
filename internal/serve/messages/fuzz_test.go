package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// FuzzTranslate: a body is refused as the client's error, or becomes the fields of a chat.
func FuzzTranslate(f *testing.F) {
	for _, s := range []string{
		`{"max_tokens":3,"system":[{"type":"text","text":"a"}],"messages":[{"role":"user","content":[{"type":"text",` +
			`"text":"a"}]},{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"f","input":{}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"b","is_error":true}]}],` +
			`"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any"},"stream":true}`,
		`{"max_tokens":3,"messages":[{"role":"user","content":"a"}],"stop_sequences":["a"],` +
			`"thinking":{"type":"enabled"},"output_config":{"format":{"type":"json_schema","schema":{}}}}`,
		`{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}],"metadata":{"user_id":"u"}}`,
		`{"max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"x"}]}],` +
			`"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"container":[]}`,
		`{"prompt":"a"}`,
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, counting bool) {
		o, err := body.Parse([]byte(text))
		if err != nil {
			return
		}
		Translate(o, counting)
		if o.Err != nil {
			if !errors.Is(o.Err, llm.ErrBadRequest) {
				t.Errorf("%q: %v", text, o.Err)
			}
			return
		}
		for name, v := range o.Fields {
			if !json.Valid(v) {
				t.Errorf("%q: %s is %q", text, name, v)
			}
		}
	})
}

// FuzzStream: for any output of a model, each event of the stream is JSON of its type, blocks begin and end one after
// another, and the pieces add up to the message that is not streamed.
func FuzzStream(f *testing.F) {
	f.Add("some\x00 words\x00\x01f\x00{\"a\":\x002}\x00", uint8(0), "")
	f.Add("\x01f\x00\x01g\x00{}\x00end", uint8(1), "a")
	f.Add("\xff\xfe\r\n\ndata: x\n\n\u2028", uint8(2), "\xff")
	f.Add("", uint8(3), "")
	f.Fuzz(func(t *testing.T, script string, how uint8, stop string) {
		finish := []llm.Finish{llm.FinishStop, llm.FinishLength, llm.FinishCalls, ""}[how%4]
		a := NewAnswer("id", script, 2)
		stream := a.Begin(nil)
		called := false
		for piece := range strings.SplitSeq(script, "\x00") {
			piece = strings.ToValidUTF8(piece, "\ufffd") // the pieces of an answer are whole characters
			switch name, begins := strings.CutPrefix(piece, "\x01"); {
			case begins && name != "":
				called = true
				stream = a.Call(stream, "id"+name, name, "")
			case called && len(piece)%2 == 0:
				stream = a.Call(stream, "", "", piece)
			default:
				called = false
				stream = a.Text(stream, piece)
			}
		}
		stream = a.End(stream, finish, stop, &openai.Usage{PromptTokens: 3})
		stream = AppendError(stream, 500, script, stop)
		if !json.Valid(a.Object()) {
			t.Fatalf("%q: %s", script, a.Object())
		}
		reader := openai.NewReader(bytes.NewReader(stream), 0)
		text, open, blocks := strings.Builder{}, false, 0
		for {
			e, err := reader.Next()
			if err == io.EOF {
				break
			}
			var v struct {
				Type  string
				Index int
				Delta struct{ Text string }
			}
			if err != nil || json.Unmarshal(e.Data, &v) != nil || v.Type != e.Type {
				t.Fatalf("%q: %v %s %s", script, err, e.Type, e.Data)
			}
			ok := true
			switch v.Type {
			case "content_block_start":
				ok, open = !open && v.Index == blocks, true
			case "content_block_delta":
				ok = open && v.Index == blocks
				text.WriteString(v.Delta.Text)
			case "content_block_stop":
				ok, open = open && v.Index == blocks, false
				blocks++
			case "message_delta":
				ok = !open
			}
			if !ok {
				t.Fatalf("%q: %s", script, stream)
			}
		}
		var whole struct{ Content []struct{ Text string } }
		if err := json.Unmarshal(a.Object(), &whole); err != nil || len(whole.Content) != blocks {
			t.Fatalf("%q: %d blocks in the stream, %s: %v", script, blocks, a.Object(), err)
		}
		said := ""
		for _, b := range whole.Content {
			said += b.Text
		}
		if said != text.String() {
			t.Fatalf("%q: streamed %q, whole %q", script, text.String(), said)
		}
	})
}
