package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
	"github.com/hxp-enterprise/mixtral/internal/serve/responses"
)

const (
	responsesPath  = "/v1/responses"
	responsePrefix = responsesPath + "/" // followed by a response's id
)

// responses answers POST /v1/responses.
func (s *Server) responses(x *exchange, r *http.Request) error {
	f := &responsesFormat{s: s, ctx: r.Context(), owner: x.caller.Name}
	return s.complete(x, r, kind{translate: f.translate, parse: f.job, format: f})
}

// responsesFormat is the format of /v1/responses for one request.
type responsesFormat struct {
	s     *Server
	ctx   context.Context
	owner string
	q     *responses.Request
	a     *responses.Answer
}

func (f *responsesFormat) translate(o *object) {
	f.q = responses.Translate(o,
		func(id string) ([]json.RawMessage, error) {
			return responses.History(f.ctx, f.s.c.Responses, f.owner, id)
		},
		func(id string) (json.RawMessage, error) {
			return responses.Reference(f.ctx, f.s.c.Responses, f.owner, id)
		})
}

// job reads the fields of the chat that the request was translated to.
func (f *responsesFormat) job(o *object, model llm.Model) (*job, error) {
	j, err := f.s.chatJob(o, model)
	if err != nil {
		return nil, err
	}
	f.q.Store = f.q.Store && f.s.c.Responses != nil
	r := j.requests[0]
	actual := map[string]any{"store": f.q.Store, "temperature": r.Sampling.Temperature}
	f.a = f.q.Answer(newID(""), model.ID, j.created, actual)
	j.id, r.ID = f.a.ID(), f.a.ID()
	return j, nil
}

func (f *responsesFormat) prompt() string { return "input" }

func (f *responsesFormat) whole(j *job, choices []choice) any {
	c := &choices[0]
	f.piece(nil, j, 0, c, c.text.String(), c.tokens)
	for _, call := range c.calls {
		f.a.Call(nil, call.ID, call.Name, call.Arguments)
	}
	f.end(nil, j, choices)
	return f.a.Object()
}

func (f *responsesFormat) open(dst []byte, _ *job, _ int, _ *choice) []byte { return f.a.Begin(dst) }

func (f *responsesFormat) piece(dst []byte, _ *job, _ int, _ *choice, text string, tokens []llm.Token) []byte {
	if text == "" && len(tokens) == 0 {
		return dst
	}
	return f.a.Text(dst, text, chatLogprobs(tokens).Content)
}

func (f *responsesFormat) calls(dst []byte, _ *job, _ int, pieces []llm.CallPiece, _ []llm.Token) []byte {
	for _, p := range pieces {
		dst = f.a.Call(dst, p.ID, p.Name, p.Arguments)
	}
	return dst
}

func (f *responsesFormat) close(dst []byte, _ *job, _ int, _ *choice) []byte { return dst }

// end stores the response before its client can know that it exists.
func (f *responsesFormat) end(dst []byte, j *job, choices []choice) []byte {
	dst = f.a.End(dst, choices[0].finish, j.sum(choices))
	if f.q.Store {
		if err := f.s.c.Responses.Put(f.ctx, f.owner, f.a.Record(f.q)); err != nil {
			f.s.log.Error("a response was not kept", "id", f.a.ID(), "error", err)
		}
	}
	return dst
}

func (f *responsesFormat) fail(dst []byte, e *httpError) []byte {
	return f.a.Fail(dst, e.code, e.message)
}

func (f *responsesFormat) waiting(dst []byte, _ bool) []byte { return append(dst, ": waiting\n\n"...) }

// responseRoute is the route of one response.
func (s *Server) responseRoute(method string) route {
	if method == http.MethodDelete {
		return route{method: method, handle: s.response}
	}
	return route{method: http.MethodGet, handle: s.response}
}

// response shows a stored response or its input items, or deletes it. If the backend is other servers, they show the
// responses that they store.
func (s *Server) response(x *exchange, r *http.Request) error {
	if _, err := s.current(); err != nil {
		return err
	}
	id, part, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, responsePrefix), "/")
	err := s.storedResponse(x, r, id, part)
	if _, passes := s.backend.Load().Backend.(passer); passes && errors.Is(err, responses.ErrNotFound) &&
		passable(r.URL.Path) {
		return s.passOther(x, r)
	}
	switch {
	case !errors.Is(err, responses.ErrNotFound):
		return err
	case s.c.Responses == nil:
		return &body.Error{Code: body.CodeUnsupported,
			Message: "this service keeps no responses (response_store is none): what was answered cannot be asked for"}
	}
	return &httpError{status: http.StatusNotFound, typ: typeInvalid, code: "response_not_found", quotes: true,
		message: fmt.Sprintf("no response %s is kept here", quote(id))}
}

func (s *Server) storedResponse(x *exchange, r *http.Request, id, part string) error {
	store := s.c.Responses
	if store == nil || part != "" && part != "input_items" || part != "" && r.Method == http.MethodDelete {
		return responses.ErrNotFound
	}
	if r.Method == http.MethodDelete {
		if err := store.Delete(r.Context(), x.caller.Name, id); err != nil {
			return err
		}
		return respond(x, map[string]any{"id": id, "object": "response", "deleted": true})
	}
	kept, err := store.Get(r.Context(), x.caller.Name, id)
	if err != nil {
		return err
	}
	if part == "" {
		return respond(x, kept.Response)
	}
	list, err := page(kept.Input, r.URL.Query())
	if err != nil {
		return err
	}
	return respond(x, list)
}

// itemPage is a page of a list of items.
type itemPage struct {
	Object string            `json:"object"`
	Data   []json.RawMessage `json:"data"`
	First  *string           `json:"first_id"`
	Last   *string           `json:"last_id"`
	More   bool              `json:"has_more"`
}

// page returns the part of a list that a query asks for, with the newest items first unless the query sets another
// order.
func page(items []json.RawMessage, query url.Values) (*itemPage, error) {
	limit := 20
	if v := query.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 {
			return nil, body.Bad("limit", "must be between 1 and 100, got %q", body.Short(v))
		}
		limit = n
	}
	items = slices.Clone(items)
	switch query.Get("order") {
	case "", "desc":
		slices.Reverse(items)
	case "asc":
	default:
		return nil, body.Bad("order", "must be asc or desc")
	}
	ids := make([]*string, len(items))
	for i, v := range items {
		var item struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(v, &item) // it was encoded here
		ids[i] = &item.ID
	}
	if after := query.Get("after"); after != "" {
		i := slices.IndexFunc(ids, func(id *string) bool { return *id == after })
		if i < 0 {
			return nil, body.Bad("after", "is not an item of this list")
		}
		items, ids = items[i+1:], ids[i+1:]
	}
	p := &itemPage{Object: "list", Data: []json.RawMessage{}, More: len(items) > limit}
	if n := min(limit, len(items)); n > 0 {
		p.Data, p.First, p.Last = items[:n], ids[0], ids[n-1]
	}
	return p, nil
}
