package responses

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// event appends an event. Its fields are JSON, each preceded by a comma.
func (a *Answer) event(dst []byte, name string, fields []byte) []byte {
	dst = append(dst, "event: "+name+"\ndata: {\"type\":\""+name+`","sequence_number":`...)
	dst = strconv.AppendInt(dst, int64(a.seq), 10)
	a.seq++
	dst = append(dst, fields...)
	return append(dst, "}\n\n"...)
}

// whole appends an event that contains the response.
func (a *Answer) whole(dst []byte, name string) []byte {
	return a.event(dst, name, a.appendTo([]byte(`,"response":`)))
}

// Begin appends the first events of a stream.
func (a *Answer) Begin(dst []byte) []byte {
	dst = a.whole(dst, "response.created")
	return a.whole(dst, "response.in_progress")
}

// place says which item, the last one, and which part of it an event is about.
func (a *Answer) place(part bool) []byte {
	f := append([]byte(`,"item_id":`), '"')
	f = append(append(f, a.items[len(a.items)-1].id...), `","output_index":`...)
	f = strconv.AppendInt(f, int64(len(a.items)-1), 10)
	if part {
		f = append(f, `,"content_index":0`...)
	}
	return f
}

// added appends the event of a new item, the last one.
func (a *Answer) added(dst []byte) []byte {
	f := strconv.AppendInt([]byte(`,"output_index":`), int64(len(a.items)-1), 10)
	f = append(f, `,"item":`...)
	dst = a.event(dst, "response.output_item.added", a.items[len(a.items)-1].appendTo(f))
	if a.items[len(a.items)-1].call != nil {
		return dst
	}
	return a.event(dst, "response.content_part.added", append(a.place(true),
		`,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}`...))
}

// Text adds a piece of text to the answer.
func (a *Answer) Text(dst []byte, delta string, logprobs []openai.TokenLogprob) []byte {
	if n := len(a.items); n > 0 && a.items[n-1].call != nil {
		dst = a.done(dst, completed)
	}
	i, added := a.message()
	if added {
		dst = a.added(dst)
	}
	if delta == "" && len(logprobs) == 0 {
		return dst
	}
	i.text.WriteString(delta)
	i.logprobs = append(i.logprobs, logprobs...)
	f := append(a.place(true), `,"delta":`...)
	f = openai.AppendString(f, delta)
	f = append(f, `,"logprobs":`...)
	return a.event(dst, "response.output_text.delta", append(f, logprobsArray(logprobs)...))
}

// Call adds a piece of a tool call. A name begins the next call.
func (a *Answer) Call(dst []byte, id, name, arguments string) []byte {
	if name != "" {
		if len(a.items) > 0 {
			dst = a.done(dst, completed)
		}
		a.items = append(a.items, &item{id: a.itemID("fc_"), status: inProgress, call: &call{id, name}})
		dst = a.added(dst)
	}
	if arguments == "" {
		return dst
	}
	a.items[len(a.items)-1].text.WriteString(arguments)
	f := openai.AppendString(append(a.place(false), `,"delta":`...), arguments)
	return a.event(dst, "response.function_call_arguments.delta", f)
}

// done appends the events that end the last item.
func (a *Answer) done(dst []byte, status string) []byte {
	i := a.items[len(a.items)-1]
	if i.status != inProgress {
		return dst
	}
	i.status = status
	if i.call != nil {
		f := openai.AppendString(append(a.place(false), `,"arguments":`...), i.text.String())
		f = openai.AppendString(append(f, `,"name":`...), i.call.name)
		dst = a.event(dst, "response.function_call_arguments.done", f)
	} else {
		f := openai.AppendString(append(a.place(true), `,"text":`...), i.text.String())
		f = append(append(f, `,"logprobs":`...), logprobsArray(i.logprobs)...)
		dst = a.event(dst, "response.output_text.done", f)
		dst = a.event(dst, "response.content_part.done", i.appendPart(append(a.place(true), `,"part":`...)))
	}
	f := strconv.AppendInt([]byte(`,"output_index":`), int64(len(a.items)-1), 10)
	return a.event(dst, "response.output_item.done", i.appendTo(append(f, `,"item":`...)))
}

// End ends the answer.
func (a *Answer) End(dst []byte, finish llm.Finish, usage *openai.Usage) []byte {
	if len(a.items) == 0 {
		dst = a.Text(dst, "", nil) // an answer without content is a message without text
	}
	a.settle(finish, usage)
	dst = a.done(dst, a.status)
	return a.whole(dst, "response."+a.status)
}

// AppendError appends the event of an error that ends a stream early, without a response. seq is its number.
func AppendError(dst []byte, seq int, code, message string) []byte {
	dst = append(dst, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":"...)
	dst = strconv.AppendInt(dst, int64(seq), 10)
	dst = openai.AppendString(append(dst, `,"code":`...), cmp.Or(code, "server_error"))
	dst = openai.AppendString(append(dst, `,"message":`...), message)
	return append(dst, ",\"param\":null}\n\n"...)
}

// Fail ends an answer that broke off, or that could not begin.
func (a *Answer) Fail(dst []byte, code, message string) []byte {
	if a.seq == 0 {
		return AppendError(dst, a.seq, code, message)
	}
	code = cmp.Or(code, "server_error")
	for _, i := range a.items {
		if i.status == inProgress {
			i.status = incomplete
		}
	}
	a.status, a.failure = failed, &failure{code, message}
	return a.whole(dst, "response.failed")
}

// output returns the items of the answer.
func (a *Answer) output() []json.RawMessage {
	list := make([]json.RawMessage, len(a.items))
	for i, item := range a.items {
		list[i] = item.appendTo(nil)
	}
	return list
}
