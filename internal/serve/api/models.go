package api

import (
	"net/http"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// modelPrefix is followed by a model's id, which may hold slashes.
const modelPrefix = "/v1/models/"

func (s *Server) models(x *exchange, _ *http.Request) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	list := openai.ModelList{Object: openai.ObjectList, Data: []openai.Model{}}
	for _, m := range s.served(b) {
		list.Data = append(list.Data, wireModel(m))
	}
	return respond(x, list)
}

func (s *Server) model(x *exchange, r *http.Request) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	m, err := s.lookup(b, strings.TrimPrefix(r.URL.Path, modelPrefix))
	if err != nil {
		return err
	}
	return respond(x, wireModel(m))
}

func wireModel(m llm.Model) openai.Model {
	return openai.Model{ID: m.ID, Object: openai.ObjectModel, Created: m.Created.Unix(), OwnedBy: "mixtral",
		MaxModelLen: m.ContextLength, Type: "base", MaxContextLength: m.ContextLength,
		Capabilities: &openai.ModelCapabilities{CompletionChat: true, FunctionCalling: true}}
}

// tokenize answers POST /tokenize.
func (s *Server) tokenize(x *exchange, r *http.Request) error {
	b, model, o, err := s.readFor(x, r)
	if err != nil {
		return err
	}
	var tokens []int32
	text, ok := o.text("prompt")
	special := true
	if o.raw("add_special_tokens") != nil {
		special = o.flag("add_special_tokens")
	}
	parse := o.flag("parse_special")
	if ok == (o.raw("messages") != nil) {
		o.fail("prompt", "exactly one of prompt and messages must be given")
	}
	if ok {
		if o.err == nil {
			tokens, err = tokenizeText(b, text, special, parse)
		}
	} else {
		messages := s.messages(o)
		called, _ := tools(o)
		if o.err == nil {
			tokens, err = b.TokenizeChat(messages, called)
		}
	}
	if o.err != nil {
		return o.err
	}
	if err != nil {
		return err
	}
	if tokens == nil {
		tokens = []int32{}
	}
	return respond(x, openai.TokenizeResponse{Count: len(tokens), MaxModelLen: model.ContextLength, Tokens: tokens})
}

// tokenizeText reads control tokens in a text where that is asked for and the backend can.
func tokenizeText(b llm.Backend, text string, addSpecial, parse bool) ([]int32, error) {
	if !parse {
		return b.Tokenize(text, addSpecial)
	}
	special, ok := b.(interface {
		TokenizeSpecial(text string, addSpecial bool) ([]int32, error)
	})
	if !ok {
		return nil, badParam("parse_special", "the servers behind this one are not asked for it")
	}
	return special.TokenizeSpecial(text, addSpecial)
}

// detokenize answers POST /detokenize.
func (s *Server) detokenize(x *exchange, r *http.Request) error {
	b, _, o, err := s.readFor(x, r)
	if err != nil {
		return err
	}
	var list []int32
	if v := o.raw("tokens"); v == nil {
		o.fail("tokens", "is missing")
	} else if string(v) != "[]" {
		list = ids(o, "tokens", v)
	}
	if o.err != nil {
		return o.err
	}
	text, err := b.Detokenize(list)
	if err != nil {
		return err
	}
	return respond(x, openai.DetokenizeResponse{Prompt: text})
}

// readFor reads a body and finds the model that it names.
func (s *Server) readFor(x *exchange, r *http.Request) (llm.Backend, llm.Model, *object, error) {
	b, err := s.current()
	if err != nil {
		return nil, llm.Model{}, nil, err
	}
	o, err := s.readBody(x, r)
	if err != nil {
		return nil, llm.Model{}, nil, err
	}
	name, _ := o.text("model")
	if o.err != nil {
		return nil, llm.Model{}, nil, o.err
	}
	model, err := s.lookup(b, name)
	return b, model, o, err
}
