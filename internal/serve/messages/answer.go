package messages

import (
	"encoding/json"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Answer builds a message. Text and Call add to it, and End ends it. They return the events of a stream; for an answer
// that is not streamed these are ignored. It is for one goroutine.
type Answer struct {
	id, model string
	blocks    []*block
	reason    *string // why it ended
	stop      *string // the text that ended it
	usage     usage
}

// block is one block of the content: a text, or a call of a tool.
type block struct {
	text     strings.Builder // the text, or the input of a call as JSON
	id, name string          // of a call
	ended    bool
}

// usage has the names of this API. Input counts the tokens that were not in the prefix cache.
type usage struct {
	Input   int `json:"input_tokens"`
	Created int `json:"cache_creation_input_tokens"`
	Cached  int `json:"cache_read_input_tokens"`
	Output  int `json:"output_tokens"`
}

// message is a message in the API's form.
type message struct {
	ID      string  `json:"id"`
	Type    string  `json:"type"`
	Role    string  `json:"role"`
	Model   string  `json:"model"`
	Content []any   `json:"content"`
	Reason  *string `json:"stop_reason"`
	Stop    *string `json:"stop_sequence"`
	Usage   usage   `json:"usage"`
}

type textBlock struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type callBlock struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

// NewAnswer begins an answer. prompt is the number of tokens of its prompt, or 0 if it is not known yet.
func NewAnswer(id, model string, prompt int) *Answer {
	return &Answer{id: id, model: model, usage: usage{Input: prompt}}
}

// Object returns the message as it is now.
func (a *Answer) Object() json.RawMessage {
	m := message{a.id, "message", llm.RoleAssistant, a.model, []any{}, a.reason, a.stop, a.usage}
	for _, b := range a.blocks {
		m.Content = append(m.Content, b.wire())
	}
	return openai.Marshal(m)
}

func (b *block) wire() any {
	if b.name == "" {
		return textBlock{"text", b.text.String()}
	}
	input := json.RawMessage(b.text.String())
	if !json.Valid(input) { // cut off by max_tokens: not valid JSON
		input = json.RawMessage("{}")
	}
	return callBlock{"tool_use", b.id, b.name, input}
}

// event appends an event.
func event(dst []byte, name string, fields any) []byte {
	dst = append(dst, "event: "+name+"\ndata: "...)
	return append(append(dst, openai.Marshal(fields)...), "\n\n"...)
}

// Begin appends the first events of a stream.
func (a *Answer) Begin(dst []byte) []byte {
	dst = event(dst, "message_start", struct {
		Type    string          `json:"type"`
		Message json.RawMessage `json:"message"`
	}{"message_start", a.Object()})
	return Ping(dst)
}

// Ping appends an event without content.
func Ping(dst []byte) []byte {
	return append(dst, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
}

// added appends the event that begins a block.
func (a *Answer) added(dst []byte, b *block) []byte {
	dst = a.done(dst)
	a.blocks = append(a.blocks, b)
	return event(dst, "content_block_start", struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
		Block any    `json:"content_block"`
	}{"content_block_start", len(a.blocks) - 1, b.wire()})
}

// done appends the event that ends the last block, if there is one.
func (a *Answer) done(dst []byte) []byte {
	n := len(a.blocks)
	if n == 0 || a.blocks[n-1].ended {
		return dst
	}
	a.blocks[n-1].ended = true
	return event(dst, "content_block_stop", struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	}{"content_block_stop", n - 1})
}

// delta appends the event of a piece of the last block.
func (a *Answer) delta(dst []byte, kind, field, piece string) []byte {
	a.blocks[len(a.blocks)-1].text.WriteString(piece)
	return event(dst, "content_block_delta", struct {
		Type  string            `json:"type"`
		Index int               `json:"index"`
		Delta map[string]string `json:"delta"`
	}{"content_block_delta", len(a.blocks) - 1, map[string]string{"type": kind, field: piece}})
}

// Text adds a piece of text to the answer.
func (a *Answer) Text(dst []byte, piece string) []byte {
	if n := len(a.blocks); n == 0 || a.blocks[n-1].name != "" {
		dst = a.added(dst, &block{})
	}
	if piece == "" {
		return dst
	}
	return a.delta(dst, "text_delta", "text", piece)
}

// Call adds a piece of a tool call. A name begins the next call.
func (a *Answer) Call(dst []byte, id, name, arguments string) []byte {
	if name != "" {
		dst = a.added(dst, &block{id: id, name: name})
	}
	if arguments == "" {
		return dst
	}
	return a.delta(dst, "input_json_delta", "partial_json", arguments)
}

// End ends the answer. stop is the stop string that ended it; empty if none did.
func (a *Answer) End(dst []byte, finish llm.Finish, stop string, u *openai.Usage) []byte {
	if len(a.blocks) == 0 {
		dst = a.added(dst, &block{}) // an answer without content is one empty text
	}
	dst = a.done(dst)
	reason := "end_turn"
	switch {
	case finish == llm.FinishLength:
		reason = "max_tokens"
	case stop != "":
		reason, a.stop = "stop_sequence", &stop
	case a.blocks[len(a.blocks)-1].name != "":
		reason = "tool_use"
	}
	a.reason = &reason
	if u != nil {
		a.usage = usage{Input: u.PromptTokens, Output: u.CompletionTokens}
		if d := u.PromptTokensDetails; d != nil {
			a.usage.Cached = d.CachedTokens
			a.usage.Input -= d.CachedTokens
		}
	}
	type end struct {
		Reason *string `json:"stop_reason"`
		Stop   *string `json:"stop_sequence"`
	}
	dst = event(dst, "message_delta", struct {
		Type  string `json:"type"`
		Delta end    `json:"delta"`
		Usage usage  `json:"usage"`
	}{"message_delta", end{a.reason, a.stop}, a.usage})
	return append(dst, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}
