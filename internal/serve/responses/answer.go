package responses

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// Answer builds a response. Text and Call add to it, and End or Fail ends it. They return the events of a stream; for
// an answer that is not streamed these are ignored. It is for one goroutine.
type Answer struct {
	id, model string
	created   int64
	echo      []byte // the fields that are copied from the request
	seq       int    // number of the next event
	items     []*item
	status    string // in_progress, completed, incomplete or failed
	reason    string // why it is incomplete
	failure   *failure
	usage     *openai.Usage
}

// item is one item of the output: a message, or a tool call.
type item struct {
	id       string
	status   string
	text     strings.Builder // the text of a message, or the arguments of a call
	logprobs []openai.TokenLogprob
	call     *call // nil: a message
}

type call struct{ id, name string }

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// States of responses and items.
const (
	inProgress = "in_progress"
	completed  = "completed"
	incomplete = "incomplete"
	failed     = "failed"
)

// prefix begins a response's id. The rest of the id is also part of the ids of its items.
const prefix = "resp_"

// Answer begins the answer to a request. name is a text that no other answer has. actual holds the values of fields
// that the request left to the service's settings.
func (q *Request) Answer(name, model string, created int64, actual map[string]any) *Answer {
	a := &Answer{id: prefix + name, model: model, created: created, status: inProgress}
	for _, f := range echoed {
		v := q.given[f.name]
		if set, ok := actual[f.name]; ok {
			v = openai.Marshal(set)
		}
		if v == nil {
			v = json.RawMessage(f.otherwise)
		}
		a.echo = append(append(a.echo, `,"`+f.name+`":`...), v...)
	}
	return a
}

// ID is the response's id.
func (a *Answer) ID() string { return a.id }

// name is the response's id without its prefix.
func (a *Answer) name() string { return strings.TrimPrefix(a.id, prefix) }

// message returns the item that text is added to, and whether it is new: the first item, or one after the calls.
func (a *Answer) message() (i *item, added bool) {
	if n := len(a.items); n > 0 && a.items[n-1].call == nil {
		return a.items[n-1], false
	}
	i = &item{id: a.itemID("msg_"), status: inProgress}
	a.items = append(a.items, i)
	return i, true
}

// itemID returns the id of the next item. The id of the response can be found from it.
func (a *Answer) itemID(prefix string) string {
	id := prefix + a.name()
	if n := len(a.items); n > 0 {
		id += "_" + strconv.Itoa(n)
	}
	return id
}

// responseOf returns the id of the response that an item belongs to.
func responseOf(item string) string {
	_, name, _ := strings.Cut(item, "_")
	name, _, _ = strings.Cut(name, "_")
	return prefix + name
}

// settle records how the answer ended.
func (a *Answer) settle(finish llm.Finish, usage *openai.Usage) {
	a.status, a.usage = completed, usage
	if finish == llm.FinishLength {
		a.status, a.reason = incomplete, "max_output_tokens"
	}
}

// Object returns the response as it is now.
func (a *Answer) Object() json.RawMessage { return a.appendTo(nil) }

func (a *Answer) appendTo(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = openai.AppendString(dst, a.id)
	dst = append(dst, `,"object":"response","created_at":`...)
	dst = strconv.AppendInt(dst, a.created, 10)
	dst = append(dst, `,"status":"`+a.status+`","error":`...)
	dst = append(dst, openai.Marshal(a.failure)...)
	dst = append(dst, `,"incomplete_details":`...)
	if a.reason == "" {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, `{"reason":"`+a.reason+`"}`...)
	}
	dst = append(dst, `,"model":`...)
	dst = openai.AppendString(dst, a.model)
	dst = append(dst, `,"output":[`...)
	for i, item := range a.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = item.appendTo(dst)
	}
	dst = append(dst, `],"usage":`...)
	dst = append(dst, usageObject(a.usage)...)
	dst = append(dst, a.echo...)
	return append(dst, '}')
}

// usageObject returns the usage with this API's names.
func usageObject(u *openai.Usage) []byte {
	if u == nil {
		return []byte("null")
	}
	cached := 0
	if u.PromptTokensDetails != nil {
		cached = u.PromptTokensDetails.CachedTokens
	}
	type cachedTokens struct {
		Cached int `json:"cached_tokens"`
	}
	type reasoningTokens struct {
		Reasoning int `json:"reasoning_tokens"`
	}
	return openai.Marshal(struct {
		Input   int             `json:"input_tokens"`
		Cached  cachedTokens    `json:"input_tokens_details"`
		Output  int             `json:"output_tokens"`
		Thought reasoningTokens `json:"output_tokens_details"`
		Total   int             `json:"total_tokens"`
	}{u.PromptTokens, cachedTokens{cached}, u.CompletionTokens, reasoningTokens{}, u.TotalTokens})
}

// appendTo appends an item as it is now.
func (i *item) appendTo(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = openai.AppendString(dst, i.id)
	if i.call != nil {
		dst = append(dst, `,"type":"function_call","status":"`+i.status+`","call_id":`...)
		dst = openai.AppendString(dst, i.call.id)
		dst = append(dst, `,"name":`...)
		dst = openai.AppendString(dst, i.call.name)
		dst = append(dst, `,"arguments":`...)
		dst = openai.AppendString(dst, i.text.String())
		return append(dst, '}')
	}
	dst = append(dst, `,"type":"message","status":"`+i.status+`","role":"assistant","content":[`...)
	if i.status != inProgress {
		dst = i.appendPart(dst)
	}
	return append(dst, ']', '}')
}

// appendPart appends the text of a message.
func (i *item) appendPart(dst []byte) []byte {
	dst = append(dst, `{"type":"output_text","annotations":[],"logprobs":`...)
	dst = append(dst, logprobsArray(i.logprobs)...)
	dst = append(dst, `,"text":`...)
	dst = openai.AppendString(dst, i.text.String())
	return append(dst, '}')
}

func logprobsArray(list []openai.TokenLogprob) []byte {
	if len(list) == 0 {
		return []byte("[]")
	}
	return openai.Marshal(list)
}
