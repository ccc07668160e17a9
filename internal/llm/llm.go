package llm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Roles that a Message may have.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
	RoleTool      = "tool" // the result of a call
)

// Message is one turn of a conversation. Backends take conversations in whatever order: see Arrange.
type Message struct {
	Role    string
	Content string
	Calls   []Call // the assistant's
	CallID  string // a tool's: of the call whose result it is; see Arrange
	Name    string // a tool's: of the function
}

// Sampling says how the next token is chosen. The zero value is greedy.
type Sampling struct {
	Temperature       float64           // ≥ 0; 0 is greedy: the highest logit, the lowest id among equals
	TopP              float64           // (0, 1]; 0 and 1 mean off
	TopK              int               // ≥ 0; 0 means off
	MinP              float64           // [0, 1): drop tokens below MinP × the most likely one; 0 means off
	RepetitionPenalty float64           // > 0; 0 and 1 mean off (Keskar et al. 2019, CTRL)
	PresencePenalty   float64           // [−2, 2], subtracted once from the logit of every token already generated
	FrequencyPenalty  float64           // [−2, 2], subtracted once per occurrence among the generated tokens
	Seed              *int64            // nil: the backend draws one
	LogitBias         map[int32]float64 // added to the logit of each id
}

// Request asks for one completion. Exactly one of Messages, Prompt and PromptTokens is set.
type Request struct {
	ID           string // shown in logs and metrics; unique per request
	Model        string // as the client named it; empty means the default model
	Messages     []Message
	Prompt       string
	PromptTokens []int32
	MaxTokens    int // ≥ 1; 0 means the service's default, always cut to what the context leaves
	Sampling     Sampling
	Stop         []string // the text ends before the first of these to be complete; see Stops
	IgnoreEOS    bool     // go on to MaxTokens: for measurements
	ParseSpecial bool     // spellings of control tokens in Prompt mean these; in Messages they never do
	NoSpecial    bool     // Prompt has no BOS before it
	Logprobs     bool     // report the log-probability of each generated token
	TopLogprobs  int      // 0..20 alternatives beside it
	Grammar      *Grammar // what the text is held to; nil: nothing
	Tools        *Tools   // what the answer may call, only with Messages; nil: nothing

	PromptLogprobs    bool // report the log-probability of each token of the prompt too
	PromptTopLogprobs int  // 0..20 alternatives beside it
	PromptOnly        bool // generate nothing: the completion ends with the prompt, and MaxTokens is of no effect

	// Requests share what was computed for the beginnings of their prompts only with those of the same scope.
	CacheScope string
}

// GrammarKind says how a Grammar is written.
type GrammarKind string

// The kinds of Grammar.
const (
	GrammarJSON   GrammarKind = "json_object" // any JSON object; there is no source
	GrammarSchema GrammarKind = "json_schema" // JSON Schema, draft 2020-12
	GrammarRegex  GrammarKind = "regex"       // a regular expression that the whole text matches
	GrammarGBNF   GrammarKind = "gbnf"        // llama.cpp's grammars
	GrammarLark   GrammarKind = "lark"        // Lark's
	GrammarEBNF   GrammarKind = "ebnf"        // GBNF if the source has "::=", Lark if not, as vLLM's guided_grammar
	GrammarChoice GrammarKind = "choice"      // one of Choices
)

// Grammar is a form that the text of an answer keeps to, from its first character to its end. An answer that ends with
// FinishStop, and not at a stop string, is one of the grammar's texts; one that ends otherwise begins like one. A
// backend that cannot hold an answer to it refuses the request with ErrUnsupported, and one that cannot keep to all
// that the source says with a FieldError, before any event.
type Grammar struct {
	Kind    GrammarKind
	Source  string
	Choices []string
	Field   string // where the source came from, as the API spells it: "response_format.json_schema.schema"
}

// Fail is the FieldError of a grammar.
func (g *Grammar) Fail(reason string) error {
	field := g.Field
	if field == "" {
		field = "grammar"
	}
	return &FieldError{Field: field, Reason: reason, Err: ErrGrammar}
}

// Finish says why a completion ended.
type Finish string

// Reasons of the OpenAI API, and what happens to a request whose client went away.
const (
	FinishNone   Finish = ""
	FinishStop   Finish = "stop"       // end-of-sequence token or a stop string
	FinishLength Finish = "length"     // MaxTokens or the context's end
	FinishCalls  Finish = "tool_calls" // the answer ended by itself, and has calls
	FinishAbort  Finish = "abort"      // the caller's context was cancelled
	FinishError  Finish = "error"      // the backend failed
)

// Usage counts tokens as the model sees them. PromptTokens includes BOS and the chat template's tokens;
// CompletionTokens includes the end-of-sequence token when one was generated.
type Usage struct {
	PromptTokens     int
	CompletionTokens int
	CachedTokens     int // of the prompt, found in the prefix cache

	// from Generate's call to the first step that computed for it; 0 where the backend cannot know
	Queued time.Duration
}

// UnknownID and the numbers below it stand for the id of a token of which only the text is known, or nothing at all:
// then it has no bytes either. Within a Token, equal ids mean the same token.
const UnknownID int32 = -1

// TokenProb is a token and its natural-log probability under the unmodified (temperature 1) distribution.
type TokenProb struct {
	ID      int32
	Bytes   []byte // the token's own bytes; may be part of a UTF-8 sequence
	Logprob float64
}

// Token is one generated token, reported when Request.Logprobs is set, or one of the prompt.
type Token struct {
	TokenProb
	Top  []TokenProb
	Rank int // of a token of the prompt: 1 is the likeliest. 0: not known
}

// Event is a piece of an answer. Text is valid UTF-8: it never splits a sequence, and each byte that belongs to none
// is U+FFFD. No stop string is in the texts of a completion joined together, whichever tokens and bytes made them, and
// what may still become part of one is held back. Text may be empty. Tokens report what the model generated, so those
// of a stop string too. The last event of a completion has Finish and Usage set.
//
// With Request.Tools, an answer is text, or calls, or text and then calls. Calls are not part of Text, and stop
// strings are not looked for in them. The arguments of a call that is complete keep to the tool's parameters; all
// calls but the last are complete, and the last one is unless Finish is FinishLength.
type Event struct {
	Text   string
	Calls  []CallPiece // behind Text
	Tokens []Token     // empty unless Request.Logprobs
	// with Request.PromptLogprobs, in the first event: each token of the prompt. Of the first nobody can say how
	// likely it is: its Rank is 0, and it has no alternatives
	Prompt  []Token
	NTokens int // generated tokens this event stands for
	Finish  Finish
	Stop    string // the stop string that ended the completion; empty: it ended otherwise
	Usage   *Usage
}

// Model describes something a Backend can answer with.
type Model struct {
	ID            string
	Created       time.Time
	ContextLength int // tokens, prompt and completion together; 0 if unknown
	Vocab         int // 0 if unknown
}

// Status is a snapshot for health checks and gauges.
type Status struct {
	Ready     bool
	Running   int // sequences being prefilled or decoded
	Waiting   int // admitted to the queue, not yet running
	KVUsed    int // KV blocks held by running sequences
	KVCached  int // KV blocks kept only for prefix reuse
	KVTotal   int // KV blocks in all; 0 where there is no such thing
	Preempted int64
	CacheHits int64 // prompt tokens served from the prefix cache since start

	Chat   string // the name of the chat format; empty where there is none, or it is not known
	NoChat string // why there is none
}

// Backend answers requests. All methods are safe for concurrent use.
//
// Generate calls sink from one goroutine, in order, and returns after the last call. It returns nil if and only if
// the last event carried FinishStop, FinishLength or FinishCalls. When ctx ends, generation stops within one step of
// the model and Generate returns ctx's error. An error from sink stops generation likewise and is returned. A sink
// that blocks delays only its own request. Errors before the first event match one of the sentinels below.
type Backend interface {
	Generate(ctx context.Context, r *Request, sink func(Event) error) error
	Models() []Model
	// Tokenize gives the ids of a text; addSpecial adds BOS, and in rare models EOS, as for a raw prompt. Messages, if
	// any, go through the chat template, with the tools that the answer may call; nil: none.
	Tokenize(text string, addSpecial bool) ([]int32, error)
	TokenizeChat(messages []Message, tools *Tools) ([]int32, error)
	Detokenize(ids []int32) (string, error)
	Status() Status
	// Close stops everything and waits for it. Requests under way end with ErrClosed. A second Close is harmless.
	Close() error
}

// What can go wrong, for errors.Is.
var (
	ErrBadRequest    = errors.New("bad request")        // HTTP 400; see FieldError
	ErrModelNotFound = errors.New("model not found")    // 404
	ErrGrammar       = errors.New("bad grammar")        // 400 invalid_grammar; also matches ErrBadRequest
	ErrContextLength = errors.New("context too long")   // 400 context_length_exceeded; also matches ErrBadRequest
	ErrQueueFull     = errors.New("queue is full")      // 429 + Retry-After
	ErrNotReady      = errors.New("service not ready")  // 503: starting or draining
	ErrClosed        = errors.New("service closed")     // 503
	ErrNumeric       = errors.New("non-finite logits")  // 500: NaN or Inf in the model's output
	ErrUnsupported   = errors.New("not supported here") // 501: this backend cannot
)

// FieldError is an ErrBadRequest that names the request's field as the API spells it.
type FieldError struct {
	Field  string // "temperature", "messages[2].role"
	Reason string // "must be between 0 and 2, got 3.5"
	Err    error  // a more special sentinel, or nil
}

// Error gives "field: reason".
func (e *FieldError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Reason) }

// Is makes every FieldError an ErrBadRequest.
func (e *FieldError) Is(target error) bool { return target == ErrBadRequest }

// Unwrap gives the more special sentinel.
func (e *FieldError) Unwrap() error { return e.Err }

// BadField returns a FieldError.
func BadField(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}
