package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendChatChunk appends a chunk's JSON: the bytes that encoding/json writes without HTML escapes, and without an
// allocation if dst has room. A chunk is sent for each token, so this is the service's most used encoder.
func AppendChatChunk(dst []byte, c *ChatChunk) []byte {
	dst = appendHead(dst, c.ID, c.Object, c.Created, c.Model)
	for i := range c.Choices {
		choice := &c.Choices[i]
		dst = comma(dst, i)
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(choice.Index), 10)
		dst = append(dst, `,"delta":`...)
		dst = appendDelta(dst, &choice.Delta)
		if choice.Logprobs != nil {
			dst = append(dst, `,"logprobs":`...)
			dst = appendChatLogprobs(dst, choice.Logprobs)
		}
		dst = appendFinish(dst, choice.FinishReason, choice.StopReason)
		dst = append(dst, '}')
	}
	return appendTail(dst, c.Usage)
}

func appendDelta(dst []byte, d *Delta) []byte {
	dst = append(dst, '{')
	open := len(dst)
	field := func(name string) {
		if len(dst) > open {
			dst = append(dst, ',')
		}
		dst = append(dst, name...)
	}
	if d.Role != "" {
		field(`"role":`)
		dst = AppendString(dst, d.Role)
	}
	if d.Content != nil {
		field(`"content":`)
		dst = AppendString(dst, *d.Content)
	}
	for i := range d.ToolCalls {
		if i == 0 {
			field(`"tool_calls":[`)
		} else {
			dst = append(dst, ',')
		}
		dst = appendToolCall(dst, &d.ToolCalls[i])
	}
	if len(d.ToolCalls) > 0 {
		dst = append(dst, ']')
	}
	if d.FunctionCall != nil {
		field(`"function_call":`)
		dst = appendFunctionCall(dst, d.FunctionCall)
	}
	return append(dst, '}')
}

func appendToolCall(dst []byte, c *ToolCall) []byte {
	dst = append(dst, '{')
	if c.Index != nil {
		dst = appendCount(dst, `"index":`, *c.Index)
		dst = append(dst, ',')
	}
	if c.ID != "" {
		dst = append(dst, `"id":`...)
		dst = append(AppendString(dst, c.ID), ',')
	}
	if c.Type != "" {
		dst = append(dst, `"type":`...)
		dst = append(AppendString(dst, c.Type), ',')
	}
	dst = append(dst, `"function":`...)
	return append(appendFunctionCall(dst, &c.Function), '}')
}

func appendFunctionCall(dst []byte, c *FunctionCall) []byte {
	dst = append(dst, '{')
	if c.Name != "" {
		dst = append(dst, `"name":`...)
		dst = append(AppendString(dst, c.Name), ',')
	}
	dst = append(dst, `"arguments":`...)
	return append(AppendString(dst, c.Arguments), '}')
}

// AppendTextChunk does the same for a text completion's chunk. Its log-probabilities, which few clients ask for, go
// through encoding/json.
func AppendTextChunk(dst []byte, c *TextResponse) []byte {
	dst = appendHead(dst, c.ID, c.Object, c.Created, c.Model)
	for i := range c.Choices {
		choice := &c.Choices[i]
		dst = comma(dst, i)
		dst = append(dst, `{"index":`...)
		dst = strconv.AppendInt(dst, int64(choice.Index), 10)
		dst = append(dst, `,"text":`...)
		dst = AppendString(dst, choice.Text)
		dst = append(dst, `,"logprobs":`...)
		dst = appendTextLogprobs(dst, choice.Logprobs)
		dst = appendFinish(dst, choice.FinishReason, choice.StopReason)
		dst = append(dst, '}')
	}
	return appendTail(dst, c.Usage)
}

func appendHead(dst []byte, id, object string, created int64, model string) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, id)
	dst = append(dst, `,"object":`...)
	dst = AppendString(dst, object)
	dst = append(dst, `,"created":`...)
	dst = strconv.AppendInt(dst, created, 10)
	dst = append(dst, `,"model":`...)
	dst = AppendString(dst, model)
	return append(dst, `,"choices":[`...)
}

func appendTail(dst []byte, u *Usage) []byte {
	dst = append(dst, ']')
	if u != nil {
		dst = appendCount(dst, `,"usage":{"prompt_tokens":`, u.PromptTokens)
		dst = appendCount(dst, `,"completion_tokens":`, u.CompletionTokens)
		dst = appendCount(dst, `,"total_tokens":`, u.TotalTokens)
		if u.PromptTokensDetails != nil {
			dst = appendCount(dst, `,"prompt_tokens_details":{"cached_tokens":`, u.PromptTokensDetails.CachedTokens)
			dst = append(dst, '}')
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func appendCount(dst []byte, field string, n int) []byte {
	return strconv.AppendInt(append(dst, field...), int64(n), 10)
}

func appendFinish(dst []byte, reason *string, stop string) []byte {
	dst = append(dst, `,"finish_reason":`...)
	if reason == nil {
		return append(dst, "null"...)
	}
	dst = AppendString(dst, *reason)
	if stop == "" {
		return dst
	}
	return AppendString(append(dst, `,"stop_reason":`...), stop)
}

func appendChatLogprobs(dst []byte, l *ChatLogprobs) []byte {
	dst = append(dst, `{"content":[`...)
	for i := range l.Content {
		t := &l.Content[i]
		dst = comma(dst, i)
		dst = appendTopLogprob(dst, &t.TopLogprob)
		dst = append(dst, `,"top_logprobs":[`...)
		for j := range t.TopLogprobs {
			dst = comma(dst, j)
			dst = appendTopLogprob(dst, &t.TopLogprobs[j])
			dst = append(dst, '}')
		}
		dst = append(dst, ']', '}')
	}
	return append(dst, ']', '}')
}

// appendTopLogprob leaves the object open: a generated token has one more field.
func appendTopLogprob(dst []byte, t *TopLogprob) []byte {
	dst = append(dst, `{"token":`...)
	dst = AppendString(dst, t.Token)
	dst = append(dst, `,"logprob":`...)
	dst = appendFloat(dst, t.Logprob)
	dst = append(dst, `,"bytes":`...)
	return t.Bytes.append(dst)
}

// appendTextLogprobs takes a copy: otherwise every chunk would be moved to the heap, since encoding/json uses it.
func appendTextLogprobs(dst []byte, l *TextLogprobs) []byte {
	if l == nil {
		return append(dst, "null"...)
	}
	copied := *l
	data, err := json.Marshal(&copied)
	if err != nil {
		panic("openai: " + err.Error()) // a log-probability that is not finite: the caller replaces these
	}
	return append(dst, data...)
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

// MarshalJSON writes an array of numbers.
func (b Bytes) MarshalJSON() ([]byte, error) { return b.append(nil), nil }

func (b Bytes) append(dst []byte) []byte {
	if b == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, c := range b {
		dst = comma(dst, i)
		dst = strconv.AppendInt(dst, int64(c), 10)
	}
	return append(dst, ']')
}

// UnmarshalJSON reads an array of numbers from 0 to 255, or null.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var numbers []uint16
	if err := json.Unmarshal(data, &numbers); err != nil {
		return fmt.Errorf("bytes: %w", err)
	}
	*b = nil
	if numbers != nil {
		*b = make(Bytes, len(numbers))
	}
	for i, n := range numbers {
		if n > math.MaxUint8 {
			return fmt.Errorf("bytes: %d is not a byte", n)
		}
		(*b)[i] = byte(n)
	}
	return nil
}

// appendFloat writes a finite number as encoding/json does; any other becomes MinLogprob.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.AppendInt(dst, MinLogprob, 10)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 to e-9
		dst = dst[:n-1]
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(dst, s[start:i]...)
				dst = append(dst, `\ufffd`...)
				start = i + 1
			case r == '\u2028' || r == '\u2029': // line ends in JavaScript
				dst = append(dst, s[start:i]...)
				dst = append(dst, `\u202`...)
				dst = append(dst, hexDigits[r&15])
				start = i + size
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		i++
		start = i
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// Marshal returns v's JSON, without HTML escapes. It is for our own types: it panics if v cannot be encoded.
func Marshal(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("openai: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
