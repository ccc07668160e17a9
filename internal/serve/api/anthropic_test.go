package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/base/telemetry"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/llm/llmtest"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
)

// anthropicMessage is what the tests read of a message.
type anthropicMessage struct {
	ID, Type, Role string
	Content        []struct{ Type, Text string }
	Reason         *string `json:"stop_reason"`
	Stop           *string `json:"stop_sequence"`
	Usage          struct {
		Input  int `json:"input_tokens"`
		Output int `json:"output_tokens"`
	}
}

func TestMessages(t *testing.T) {
	f := start(t)
	for _, c := range []struct{ fields, text, reason, stop string }{
		{``, "one two three", "end_turn", ""},
		{`,"stop_sequences":["x"," three"]`, "one two", "stop_sequence", " three"},
		{`,"max_tokens":3`, "one", "max_tokens", ""},
		{`,"top_k":4,"top_p":0.9,"metadata":{"user_id":"u"},"service_tier":"auto","thinking":{"type":"disabled"}`,
			"one two three", "end_turn", ""},
	} {
		body := `{"model":"fake","max_tokens":99,"temperature":0,"messages":[{"role":"user","content":"one two three"}]` +
			c.fields + `}`
		m := post[anthropicMessage](f, "/v1/messages", body)
		stop := ""
		if m.Stop != nil {
			stop = *m.Stop
		}
		if len(m.Content) != 1 || m.Content[0].Text != c.text || *m.Reason != c.reason || stop != c.stop ||
			m.Type != "message" || m.Role != "assistant" || m.Usage.Input == 0 || m.Usage.Output == 0 {
			t.Errorf("%s: %+v", c.fields, m)
		}
	}
	post[anthropicMessage](f, "/v1/messages", `{"max_tokens":9,"system":[{"type":"text","text":"be"},{"type":"text","text":"brief",
		"cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},
		{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"b"}]},
		{"role":"user","content":"c"}]}`)
	all := f.fake.Requests()
	var said []string
	for _, m := range all[len(all)-1].Messages {
		said = append(said, m.Role+":"+m.Content)
	}
	if want := []string{"system:be\nbrief", "user:a", "assistant:b", "user:c"}; !slices.Equal(said, want) {
		t.Errorf("the model was told %q, want %q", said, want)
	}
	count := post[struct {
		Input int `json:"input_tokens"`
	}](f, "/v1/messages/count_tokens", `{"messages":[{"role":"user","content":"one two three"}]}`)
	if chat := post[openai.ChatResponse](f, "/v1/chat/completions", chatBody); chat.Usage.PromptTokens != count.Input {
		t.Errorf("%d tokens counted, and the chat has %d", count.Input, chat.Usage.PromptTokens)
	}
	f.wantMetrics(map[string]float64{telemetry.HTTPRequests + ",200,/v1/messages": 5,
		telemetry.HTTPRequests + ",200,/v1/messages/count_tokens": 1})
}

// messageEvents reads a stream of a message.
func messageEvents(t *testing.T, r io.Reader) (names []string, text string, last anthropicMessage) {
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
			Type  string
			Delta struct {
				Text   string
				Reason *string `json:"stop_reason"`
			}
			Message *anthropicMessage
			Usage   *struct {
				Output int `json:"output_tokens"`
			}
		}
		if err := json.Unmarshal(e.Data, &v); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		names = append(names, v.Type)
		text += v.Delta.Text
		if v.Message != nil {
			last = *v.Message
		}
		if v.Usage != nil {
			last.Reason, last.Usage.Output = v.Delta.Reason, v.Usage.Output
		}
	}
}

func TestMessagesStream(t *testing.T) {
	f := start(t)
	resp := f.request(t.Context(), "POST", "/v1/messages",
		`{"max_tokens":9,"temperature":0,"stream":true,"messages":[{"role":"user","content":"hi"}]}`)
	defer resp.Body.Close()
	names, text, last := messageEvents(t, resp.Body)
	if want := []string{"message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
		"content_block_stop", "message_delta", "message_stop"}; !slices.Equal(names, want) || text != "hi" ||
		*last.Reason != "end_turn" || last.Usage.Output != 3 || last.Usage.Input != 18 {
		t.Errorf("%q\n%q %+v", names, text, last)
	}
	if id := resp.Header.Get("Request-Id"); id == "" || id != resp.Header.Get("X-Request-Id") {
		t.Errorf("request id %q", id)
	}
}

// TestMessagesPing: a message that has begun and waits for its next piece sends pings, and one that breaks off sends
// an error.
func TestMessagesPing(t *testing.T) {
	release := make(chan struct{})
	f := start(t, func(c *Config, fake *llmtest.Fake) {
		c.KeepAlive = 10 * time.Millisecond
		fake.Step = func(ctx context.Context, r *llm.Request, i int) error {
			if i == 3 {
				<-release
			}
			return failAt(3)(ctx, r, i)
		}
	})
	resp := f.request(t.Context(), "POST", "/v1/messages",
		`{"max_tokens":9,"temperature":0,"stream":true,"messages":[{"role":"user","content":"hello"}]}`)
	defer resp.Body.Close()
	var once sync.Once
	pings := 0
	watched := lineReader(resp.Body, func(line string) {
		if line == "event: ping" {
			if pings++; pings > 1 { // the first belongs to the beginning
				once.Do(func() { close(release) })
			}
		}
	})
	names, text, _ := messageEvents(t, watched)
	if pings < 2 || text != "hel" || names[len(names)-1] != "error" {
		t.Errorf("%q %q", names, text)
	}
}

// lineReader calls tell for each line that is read.
func lineReader(r io.Reader, tell func(line string)) io.Reader {
	pipe, w := io.Pipe()
	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			tell(lines.Text())
			io.WriteString(w, lines.Text()+"\n")
		}
		w.Close()
	}()
	return pipe
}

// TestMessagesRefused: errors have Anthropic's form, and use the client's name of the field.
func TestMessagesRefused(t *testing.T) {
	f := start(t, func(c *Config, _ *llmtest.Fake) {
		c.Callers = access.NewCallers(keysOf(t, "a key-of-a-0123456789"))
	})
	const begin = `{"max_tokens":5,"messages":[{"role":"user","content":"a"}]`
	for _, c := range []struct {
		key, body, typ, says string
		status               int
	}{
		{"", begin + `}`, "authentication_error", "API key", 401},
		{"key-of-b-0123456789", begin + `}`, "authentication_error", "not valid", 401},
		{"key-of-a-0123456789", `{"messages":[{"role":"user","content":"a"}]}`, "invalid_request_error", "max_tokens: ", 400},
		{"key-of-a-0123456789", `{"max_tokens":0,"messages":[]}`, "invalid_request_error", "max_tokens: ", 400},
		{"key-of-a-0123456789", `{"max_tokens":5,"messages":[]}`, "invalid_request_error", "messages: ", 400},
		{"key-of-a-0123456789", `{"max_tokens":5,"messages":[{"role":"judge","content":"a"}]}`, "invalid_request_error",
			"messages[0].role: ", 400},
		{"key-of-a-0123456789", `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image"}]}]}`,
			"invalid_request_error", "messages[0].content[0].type: ", 400},
		{"key-of-a-0123456789", `{"max_tokens":5,"system":[{"type":"text"}],"messages":[{"role":"user","content":"a"}]}`,
			"invalid_request_error", "system[0].text: ", 400},
		{"key-of-a-0123456789", begin + `,"max_token":5}`, "invalid_request_error", `did you mean "max_tokens"`, 400},
		{"key-of-a-0123456789", begin + `,"stop":"x"}`, "invalid_request_error", "stop_sequences", 400},
		{"key-of-a-0123456789", begin + `,"stop_sequences":[5]}`, "invalid_request_error", "stop_sequences[0]: ", 400},
		{"key-of-a-0123456789", begin + `,"mcp_servers":[{}]}`, "invalid_request_error", "mcp_servers: ", 400},
		{"key-of-a-0123456789", begin + `,"tools":[{"type":"bash_20250124","name":"bash"}]}`, "invalid_request_error",
			"tools[0].type: ", 400},
		{"key-of-a-0123456789", begin + `,"model":"claude"}`, "not_found_error", `"fake"`, 404},
		{"key-of-a-0123456789", `[]`, "invalid_request_error", "JSON object", 400},
	} {
		header := []string{"X-Api-Key", c.key, "Anthropic-Version", "2023-06-01"}
		if c.key == "" {
			header = header[2:]
		}
		resp, data := f.do("POST", "/v1/messages", c.body, header...)
		var e struct {
			Type      string
			RequestID string `json:"request_id"`
			Error     struct{ Type, Message string }
		}
		if json.Unmarshal(data, &e) != nil || resp.StatusCode != c.status || e.Type != "error" ||
			e.Error.Type != c.typ ||
			!strings.Contains(e.Error.Message, c.says) || e.RequestID != resp.Header.Get("X-Request-Id") {
			t.Errorf("%s: %s %s", c.body, resp.Status, data)
		}
	}
	resp, data := f.do("POST", "/v1/messages", begin+`}`, "X-Api-Key", "key-of-a-0123456789")
	if resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, data)
	}
}
