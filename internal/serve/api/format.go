package api

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// format is how a kind of completion looks on the wire.
type format interface {
	// prompt is the request's field with what is asked.
	prompt() string
	// whole is the answer that is not streamed.
	whole(j *job, choices []choice) any
	// open appends the events with which a choice's stream begins, if any.
	open(dst []byte, j *job, index int, c *choice) []byte
	// piece appends the event for some text and tokens.
	piece(dst []byte, j *job, index int, c *choice, text string, tokens []llm.Token) []byte
	// calls appends the event for pieces of calls, which come after all text.
	calls(dst []byte, j *job, index int, pieces []llm.CallPiece, tokens []llm.Token) []byte
	// close appends the event with a choice's finish_reason.
	close(dst []byte, j *job, index int, c *choice) []byte
	// end appends what follows the last choice, with the job's usage if the client asked for it.
	end(dst []byte, j *job, choices []choice) []byte
	// fail appends the error event that ends a stream early.
	fail(dst []byte, e *httpError) []byte
	// waiting appends an event or comment without content. begun says that a choice has begun.
	waiting(dst []byte, begun bool) []byte
}

// openaiFormat has what OpenAI's completions have in common.
type openaiFormat struct{}

func (openaiFormat) fail(dst []byte, e *httpError) []byte { return openai.AppendEvent(dst, e.body()) }

func (openaiFormat) waiting(dst []byte, _ bool) []byte { return append(dst, ": waiting\n\n"...) }

// chatFormat is the format of /v1/chat/completions.
type chatFormat struct{ openaiFormat }

func (chatFormat) prompt() string { return "messages" }

func (chatFormat) whole(j *job, choices []choice) any {
	r := openai.ChatResponse{ID: j.id, Object: openai.ObjectChat, Created: j.created, Model: j.model.ID,
		Usage: j.sum(choices)}
	for i := range choices {
		c := &choices[i]
		out := openai.ChatChoice{Index: i, Message: chatAnswer(j, c), FinishReason: j.reason(c.finish),
			StopReason: c.stop}
		if j.requests[i].Logprobs && (len(c.tokens) > 0 || len(c.calls) == 0) {
			out.Logprobs = chatLogprobs(c.tokens)
		}
		r.Choices = append(r.Choices, out)
	}
	if j.promptTop >= 0 {
		r.PromptLogprobs = promptProbs(choices[0].prompt, j.promptTop)
	}
	return r
}

// chatAnswer is a choice's message.
func chatAnswer(j *job, c *choice) openai.Answer {
	text := c.text.String()
	out := openai.Answer{Role: llm.RoleAssistant, Content: &text}
	if len(c.calls) == 0 {
		return out
	}
	if text == "" {
		out.Content = nil
	}
	for _, call := range c.calls {
		f := openai.FunctionCall{Name: call.Name, Arguments: call.Arguments}
		if j.older {
			out.FunctionCall = &f
			break
		}
		out.ToolCalls = append(out.ToolCalls, openai.ToolCall{ID: call.ID, Type: openai.TypeFunction, Function: f})
	}
	return out
}

// chatChunk is an event with one choice, or with none.
func chatChunk(dst []byte, j *job, choices ...openai.ChatChunkChoice) []byte {
	return appendChat(dst, &openai.ChatChunk{ID: j.id, Object: openai.ObjectChatChunk, Created: j.created,
		Model: j.model.ID, Choices: choices})
}

func appendChat(dst []byte, c *openai.ChatChunk) []byte {
	dst = append(dst, "data: "...)
	return append(openai.AppendChatChunk(dst, c), '\n', '\n')
}

func (chatFormat) open(dst []byte, j *job, index int, _ *choice) []byte {
	delta := openai.Delta{Role: llm.RoleAssistant, Content: new(string)}
	if j.callsFirst { // no text will follow
		delta.Content = nil
	}
	return chatChunk(dst, j, openai.ChatChunkChoice{Index: index, Delta: delta})
}

func (chatFormat) piece(dst []byte, j *job, index int, _ *choice, text string, tokens []llm.Token) []byte {
	c := openai.ChatChunkChoice{Index: index, Delta: openai.Delta{Content: &text}}
	if len(tokens) > 0 {
		c.Logprobs = chatLogprobs(tokens)
	}
	return chatChunk(dst, j, c)
}

func (chatFormat) calls(dst []byte, j *job, index int, pieces []llm.CallPiece, tokens []llm.Token) []byte {
	c := openai.ChatChunkChoice{Index: index}
	for i := range pieces {
		p := &pieces[i]
		f := openai.FunctionCall{Name: p.Name, Arguments: p.Arguments}
		if j.older { // there is one call at most
			if old := c.Delta.FunctionCall; old != nil {
				f = openai.FunctionCall{Name: old.Name + f.Name, Arguments: old.Arguments + f.Arguments}
			}
			c.Delta.FunctionCall = &f
			continue
		}
		call := openai.ToolCall{Index: &p.Index, ID: p.ID, Function: f}
		if p.ID != "" {
			call.Type = openai.TypeFunction
		}
		c.Delta.ToolCalls = append(c.Delta.ToolCalls, call)
	}
	if len(tokens) > 0 {
		c.Logprobs = chatLogprobs(tokens)
	}
	return chatChunk(dst, j, c)
}

func (chatFormat) close(dst []byte, j *job, index int, c *choice) []byte {
	reason := j.reason(c.finish)
	chunk := openai.ChatChunk{ID: j.id, Object: openai.ObjectChatChunk, Created: j.created, Model: j.model.ID,
		Choices: []openai.ChatChunkChoice{{Index: index, FinishReason: &reason, StopReason: c.stop}}}
	if j.mistral && !j.usage && len(j.requests) == 1 {
		chunk.Usage = j.sum([]choice{{usage: c.usage}})
	}
	return appendChat(dst, &chunk)
}

func (chatFormat) end(dst []byte, j *job, choices []choice) []byte {
	if j.usage {
		dst = appendChat(dst, &openai.ChatChunk{ID: j.id, Object: openai.ObjectChatChunk, Created: j.created,
			Model: j.model.ID, Usage: j.sum(choices)})
	}
	return openai.AppendEvent(dst, []byte(openai.Done))
}

func chatLogprobs(tokens []llm.Token) *openai.ChatLogprobs {
	l := &openai.ChatLogprobs{Content: make([]openai.TokenLogprob, len(tokens))}
	for i, t := range tokens {
		top := alternatives(t)
		if len(t.Top) == 0 { // the client asked for none
			top = nil
		}
		l.Content[i] = openai.TokenLogprob{TopLogprob: topLogprob(t.TokenProb),
			TopLogprobs: make([]openai.TopLogprob, len(top))}
		for k, alternative := range top {
			l.Content[i].TopLogprobs[k] = topLogprob(alternative)
		}
	}
	return l
}

// alternatives returns the likeliest tokens at a position. If the token that was drawn is not one of them, it follows
// them.
func alternatives(t llm.Token) []llm.TokenProb {
	if slices.ContainsFunc(t.Top, func(p llm.TokenProb) bool { return p.ID == t.ID }) {
		return t.Top
	}
	return append(slices.Clip(t.Top), t.TokenProb)
}

func topLogprob(p llm.TokenProb) openai.TopLogprob {
	b := p.Bytes
	if b == nil {
		b = []byte{}
	}
	return openai.TopLogprob{Token: tokenText(p), Logprob: max(p.Logprob, openai.MinLogprob), Bytes: b}
}

// tokenText shows a token; parts of a character become U+FFFD.
func tokenText(p llm.TokenProb) string { return strings.ToValidUTF8(string(p.Bytes), "\ufffd") }

// textFormat is the format of /v1/completions.
type textFormat struct{ openaiFormat }

func (textFormat) prompt() string { return "prompt" }

func (textFormat) whole(j *job, choices []choice) any {
	r := openai.TextResponse{ID: j.id, Object: openai.ObjectText, Created: j.created, Model: j.model.ID,
		Usage: j.sum(choices)}
	for i := range choices {
		c := &choices[i]
		reason := string(c.finish)
		out := openai.TextChoice{Index: i, Text: c.text.String(), FinishReason: &reason, StopReason: c.stop}
		if j.requests[i].Logprobs {
			var prompt []llm.Token
			if j.echo {
				prompt = c.prompt
			}
			out.Logprobs = textLogprobs(c, prompt, true)
			out.Logprobs.Append(textLogprobs(c, c.tokens, false))
		}
		if j.echo {
			out.Text = j.prompts[i/j.perText] + out.Text
		}
		if j.promptTop >= 0 {
			out.PromptLogprobs = promptProbs(c.prompt, j.promptTop)
		}
		r.Choices = append(r.Choices, out)
	}
	return r
}

func textChunk(dst []byte, j *job, u *openai.Usage, choices ...openai.TextChoice) []byte {
	dst = append(dst, "data: "...)
	dst = openai.AppendTextChunk(dst, &openai.TextResponse{ID: j.id, Object: openai.ObjectText, Created: j.created,
		Model: j.model.ID, Choices: choices, Usage: u})
	return append(dst, '\n', '\n')
}

// open appends the prompt if it is to be echoed.
func (textFormat) open(dst []byte, j *job, index int, c *choice) []byte {
	if !j.echo {
		return dst
	}
	out := openai.TextChoice{Index: index, Text: j.prompts[index/j.perText]}
	if j.requests[index].Logprobs {
		out.Logprobs = textLogprobs(c, c.prompt, true)
	}
	return textChunk(dst, j, nil, out)
}

func (textFormat) calls(dst []byte, _ *job, _ int, _ []llm.CallPiece, _ []llm.Token) []byte {
	return dst
}

func (textFormat) piece(dst []byte, j *job, index int, c *choice, text string, tokens []llm.Token) []byte {
	out := openai.TextChoice{Index: index, Text: text}
	if len(tokens) > 0 {
		out.Logprobs = textLogprobs(c, tokens, false)
	}
	return textChunk(dst, j, nil, out)
}

func (textFormat) close(dst []byte, j *job, index int, c *choice) []byte {
	reason := string(c.finish)
	return textChunk(dst, j, nil, openai.TextChoice{Index: index, FinishReason: &reason, StopReason: c.stop})
}

func (textFormat) end(dst []byte, j *job, choices []choice) []byte {
	if j.usage {
		dst = textChunk(dst, j, j.sum(choices))
	}
	return openai.AppendEvent(dst, []byte(openai.Done))
}

// textLogprobs returns parallel lists. Offsets count characters from the beginning of the answer, as in vLLM; a
// character that spans several tokens begins at the first. The first token of a prompt has no probability.
func textLogprobs(c *choice, tokens []llm.Token, prompt bool) *openai.TextLogprobs {
	l := &openai.TextLogprobs{Tokens: []string{}, TokenLogprobs: []*float64{}, TopLogprobs: []map[string]float64{},
		TextOffset: []int{}}
	for i, t := range tokens {
		l.Tokens = append(l.Tokens, tokenText(t.TokenProb))
		l.TextOffset = append(l.TextOffset, c.offset)
		for _, b := range t.Bytes {
			if utf8.RuneStart(b) {
				c.offset++
			}
		}
		if prompt && i == 0 {
			l.TokenLogprobs, l.TopLogprobs = append(l.TokenLogprobs, nil), append(l.TopLogprobs, nil)
			continue
		}
		logprob := max(t.Logprob, openai.MinLogprob)
		l.TokenLogprobs = append(l.TokenLogprobs, &logprob)
		top := make(map[string]float64, len(t.Top)+1)
		for _, alternative := range alternatives(t) {
			text := tokenText(alternative)
			if _, dup := top[text]; !dup { // several parts of characters look alike: the likeliest one is kept
				top[text] = max(alternative.Logprob, openai.MinLogprob)
			}
		}
		l.TopLogprobs = append(l.TopLogprobs, top)
	}
	return l
}
