package api

import (
	"net/http"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/messages"
)

// messagesPath is the prefix of the paths whose errors have Anthropic's form.
const messagesPath = "/v1/messages"

// anthropicErrors gives errors Anthropic's form, and sets Anthropic's header with the request's id.
func anthropicErrors(x *exchange) {
	x.Header().Set("Request-Id", x.id)
	x.shape = func(e *httpError) []byte { return messages.Error(e.status, e.message, x.id) }
	x.event = func(e *httpError) []byte { return messages.AppendError(nil, e.status, e.message, x.id) }
}

// messagesRoute answers POST /v1/messages.
func (s *Server) messagesRoute(x *exchange, r *http.Request) error {
	f := &messagesFormat{s: s, requestID: x.id}
	return s.complete(x, r, kind{translate: f.translate, parse: f.job, format: f})
}

// messagesFormat is the format of /v1/messages for one request.
type messagesFormat struct {
	s         *Server
	requestID string
	a         *messages.Answer
}

func (f *messagesFormat) translate(o *object) { messages.Translate(o, false) }

// job reads the fields of the chat that the request was translated to.
func (f *messagesFormat) job(o *object, model llm.Model) (*job, error) {
	j, err := f.s.chatJob(o, model)
	if err != nil {
		return nil, err
	}
	j.id = newID("msg_")
	r := j.requests[0]
	r.ID = j.id
	prompt := 0
	if backend := f.s.backend.Load().Backend; j.stream { // the first event contains the number of prompt tokens
		if _, passes := backend.(passer); !passes {
			ids, err := backend.TokenizeChat(r.Messages, r.Tools)
			if err != nil {
				return nil, err
			}
			prompt = len(ids)
		}
	}
	f.a = messages.NewAnswer(j.id, model.ID, prompt)
	return j, nil
}

func (f *messagesFormat) prompt() string { return "messages" }

func (f *messagesFormat) whole(j *job, choices []choice) any {
	f.piece(nil, j, 0, nil, choices[0].text.String(), nil)
	for _, call := range choices[0].calls {
		f.a.Call(nil, call.ID, call.Name, call.Arguments)
	}
	f.end(nil, j, choices)
	return f.a.Object()
}

func (f *messagesFormat) open(dst []byte, _ *job, _ int, _ *choice) []byte { return f.a.Begin(dst) }

func (f *messagesFormat) piece(dst []byte, _ *job, _ int, _ *choice, text string, _ []llm.Token) []byte {
	if text == "" {
		return dst
	}
	return f.a.Text(dst, text)
}

func (f *messagesFormat) calls(dst []byte, _ *job, _ int, pieces []llm.CallPiece, _ []llm.Token) []byte {
	for _, p := range pieces {
		dst = f.a.Call(dst, p.ID, p.Name, p.Arguments)
	}
	return dst
}

func (f *messagesFormat) close(dst []byte, _ *job, _ int, _ *choice) []byte { return dst }

func (f *messagesFormat) end(dst []byte, j *job, choices []choice) []byte {
	return f.a.End(dst, choices[0].finish, choices[0].stop, j.sum(choices))
}

func (f *messagesFormat) fail(dst []byte, e *httpError) []byte {
	return messages.AppendError(dst, e.status, e.message, f.requestID)
}

// waiting appends a ping. Before the message has begun it appends a comment, since clients expect the beginning first.
func (f *messagesFormat) waiting(dst []byte, begun bool) []byte {
	if begun {
		return messages.Ping(dst)
	}
	return append(dst, ": waiting\n\n"...)
}

// countTokens answers POST /v1/messages/count_tokens.
func (s *Server) countTokens(x *exchange, r *http.Request) error {
	arrived := s.now()
	b, err := s.current()
	if err != nil {
		return err
	}
	o, err := s.readBody(x, r)
	if err != nil {
		return err
	}
	if p, passes := s.backend.Load().Backend.(passer); passes {
		if known, err := s.pass(x, r, p, o, arrived, true); known || err != nil {
			return err
		}
	}
	messages.Translate(o, true)
	rename(o)
	name, _ := o.Text("model")
	if o.Err != nil {
		return o.Err
	}
	model, err := s.lookup(b, name)
	if err != nil {
		return err
	}
	j, err := s.chatJob(o, model)
	if err != nil {
		return err
	}
	ids, err := of(b, model).TokenizeChat(j.requests[0].Messages, j.requests[0].Tools)
	if err != nil {
		return err
	}
	return respond(x, map[string]int{"input_tokens": len(ids)})
}
