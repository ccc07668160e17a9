package api

import (
	"net/http"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/openai"
	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// modelPrefix is followed by a model's id, which may contain slashes.
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
	text, ok := o.Text("prompt")
	special := true
	if o.Raw("add_special_tokens") != nil {
		special = o.Flag("add_special_tokens")
	}
	parse := o.Flag("parse_special")
	if ok == (o.Raw("messages") != nil) {
		o.Fail("prompt", "exactly one of prompt and messages must be given")
	}
	if ok {
		if o.Err == nil {
			tokens, err = tokenizeText(b, text, special, parse)
		}
	} else {
		messages := s.messages(o)
		called, _ := tools(o)
		if o.Err == nil {
			tokens, err = b.TokenizeChat(messages, called)
		}
	}
	unsupported(o)
	s.unknown(o)
	if o.Err != nil {
		return o.Err
	}
	if err != nil {
		return err
	}
	if tokens == nil {
		tokens = []int32{}
	}
	return respond(x, openai.TokenizeResponse{Count: len(tokens), MaxModelLen: model.ContextLength, Tokens: tokens})
}

// tokenizeText also reads control tokens in a text, if the client asks for it and the backend can do it.
func tokenizeText(b llm.Backend, text string, addSpecial, parse bool) ([]int32, error) {
	if !parse {
		return b.Tokenize(text, addSpecial)
	}
	special, ok := b.(interface {
		TokenizeSpecial(text string, addSpecial bool) ([]int32, error)
	})
	if !ok {
		return nil, body.Bad("parse_special", "the servers behind this one are not asked for it")
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
	if v := o.Raw("tokens"); v == nil {
		o.Fail("tokens", "is missing")
	} else if string(v) != "[]" {
		list = ids(o, "tokens", v)
	}
	s.unknown(o)
	if o.Err != nil {
		return o.Err
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
	name, _ := o.Text("model")
	if o.Err != nil {
		return nil, llm.Model{}, nil, o.Err
	}
	model, err := s.lookup(b, name)
	return of(b, model), model, o, err
}

// of returns the backend that tokenises for a model.
func of(b llm.Backend, model llm.Model) llm.Backend {
	if many, ok := b.(interface {
		Of(model string) llm.Backend
	}); ok {
		return many.Of(model.ID)
	}
	return b
}
