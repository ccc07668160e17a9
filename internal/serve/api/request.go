package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/access"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// job is one HTTP request for completions. It has one llm.Request for each choice, in the order of their index.
type job struct {
	id       string
	model    llm.Model
	created  int64
	arrived  time.Time
	grant    *access.Grant
	seen     *sighting
	requests []*llm.Request
	perText  int // choices per prompt: n
	stream   bool
	usage    bool // a last chunk with the usage
	aligned  bool // the reported tokens add up to the text
	echo     bool // a text begins with its prompt

	promptTop  int      // alternatives of prompt_logprobs; −1: not requested
	prompts    []string // that are echoed
	callsFirst bool     // the stream of a choice that begins now begins with a call
	mistral    bool     // the client is one of Mistral's, which read some fields as Mistral's servers send them
	older      bool     // calls are sent as function_call: the request has functions, and no tools
}

// common reads the fields that both kinds of request share. defaultMax is the number of tokens if the request does not
// set it.
func (s *Server) common(o *object, model llm.Model, defaultMax int) (base llm.Request, j *job) {
	j = &job{model: model, created: s.now().Unix(), perText: 1, promptTop: -1}
	base.Model = s.own(s.backend.Load(), model.ID)
	base.MaxTokens = min(defaultMax, s.c.MaxTokens)
	for _, field := range []string{"max_tokens", "max_completion_tokens"} { // the newer name takes precedence
		if n, ok := s.maxTokens(o, field); ok {
			base.MaxTokens = n
		}
	}
	base.Sampling = s.sampling(o, model)
	base.Stop = stops(o)
	base.Grammar = grammar(o)
	base.CacheScope = cacheSalt(o)
	base.IgnoreEOS = o.Flag("ignore_eos")
	base.ParseSpecial = o.Flag("parse_special") // it has no effect on chats, and neither has the next
	if o.Raw("add_special_tokens") != nil {
		base.NoSpecial = !o.Flag("add_special_tokens")
	}
	if n, ok := o.Integer("n", 1, maxChoices); ok {
		j.perText = int(n)
	}
	j.stream = o.Flag("stream")
	if v := o.Raw("stream_options"); v != nil {
		c := o.Child("stream_options", v)
		j.usage = c.Flag("include_usage")
		c.Know("include_obfuscation") // there is none
		if c.Raw("continuous_usage_stats") != nil && !c.Is("continuous_usage_stats", "false") {
			c.Unsupported("continuous_usage_stats")
		}
		o.Adopt(c)
		if !j.stream {
			o.Fail("stream_options", "is only allowed with \"stream\": true")
		}
	}
	o.Text("user") // accepted, but without effect
	unsupported(o)
	return base, j
}

// unsupportedFields ask for features that this service does not have: if they were ignored, the answer would not be
// what the client asked for. A value that asks for nothing is accepted: one of asksNothing, or one of those listed
// here as JSON.
var unsupportedFields = []struct {
	name     string
	harmless []string
}{
	// OpenAI's.
	{"modalities", []string{`["text"]`}}, {"audio", nil},
	{"web_search_options", nil},
	{"suffix", nil}, {"echo", nil}, {"best_of", []string{"1"}},
	// vLLM's and llama.cpp's.
	{"guided_whitespace_pattern", nil},
	{"min_tokens", []string{"0"}}, {"stop_token_ids", nil}, {"include_stop_str_in_output", nil}, {"bad_words", nil},
	{"allowed_token_ids", nil},
	{"use_beam_search", nil}, {"truncate_prompt_tokens", nil}, {"logits_processors", nil},
	{"prompt_embeds", nil},
	{"chat_template", nil}, {"continue_final_message", nil}, {"add_generation_prompt", []string{"true"}},
	{"documents", nil},
}

// asksNothing are values that mean the same as no value in most of these fields.
var asksNothing = []string{"", "[]", "{}", `""`, "false"}

func unsupported(o *object) {
	continues := endsWithAnswer(o)
	for _, f := range unsupportedFields {
		// an answer that has begun is continued in any case, which is what these ask for; see llm.Continues
		if continues && (f.name == "continue_final_message" || f.name == "add_generation_prompt") {
			o.Know(f.name)
			continue
		}
		if f.name == "echo" && o.Knows(f.name) { // a text completion has one
			continue
		}
		if asksFor(o.Raw(f.name), f.harmless) || slices.Contains(falseAsks, f.name) && o.Is(f.name, "false") {
			o.Unsupported(f.name)
		}
	}
}

// endsWithAnswer says whether the last message is the assistant's.
func endsWithAnswer(o *object) bool {
	if o.Fields["continue_final_message"] == nil && o.Fields["add_generation_prompt"] == nil { // neither is set
		return false
	}
	var list []struct {
		Role    string
		Content json.RawMessage
	}
	if v := o.Fields["messages"]; v == nil || json.Unmarshal(v, &list) != nil || len(list) == 0 {
		return false
	}
	last := list[len(list)-1]
	return last.Role == llm.RoleAssistant && asksFor(last.Content, []string{"null"})
}

// falseAsks are fields that are true by default, so that false asks for something.
var falseAsks = []string{"add_generation_prompt", "skip_special_tokens", "add_special_tokens"}

// asksFor says whether a value asks for something. harmless are values that do not, as JSON without white space.
func asksFor(v json.RawMessage, harmless []string) bool {
	plain := strings.Join(strings.Fields(string(v)), "")
	return !slices.Contains(asksNothing, plain) && !slices.Contains(harmless, plain)
}

func (s *Server) sampling(o *object, model llm.Model) llm.Sampling {
	p := llm.Sampling{Temperature: s.c.Temperature}
	for _, f := range []struct {
		name    string
		allowed llm.Range
		to      *float64
	}{
		{"temperature", llm.TemperatureRange, &p.Temperature},
		{"top_p", llm.Range{Hi: llm.TopPRange.Hi}, &p.TopP},
		{"min_p", llm.MinPRange, &p.MinP},
		{"presence_penalty", llm.PresencePenaltyRange, &p.PresencePenalty},
		{"frequency_penalty", llm.FrequencyPenaltyRange, &p.FrequencyPenalty},
		{"repetition_penalty", llm.RepetitionPenaltyRange, &p.RepetitionPenalty},
	} {
		if v, ok := o.Number(f.name, f.allowed); ok {
			*f.to = v
		}
	}
	if k, ok := o.Integer("top_k", -1, int64(llm.TopKRange.Hi)); ok {
		p.TopK = int(max(k, 0)) // in vLLM −1 means off
	}
	if o.Raw("top_p") != nil && p.TopP == 0 { // only the likeliest token is left
		p.TopK = 1
	}
	if seed, ok := o.Integer("seed", math.MinInt64, math.MaxInt64); ok && seed != -1 { // in vLLM −1 means any seed
		p.Seed = &seed
	}
	p.LogitBias = bias(o, model)
	return p
}

func bias(o *object, model llm.Model) map[int32]float64 {
	v := o.Raw("logit_bias")
	if v == nil {
		return nil
	}
	c := o.Child("logit_bias", v)
	if len(c.Fields) > maxBias {
		c.Err = body.Bad("logit_bias", "has %d entries, at most %d are allowed", len(c.Fields), maxBias)
	}
	biases := make(map[int32]float64, len(c.Fields))
	for key := range c.Fields {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 || model.Vocab > 0 && id >= int64(model.Vocab) {
			o.Fail("logit_bias", "a key is not a token id from 0 to %d", model.Vocab-1)
			return nil
		}
		if f, ok := c.Number(key, llm.LogitBiasRange); ok {
			biases[int32(id)] = f
		}
	}
	o.Adopt(c)
	return biases
}

// maxTokens reads the number of tokens that a request asks for. It is lowered to the configured maximum if it is
// higher, as the context also lowers it. −1 asks for as many as possible, as in llama.cpp.
func (s *Server) maxTokens(o *object, field string) (n int, ok bool) {
	asked, ok := o.Integer(field, -1, math.MaxInt64)
	switch {
	case ok && asked == 0:
		o.Fail(field, "must be at least 1, or -1 for as many as the service allows, got 0")
	case asked < 0:
		asked = int64(s.c.MaxTokens)
	}
	return int(min(asked, int64(s.c.MaxTokens))), ok
}

// stops reads a string or a list of strings. Empty ones are ignored.
func stops(o *object) []string {
	v := o.Raw("stop")
	if v == nil {
		return nil
	}
	var list []string
	if body.Kind(v) == "a string" {
		s, _ := o.Text("stop")
		list = []string{s}
	} else {
		items, _ := o.List("stop", maxStops)
		for i, item := range items {
			var s string
			if json.Unmarshal(item, &s) != nil || body.Kind(item) != "a string" {
				o.Fail(fmt.Sprintf("stop[%d]", i), "must be a string, got %s", body.Kind(item))
			}
			list = append(list, s)
		}
	}
	for i, s := range list {
		if len(s) > maxStopSize {
			o.Fail(fmt.Sprintf("stop[%d]", i), "must have at most %d bytes, has %d", maxStopSize, len(s))
		}
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// chatJob reads the body of /v1/chat/completions.
func (s *Server) chatJob(o *object, model llm.Model) (*job, error) {
	prompt := promptLogprobs(o)
	base, j := s.common(o, model, s.c.MaxTokens)
	prompt(&base, j)
	base.Messages = s.messages(o)
	base.Tools, j.older = tools(o)
	base.Logprobs = o.Flag("logprobs")
	if n, ok := o.Integer("top_logprobs", 0, maxTop); ok {
		base.TopLogprobs = int(n)
		if !base.Logprobs && n > 0 {
			o.Fail("top_logprobs", "is only allowed with \"logprobs\": true")
		}
	}
	s.unknown(o)
	j.id = newID("chatcmpl-")
	j.aligned = base.Logprobs
	j.choices(base)
	return j, o.Err
}

// defaultTextTokens is OpenAI's default of max_tokens for text completions.
const defaultTextTokens = 16

// textJob reads the body of /v1/completions.
func (s *Server) textJob(o *object, model llm.Model) (*job, error) {
	echo := o.Flag("echo")
	prompt := promptLogprobs(o)
	// the prompt's part is answered without generating
	only := (echo || o.Raw("prompt_logprobs") != nil) && o.Is("max_tokens", "0")
	if only {
		delete(o.Fields, "max_tokens")
	}
	base, j := s.common(o, model, defaultTextTokens)
	j.echo, base.PromptOnly = echo, only
	prompt(&base, j)
	if n, ok := o.Integer("logprobs", 0, maxTop); ok {
		base.Logprobs, base.TopLogprobs = true, int(n)
		if echo {
			base.PromptLogprobs, base.PromptTopLogprobs = true, max(base.PromptTopLogprobs, int(n))
		}
	}
	j.id = newID("cmpl-")
	texts := prompts(o)
	noTools(o)
	s.unknown(o)
	if n := len(texts) * j.perText; n > maxBatch {
		o.Fail("prompt", "%d prompts with n = %d make %d choices, at most %d are allowed", len(texts), j.perText, n,
			maxBatch)
	}
	if o.Err != nil {
		return nil, o.Err
	}
	for _, p := range texts {
		r := base
		r.Prompt, r.PromptTokens = p.Prompt, p.PromptTokens
		if echo {
			text, err := s.promptOf(&r)
			if err != nil {
				return nil, err
			}
			j.prompts = append(j.prompts, text)
		}
		j.choices(r)
	}
	return j, nil
}

// prompts reads one or several prompts, each a string or a list of token ids.
func prompts(o *object) []llm.Request {
	v := o.Raw("prompt")
	one := func(field string, v json.RawMessage) llm.Request {
		var r llm.Request
		switch body.Kind(v) {
		case "a string":
			if json.Unmarshal(v, &r.Prompt) == nil && r.Prompt == "" {
				o.Fail(field, "is empty")
			}
		case "an array":
			r.PromptTokens = ids(o, field, v)
		default:
			o.Fail(field, "must be a string or an array of token ids, got %s", body.Kind(v))
		}
		return r
	}
	if v == nil {
		o.Fail("prompt", "is missing")
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(v, &items) != nil || len(items) == 0 || body.Kind(items[0]) == "a number" {
		return []llm.Request{one("prompt", v)}
	}
	if len(items) > maxBatch {
		o.Fail("prompt", "has %d entries, at most %d are allowed", len(items), maxBatch)
		return nil
	}
	all := make([]llm.Request, len(items))
	for i, item := range items {
		all[i] = one(fmt.Sprintf("prompt[%d]", i), item)
	}
	return all
}

// ids reads a list of token ids that is not empty. The backend checks whether they are in the vocabulary.
func ids(o *object, field string, v json.RawMessage) []int32 {
	var list []int32
	if json.Unmarshal(v, &list) != nil || bytes.ContainsRune(v, 'n') { // a null would be read as 0
		o.Fail(field, "must hold token ids only: integers from 0")
		return nil
	}
	if len(list) == 0 {
		o.Fail(field, "is empty")
	}
	return list
}

// choices adds n requests for one prompt. Their seeds are consecutive: the first choice is the one that n = 1 would
// give.
func (j *job) choices(base llm.Request) {
	for i := range j.perText {
		r := base
		r.ID = fmt.Sprintf("%s-%d", j.id, len(j.requests))
		if base.Sampling.Seed != nil {
			seed := *base.Sampling.Seed + int64(i)
			r.Sampling.Seed = &seed
		}
		j.requests = append(j.requests, &r)
	}
}
