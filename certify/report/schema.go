package report

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/hxp-enterprise/mixtral/internal/base/plainjson"
)

//go:embed report.schema.json
var schemaJSON []byte

// Schema returns the published JSON Schema of a report. It allows unknown keys, because keys may be added within a
// schema_version.
func Schema() []byte { return schemaJSON }

// inferSchema derives the schema from the types. A test compares it with the published file.
func inferSchema() ([]byte, error) {
	s, err := jsonschema.For[Report](nil)
	if err != nil {
		return nil, fmt.Errorf("report: schema: %w", err)
	}
	open(s)
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.Title = "mixtral certification report"
	version := any(SchemaVersion)
	s.Properties["schema_version"].Const = &version
	s.Properties["status"].Enum = []any{Pass, Fail, Invalid}
	for _, list := range []string{"checks", "reconciliation"} {
		s.Properties[list].Items.Properties["verdict"].Enum = []any{Pass, Fail, Invalid, Info}
	}
	// an empty list is written as [], never as null
	for _, list := range []string{"preconditions", "checks", "phases", "reconciliation"} {
		s.Properties[list].Type, s.Properties[list].Types = "array", nil
	}
	data, err := json.MarshalIndent(s, "", "  ")
	return append(data, '\n'), err
}

// open allows unknown keys at every depth. The values of maps keep their schema.
func open(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	if len(s.Properties) > 0 {
		s.AdditionalProperties = nil
	}
	for _, p := range s.Properties {
		open(p)
	}
	open(s.Items)
	open(s.AdditionalProperties)
}

// Validate checks a report's JSON against the published schema. Violations match ErrFormat.
func Validate(data []byte) error {
	var s jsonschema.Schema
	if err := json.Unmarshal(schemaJSON, &s); err != nil {
		return fmt.Errorf("report: schema: %w", err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return fmt.Errorf("report: schema: %w", err)
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("report: %w: %w", ErrFormat, plainjson.At(data, err))
	}
	if err := resolved.Validate(doc); err != nil {
		return fmt.Errorf("report: %w: %w", ErrFormat, err)
	}
	return nil
}
