package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// maxChoiceTexts bounds the texts of guided_choice.
const maxChoiceTexts = 10_000

// grammar reads the fields that constrain an answer: OpenAI's response_format, vLLM's structured_outputs and guided_*,
// llama.cpp's json_schema and grammar. At most one of them may ask for something.
func grammar(o *object) *llm.Grammar {
	var found []*llm.Grammar
	add := func(g *llm.Grammar) {
		if g != nil && !slices.ContainsFunc(found, func(f *llm.Grammar) bool { return sameForm(f, g) }) {
			found = append(found, g)
		}
	}
	add(responseFormat(o))
	add(schemaOf(o, "guided_json"))
	add(sourceOf(o, "guided_regex", llm.GrammarRegex))
	add(choicesOf(o, "guided_choice"))
	add(sourceOf(o, "guided_grammar", llm.GrammarEBNF))
	add(schemaOf(o, "json_schema"))
	add(sourceOf(o, "grammar", llm.GrammarGBNF))
	if v := o.Raw("structured_outputs"); v != nil {
		for _, g := range structured(o, v) {
			add(g)
		}
	}
	if len(found) > 1 {
		o.Fail(found[1].Field, "cannot be combined with %s: an answer has one form", found[0].Field)
	}
	if o.Err != nil || len(found) == 0 {
		return nil
	}
	return found[0]
}

// sameForm says whether two fields ask for the same: some clients send vLLM's older name beside the newer one.
func sameForm(a, b *llm.Grammar) bool {
	return a.Kind == b.Kind && a.Source == b.Source && slices.Equal(a.Choices, b.Choices)
}

// responseFormat reads {"type": "text" | "json_object" | "json_schema", …}. With json_object, llama.cpp accepts a
// schema beside the type.
func responseFormat(o *object) *llm.Grammar {
	v := o.Raw("response_format")
	if v == nil {
		return nil
	}
	f := o.Child("response_format", v)
	defer func() { o.Adopt(f) }()
	if len(f.Fields) == 0 {
		return nil
	}
	f.Know("schema", "json_schema")
	switch typ, ok := f.Text("type"); {
	case typ == "text":
		return nil
	case typ == "json_object":
		if g := schemaOf(f, "schema"); g != nil {
			return g
		}
		return &llm.Grammar{Kind: llm.GrammarJSON, Field: o.Name("response_format")}
	case typ == "json_schema":
		inner := f.Raw("json_schema")
		if inner == nil {
			if g := schemaOf(f, "schema"); g != nil { // llama.cpp and others accept it here
				return g
			}
			f.Fail("json_schema", "is missing")
			return nil
		}
		c := f.Child("json_schema", inner)
		defer func() { f.Adopt(c) }()
		c.Know("name", "description", "strict")
		if g := schemaOf(c, "schema"); g != nil {
			return g
		}
		c.Fail("schema", "is missing")
	case !ok:
		f.Fail("type", "is missing")
	default:
		f.Fail("type", "must be text, json_object or json_schema")
	}
	return nil
}

// structuredFields are those of vLLM's structured_outputs that say how to compute the answer. The engine always limits
// white space in JSON, and always generates only the members that a schema names.
var structuredFields = []string{"disable_fallback", "disable_any_whitespace", "disable_additional_properties"}

func structured(o *object, v json.RawMessage) []*llm.Grammar {
	c := o.Child("structured_outputs", v)
	defer func() { o.Adopt(c) }()
	c.Know(structuredFields...)
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		nothing := slices.Contains(structuredFields, name) || c.Raw(name) == nil || string(c.Raw(name)) == "false"
		if !nothing && !slices.Contains([]string{"json", "regex", "choice", "grammar", "json_object"}, name) {
			o.Err = &httpError{status: http.StatusBadRequest, typ: typeInvalid, code: "unsupported_parameter",
				param: "structured_outputs", quotes: true, message: fmt.Sprintf(
					"structured_outputs: %q is not supported by this service", body.Short(name))}
			return nil
		}
	}
	list := []*llm.Grammar{schemaOf(c, "json"), sourceOf(c, "regex", llm.GrammarRegex), choicesOf(c, "choice"),
		sourceOf(c, "grammar", llm.GrammarEBNF)}
	if c.Flag("json_object") {
		list = append(list, &llm.Grammar{Kind: llm.GrammarJSON, Field: c.Name("json_object")})
	}
	return list
}

// schemaOf reads a JSON Schema: as JSON, or as a text that contains JSON.
func schemaOf(o *object, field string) *llm.Grammar {
	v := o.Raw(field)
	if v == nil {
		return nil
	}
	source := string(v)
	switch body.Kind(v) {
	case "a string":
		source, _ = o.Text(field)
		if source == "" {
			return nil
		}
	case "an object", "a boolean":
	default:
		o.Fail(field, "must be a JSON Schema, got %s", body.Kind(v))
		return nil
	}
	return &llm.Grammar{Kind: llm.GrammarSchema, Source: source, Field: o.Name(field)}
}

func sourceOf(o *object, field string, kind llm.GrammarKind) *llm.Grammar {
	source, _ := o.Text(field)
	if source == "" {
		return nil
	}
	return &llm.Grammar{Kind: kind, Source: source, Field: o.Name(field)}
}

func choicesOf(o *object, field string) *llm.Grammar {
	items, ok := o.List(field, maxChoiceTexts)
	if !ok || len(items) == 0 {
		return nil
	}
	g := &llm.Grammar{Kind: llm.GrammarChoice, Field: o.Name(field)}
	for i, item := range items {
		var s string
		if json.Unmarshal(item, &s) != nil || body.Kind(item) != "a string" {
			o.Fail(fmt.Sprintf("%s[%d]", field, i), "must be a string, got %s", body.Kind(item))
		}
		g.Choices = append(g.Choices, strings.Clone(s))
	}
	return g
}
