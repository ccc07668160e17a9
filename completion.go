package mixtral

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Roles of a Message.
const (
	RoleSystem    = llm.RoleSystem
	RoleUser      = llm.RoleUser
	RoleAssistant = llm.RoleAssistant
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Request asks for one completion. Exactly one of Prompt, Messages and RawPrompt is set.
type Request struct {
	Prompt    string    // a question: one message of the user, in the model's chat format
	Messages  []Message // a conversation
	RawPrompt string    // text to continue, without a chat format

	Model       string   // empty means the service's
	MaxTokens   int      // 1 to max_tokens; 0 means max_tokens
	Temperature *float64 // 0 to 2; nil means the configured one; 0 always takes the likeliest token
	TopP        float64  // above 0 to 1; 0 means off
	TopK        int      // 0 means off
	MinP        float64  // 0 to below 1; 0 means off

	PresencePenalty   float64 // −2 to 2
	FrequencyPenalty  float64 // −2 to 2
	RepetitionPenalty float64 // above 0 to 10; 0 means off

	Seed *int64   // the same request with the same seed has the same answer; nil draws one
	Stop []string // the text ends before the first of these to be complete; each is valid UTF-8
}

// Completion is an answer. Its JSON is that of POST /v1/chat/completions.
type Completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"` // Unix seconds
	Model   string   `json:"model"`
	Choices []Choice `json:"choices"` // one
	Usage   Usage    `json:"usage"`
}

// Choice is what was generated.
type Choice struct {
	Index        int     `json:"index"`
	Message      Message `json:"message"`
	FinishReason string  `json:"finish_reason"` // "stop", or "length" where max_tokens or the context ended it
}

// Usage counts tokens.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// Text is the generated text.
func (c *Completion) Text() string {
	if len(c.Choices) == 0 {
		return ""
	}
	return c.Choices[0].Message.Content
}

// GenerateCompletion answers a request. When ctx ends, the generation stops within one step of the model.
func (s *Service) GenerateCompletion(ctx context.Context, r Request) (*Completion, error) {
	return s.StreamCompletion(ctx, r, func(string) error { return nil })
}

// StreamCompletion answers a request and calls sink with each piece of text as it comes, in order; a piece never
// splits a character. It returns the whole answer after the last call. An error of sink ends the generation and is
// returned.
func (s *Service) StreamCompletion(ctx context.Context, r Request, sink func(text string) error) (*Completion, error) {
	internal, err := s.request(r)
	if err != nil {
		return nil, err
	}
	c := &Completion{ID: internal.ID, Object: "chat.completion", Created: time.Now().Unix(), Model: s.Model().ID}
	var text strings.Builder
	choice := Choice{Message: Message{Role: RoleAssistant}}
	err = s.inner.Generate(ctx, internal, func(e llm.Event) error {
		text.WriteString(e.Text)
		if e.Usage != nil {
			choice.FinishReason = string(e.Finish)
			c.Usage = Usage{e.Usage.PromptTokens, e.Usage.CompletionTokens, e.Usage.PromptTokens +
				e.Usage.CompletionTokens}
		}
		if e.Text == "" {
			return nil
		}
		return sink(e.Text)
	})
	if err != nil {
		return nil, err
	}
	choice.Message.Content = text.String()
	c.Choices = []Choice{choice}
	return c, nil
}

// request checks a request and fills in what it leaves open.
func (s *Service) request(r Request) (*llm.Request, error) {
	out := &llm.Request{ID: newID(), Model: r.Model, Prompt: r.RawPrompt, MaxTokens: r.MaxTokens, Stop: r.Stop}
	given := 0
	if r.Prompt != "" {
		given++
		out.Messages = []llm.Message{{Role: RoleUser, Content: r.Prompt}}
	}
	if len(r.Messages) > 0 {
		given++
		for _, m := range r.Messages {
			out.Messages = append(out.Messages, llm.Message{Role: m.Role, Content: m.Content})
		}
	}
	if r.RawPrompt != "" {
		given++
	}
	if given != 1 {
		return nil, llm.BadField("prompt", "exactly one of prompt, messages and raw prompt must be given, got %d",
			given)
	}
	if out.MaxTokens == 0 {
		out.MaxTokens = s.config.MaxTokens
	}
	out.Sampling = llm.Sampling{
		Temperature: s.config.Temperature, TopP: r.TopP, TopK: r.TopK, MinP: r.MinP,
		RepetitionPenalty: r.RepetitionPenalty,
		PresencePenalty:   r.PresencePenalty, FrequencyPenalty: r.FrequencyPenalty, Seed: r.Seed,
	}
	if r.Temperature != nil {
		out.Sampling.Temperature = *r.Temperature
	}
	return out, s.check(out)
}

// check holds a request to the ranges that the API documents.
func (s *Service) check(r *llm.Request) error {
	if r.MaxTokens < 1 || r.MaxTokens > s.config.MaxTokens {
		return llm.BadField("max_tokens", "must be between 1 and %d, got %d", s.config.MaxTokens, r.MaxTokens)
	}
	if err := r.Sampling.Check(); err != nil {
		return err
	}
	return llm.CheckStop(r.Stop)
}

func newID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return "chatcmpl-" + hex.EncodeToString(b[:])
}
