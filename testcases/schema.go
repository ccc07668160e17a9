package testcases

import (
	"encoding/json"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"
)

// Schema returns the JSON Schema of a case file, for editors and other programs. It does not check conditions on more
// than one field, such as that a check names an existing phase; Validate does.
func Schema() ([]byte, error) {
	s, err := jsonschema.For[Case](nil)
	if err != nil {
		return nil, err
	}
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "mixtral certification test case"
	s.Required = []string{"schema_version", "id"}
	whole := []string{"name", "targets", "profiles"}
	s.AnyOf = []*jsonschema.Schema{{Required: []string{"extends"}}, {Required: append(whole, "checks")},
		{Required: append(whole, "slo")}}
	version := any(SchemaVersion)
	s.Properties["schema_version"].Const = &version
	s.Properties["id"].Pattern = idForm.String()
	for _, section := range []string{"environment", "targets", "limits", "request"} {
		s.Properties[section].Required = nil
		for _, field := range s.Properties[section].Properties {
			if field.Type == "number" || field.Type == "integer" {
				field.Minimum = new(float64)
			}
		}
	}
	phases := s.Properties["profiles"].AdditionalProperties
	notNull(phases)
	phase := phases.Items
	phase.Required = []string{"id", "kind"}
	phase.Properties["id"].Pattern = idForm.String()
	phase.Properties["kind"].Enum = anys(kinds)
	phase.Properties["arrivals"].Enum = anys(arrivals)
	traffic := phase.Properties["traffic"]
	traffic.Required = nil
	traffic.Properties["format"].Enum = anys(formats)
	for _, name := range []string{"input", "output", "turns", "think_s"} {
		d := traffic.Properties[name]
		d.Required = []string{"shape"}
		d.Properties["shape"].Enum = anys(shapes)
	}
	sweep := phase.Properties["sweep"]
	sweep.Required = []string{"over", "from", "to"}
	sweep.Properties["over"].Enum = anys(sweepOvers)
	phase.Properties["stages"].Items.Required = []string{"duration_s", "rps"}
	notNull(s.Properties["checks"])
	check := s.Properties["checks"].Items
	check.Required = []string{"id", "clause", "rule"}
	check.Properties["id"].Pattern = idForm.String()
	check.Properties["rule"].Enum = anys(ruleNames())
	describe(s, reflect.TypeFor[Case]())
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

// describe adds the comments of a struct's fields to its schema.
func describe(s *jsonschema.Schema, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := s.Properties[yamlName(f)]
		if at == nil {
			continue
		}
		at.Description = comments()[t.Name()+"."+f.Name]
		inner, sub := f.Type, at
		for sub != nil && inner.Kind() != reflect.Struct {
			switch inner.Kind() {
			case reflect.Pointer:
				inner = inner.Elem()
			case reflect.Slice:
				inner, sub = inner.Elem(), sub.Items
			case reflect.Map:
				inner, sub = inner.Elem(), sub.AdditionalProperties
			default:
				sub = nil
			}
		}
		if sub != nil {
			describe(sub, inner)
		}
	}
}

// notNull forbids null, which jsonschema.For allows for a slice.
func notNull(s *jsonschema.Schema) { s.Type, s.Types = "array", nil }

func anys[S ~string](list []S) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
