package upstream

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// splitter reads a stream of events as it passes. Bytes go through unchanged and at once, except when the usage chunk
// must be held back: then they go through event by event.
type splitter struct {
	hide     bool
	out      *Outcome
	clock    func() time.Duration
	each     func(*chunk) // called for each chunk; nil: nobody
	other    bool         // a route whose events have no known form
	begun    map[int]bool // choices so far, and whether each has ended
	ended    bool         // [DONE] was seen
	reported bool
	pending  []byte // of the event that is not complete yet
	pass     []byte
	last     time.Duration
}

// maxEvent bounds how much of one event is kept; a longer one passes unread.
const maxEvent = openai.DefaultMaxEvent

// take returns the bytes to pass on now. They are valid until the next call.
func (s *splitter) take(b []byte) []byte {
	s.pass = s.pass[:0]
	rest := b
	for len(rest) > 0 {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			s.pending = append(s.pending, rest...)
			break
		}
		s.pending = append(s.pending, rest[:i+1]...)
		rest = rest[i+1:]
		if blank(s.pending) {
			keep := s.event(s.pending) && s.hide
			if s.hide && !keep {
				s.pass = append(s.pass, s.pending...)
			}
			s.pending = s.pending[:0]
		}
	}
	if len(s.pending) > maxEvent { // too long to be read: pass it on
		if s.hide {
			s.pass = append(s.pass, s.pending...)
		}
		s.pending = s.pending[:0]
	}
	if s.hide {
		return s.pass
	}
	return b
}

// blank says whether an event ends here: its last line is empty.
func blank(event []byte) bool {
	return bytes.HasSuffix(event, []byte("\n\n")) || bytes.HasSuffix(event, []byte("\r\n\r\n")) ||
		len(bytes.TrimRight(event, "\r\n")) == 0
}

// chunk is the part that is read of a stream's chunk, or of a whole answer.
type chunk struct {
	Type     string        `json:"type"` // of events of /v1/responses and /v1/messages
	Choices  []chunkChoice `json:"choices"`
	Usage    *usage        `json:"usage"`
	Response struct {
		Usage *usage `json:"usage"`
	} `json:"response"` // of events of /v1/responses
	Message struct {
		Usage *usage `json:"usage"`
	} `json:"message"` // of the first event of /v1/messages
}

// chunkChoice is one choice in a chunk.
type chunkChoice struct {
	Index        int             `json:"index"`
	Delta        said            `json:"delta"`
	Message      *said           `json:"message"` // in a whole answer
	Text         *string         `json:"text"`
	Logprobs     json.RawMessage `json:"logprobs"`
	FinishReason *string         `json:"finish_reason"`
	StopReason   json.RawMessage `json:"stop_reason"` // vLLM's: the stop string
}

// said is a message or a piece of one.
type said struct {
	Content   string          `json:"content"`
	Thought   json.RawMessage `json:"reasoning_content"` // vLLM's older name
	Reasoning json.RawMessage `json:"reasoning"`
	Tools     json.RawMessage `json:"tool_calls"`
}

// usage has the names of completions, and those of /v1/responses and /v1/messages.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	InputTokens      int `json:"input_tokens"`
	OutputTokens     int `json:"output_tokens"`
	Details          *struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// generated says whether a chunk contains something that a model generated: text, thoughts, or a piece of a tool call.
func (c *chunk) generated() bool {
	for _, ch := range c.Choices {
		if d := &ch.Delta; d.Content != "" || ch.Text != nil && *ch.Text != "" || holds(d.Thought) ||
			holds(d.Reasoning) || holds(d.Tools) {
			return true
		}
	}
	switch c.Type {
	case "response.output_text.delta", "response.function_call_arguments.delta", "content_block_delta":
		return true
	}
	return false
}

// holds says whether a field is present and not empty.
func holds(v json.RawMessage) bool {
	return len(v) > 0 && !slices.Contains([]string{"null", `""`, "[]"}, string(v))
}

// event reads one event and says whether it is the usage chunk.
func (s *splitter) event(raw []byte) (usage bool) {
	for line := range bytes.Lines(raw) {
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		data = bytes.TrimSpace(data)
		if string(data) == openai.Done {
			s.ended = true
			return false
		}
		var c chunk
		if json.Unmarshal(data, &c) != nil {
			return false
		}
		s.out.note(&c)
		s.choices(&c)
		if s.each != nil {
			s.each(&c)
		}
		if c.generated() {
			s.content()
		}
		usage = len(c.Choices) == 0 && c.Usage != nil
	}
	return usage
}

// choices records which choices there are, and which have ended.
func (s *splitter) choices(c *chunk) {
	const most = 1024 // bounds the memory that an upstream can make us use
	for _, ch := range c.Choices {
		if s.begun == nil {
			s.begun = map[int]bool{}
		}
		if len(s.begun) < most {
			s.begun[ch.Index] = s.begun[ch.Index] || ch.FinishReason != nil
		}
	}
}

// whole says whether every choice has ended.
func (s *splitter) whole() bool {
	for _, ended := range s.begun {
		if !ended {
			return false
		}
	}
	return len(s.begun) > 0 && len(bytes.TrimSpace(s.pending)) == 0
}

// content records the time of a chunk with generated content.
func (s *splitter) content() {
	now := s.clock()
	if s.out.First == 0 {
		s.out.First = now
	} else {
		s.out.Gaps = append(s.out.Gaps, now-s.last)
	}
	s.last = now
}

// note keeps the finish reason of the first choice, and the usage.
func (o *Outcome) note(c *chunk) {
	for _, ch := range c.Choices {
		if ch.Index == 0 && ch.FinishReason != nil {
			o.Finish = llm.Finish(*ch.FinishReason)
		}
	}
	if c.Type == "response.incomplete" {
		o.Finish = llm.FinishLength
	}
	u := cmp.Or(c.Usage, c.Response.Usage, c.Message.Usage)
	if u == nil {
		return
	}
	prompt, completion := max(u.PromptTokens, u.InputTokens), max(u.CompletionTokens, u.OutputTokens)
	if credible(prompt) && credible(completion) && credible(u.PromptTokens) && credible(u.CompletionTokens) {
		if o.Usage != nil { // events of /v1/messages report the prompt's tokens first, and the answer's at the end
			prompt = max(prompt, o.Usage.PromptTokens)
		}
		o.Usage = &llm.Usage{PromptTokens: prompt, CompletionTokens: completion}
		if u.Details != nil && credible(u.Details.Cached) {
			o.Usage.CachedTokens = u.Details.Cached
		}
	}
}

// maxTokens is more than any context has. Each token is observed separately, so this bounds the time that an
// upstream's claim can cost.
const maxTokens = 1 << 20

func credible(tokens int) bool { return tokens >= 0 && tokens <= maxTokens }

// jsonSpace is what JSON counts as white space; Unicode has more.
const jsonSpace = " \t\r\n"

// readWhole reads an answer that was not streamed. It returns nil if that is not a JSON object. If any field has an
// unexpected type, the outcome records nothing of the answer.
func readWhole(data []byte, out *Outcome) *chunk {
	if data = bytes.Trim(data, jsonSpace); len(data) == 0 || data[0] != '{' {
		return nil
	}
	c := &chunk{}
	var other *json.UnmarshalTypeError
	err := json.Unmarshal(data, c)
	switch {
	case err == nil:
		out.note(c)
	case !errors.As(err, &other):
		return nil
	}
	return c
}

func isObject(data []byte) bool {
	data = bytes.Trim(data, jsonSpace)
	return len(data) > 0 && data[0] == '{' && json.Valid(data)
}
