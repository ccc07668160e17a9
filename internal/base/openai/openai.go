package openai

// Values of the field "object".
const (
	ObjectChat      = "chat.completion"
	ObjectChatChunk = "chat.completion.chunk"
	ObjectText      = "text_completion" // of a whole answer and of its chunks
	ObjectList      = "list"
	ObjectModel     = "model"
)

// Sampling holds the fields that both kinds of request share. A nil or zero field is left out and means the server's
// default. TopK, MinP, RepetitionPenalty and IgnoreEOS are vLLM's extensions.
type Sampling struct {
	Model             string             `json:"model,omitempty"`
	MaxTokens         int                `json:"max_tokens,omitempty"`
	Temperature       *float64           `json:"temperature,omitempty"`
	TopP              *float64           `json:"top_p,omitempty"`
	TopK              *int               `json:"top_k,omitempty"`
	MinP              *float64           `json:"min_p,omitempty"`
	PresencePenalty   *float64           `json:"presence_penalty,omitempty"`
	FrequencyPenalty  *float64           `json:"frequency_penalty,omitempty"`
	RepetitionPenalty *float64           `json:"repetition_penalty,omitempty"`
	LogitBias         map[string]float64 `json:"logit_bias,omitempty"` // by decimal token id
	Seed              *int64             `json:"seed,omitempty"`
	Stop              []string           `json:"stop,omitempty"`
	N                 int                `json:"n,omitempty"`
	IgnoreEOS         bool               `json:"ignore_eos,omitempty"`
	User              string             `json:"user,omitempty"`
	Stream            bool               `json:"stream,omitempty"`
	StreamOptions     *StreamOptions     `json:"stream_options,omitempty"`
}

// StreamOptions asks for a last chunk with Usage and no choices.
type StreamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// ChatRequest is the body of POST /v1/chat/completions.
type ChatRequest struct {
	Messages []Message `json:"messages"`
	Sampling
	Logprobs    bool `json:"logprobs,omitempty"`
	TopLogprobs int  `json:"top_logprobs,omitempty"`
}

// Message is one turn of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Answer is the message that a model answers with. Content is null if there are only calls. FunctionCall is the older
// form of ToolCalls, for requests with functions.
type Answer struct {
	Role         string        `json:"role"`
	Content      *string       `json:"content"`
	ToolCalls    []ToolCall    `json:"tool_calls,omitempty"`
	FunctionCall *FunctionCall `json:"function_call,omitempty"`
}

// Text returns the content, or an empty text if it is null.
func (a *Answer) Text() string {
	if a.Content == nil {
		return ""
	}
	return *a.Content
}

// ToolCall is a call of a tool. In a stream, only the first piece of a call has an ID, a Type and a Name, and Index
// says which call a piece belongs to.
type ToolCall struct {
	Index    *int         `json:"index,omitempty"`
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type,omitempty"`
	Function FunctionCall `json:"function"`
}

// TypeFunction is the Type of a ToolCall.
const TypeFunction = "function"

// FunctionCall names a function. Arguments is a JSON object in a string, or a piece of it.
type FunctionCall struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// ChatResponse answers a ChatRequest without streaming.
type ChatResponse struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"` // Unix seconds
	Model   string       `json:"model"`
	Choices []ChatChoice `json:"choices"`
	Usage   *Usage       `json:"usage,omitempty"`

	PromptLogprobs []map[string]PromptLogprob `json:"prompt_logprobs,omitempty"` // vLLM's
}

// PromptLogprob is a token that a prompt has, or could have, at a position.
type PromptLogprob struct {
	Logprob float64 `json:"logprob"`
	Rank    int     `json:"rank"` // 1: the likeliest
	Decoded string  `json:"decoded_token"`
}

// ChatChoice is one of a request's n answers.
type ChatChoice struct {
	Index        int           `json:"index"`
	Message      Answer        `json:"message"`
	Logprobs     *ChatLogprobs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
	StopReason   string        `json:"stop_reason,omitempty"` // vLLM's field: the stop string that ended the answer
}

// ChatChunk is one event of a streamed chat answer.
type ChatChunk struct {
	ID      string            `json:"id"`
	Object  string            `json:"object"`
	Created int64             `json:"created"`
	Model   string            `json:"model"`
	Choices []ChatChunkChoice `json:"choices"` // empty in the chunk that carries Usage
	Usage   *Usage            `json:"usage,omitempty"`
}

// ChatChunkChoice is what a chunk adds to one answer.
type ChatChunkChoice struct {
	Index        int           `json:"index"`
	Delta        Delta         `json:"delta"`
	Logprobs     *ChatLogprobs `json:"logprobs,omitempty"`
	FinishReason *string       `json:"finish_reason"` // null until the answer's last chunk
	StopReason   string        `json:"stop_reason,omitempty"`
}

// Delta is a piece of a message. The first one has the Role.
type Delta struct {
	Role         string        `json:"role,omitempty"`
	Content      *string       `json:"content,omitempty"`
	ToolCalls    []ToolCall    `json:"tool_calls,omitempty"`
	FunctionCall *FunctionCall `json:"function_call,omitempty"`
}

// ChatLogprobs has one entry for each token of the content, and for each token of the calls after it.
type ChatLogprobs struct {
	Content []TokenLogprob `json:"content"`
}

// TokenLogprob is a generated token with its alternatives, most likely first.
type TokenLogprob struct {
	TopLogprob
	TopLogprobs []TopLogprob `json:"top_logprobs"`
}

// TopLogprob is a token and its natural-log probability. Bytes is an array of numbers, as the token may be a part of a
// UTF-8 sequence that Token cannot show.
type TopLogprob struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   Bytes   `json:"bytes"`
}

// Bytes is written as a JSON array of numbers; null if it is nil.
type Bytes []byte

// MinLogprob stands for the log-probability of an impossible token, since JSON has no −Inf. OpenAI's servers use it
// too.
const MinLogprob = -9999

// TextResponse answers POST /v1/completions without streaming; its chunks have the same form.
type TextResponse struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []TextChoice `json:"choices"`
	Usage   *Usage       `json:"usage,omitempty"`
}

// TextChoice is one answer, or what a chunk adds to it.
type TextChoice struct {
	Index        int           `json:"index"`
	Text         string        `json:"text"`
	Logprobs     *TextLogprobs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
	StopReason   string        `json:"stop_reason,omitempty"`

	// vLLM's field: by token id, for each token of the prompt; null for the first
	PromptLogprobs []map[string]PromptLogprob `json:"prompt_logprobs,omitempty"`
}

// TextLogprobs has parallel lists with one entry for each token.
type TextLogprobs struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float64           `json:"token_logprobs"` // null for the first token of an echoed prompt
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"` // in characters, from the start of the answer
}

// Append adds the lists of other to those of l.
func (l *TextLogprobs) Append(other *TextLogprobs) {
	l.Tokens = append(l.Tokens, other.Tokens...)
	l.TokenLogprobs = append(l.TokenLogprobs, other.TokenLogprobs...)
	l.TopLogprobs = append(l.TopLogprobs, other.TopLogprobs...)
	l.TextOffset = append(l.TextOffset, other.TextOffset...)
}

// Usage counts tokens.
type Usage struct {
	PromptTokens        int            `json:"prompt_tokens"`
	CompletionTokens    int            `json:"completion_tokens"`
	TotalTokens         int            `json:"total_tokens"`
	PromptTokensDetails *PromptDetails `json:"prompt_tokens_details,omitempty"`
}

// PromptDetails says how much of the prompt did not have to be computed.
type PromptDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

// ModelList answers GET /v1/models.
type ModelList struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

// Model describes one model. MaxModelLen is vLLM's extension, and Mistral's own client reads the fields after it.
type Model struct {
	ID          string `json:"id"`
	Object      string `json:"object"`
	Created     int64  `json:"created"`
	OwnedBy     string `json:"owned_by"`
	MaxModelLen int    `json:"max_model_len,omitempty"`

	Type             string             `json:"type,omitempty"` // "base": not fine-tuned by a client of the service
	MaxContextLength int                `json:"max_context_length,omitempty"`
	Capabilities     *ModelCapabilities `json:"capabilities,omitempty"`
}

// ModelCapabilities says which kinds of request a model supports.
type ModelCapabilities struct {
	CompletionChat  bool `json:"completion_chat"`
	CompletionFIM   bool `json:"completion_fim"`
	FunctionCalling bool `json:"function_calling"`
	FineTuning      bool `json:"fine_tuning"`
	Vision          bool `json:"vision"`
}

// TokenizeRequest is the body of POST /tokenize in vLLM's form: exactly one of Prompt and Messages.
type TokenizeRequest struct {
	Model            string    `json:"model,omitempty"`
	Prompt           *string   `json:"prompt,omitempty"`
	Messages         []Message `json:"messages,omitempty"`
	AddSpecialTokens *bool     `json:"add_special_tokens,omitempty"` // default true
}

// TokenizeResponse answers a TokenizeRequest.
type TokenizeResponse struct {
	Count       int     `json:"count"`
	MaxModelLen int     `json:"max_model_len"`
	Tokens      []int32 `json:"tokens"`
}

// DetokenizeResponse answers POST /detokenize.
type DetokenizeResponse struct {
	Prompt string `json:"prompt"`
}

// ErrorResponse is the body of every answer that is an error, and of an error event in a stream.
type ErrorResponse struct {
	Error Error `json:"error"`
}

// Error is OpenAI's error object. Param and Code are null when empty.
type Error struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}
