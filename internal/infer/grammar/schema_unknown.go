package grammar

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/hxp-enterprise/mixtral/internal/base/spell"
)

// Keywords that say nothing about whether a value is valid, in JSON Schema or OpenAPI, or that others look up.
var silent = map[string]bool{
	"$schema": true, "$id": true, "$comment": true, "$defs": true, "definitions": true, "$anchor": true,
	"$dynamicAnchor": true, "$recursiveAnchor": true,
	"$vocabulary": true, "id": true, "title": true, "description": true, "default": true, "example": true,
	"examples": true, "deprecated": true, "readOnly": true, "writeOnly": true, "contentEncoding": true,
	"contentMediaType": true, "contentSchema": true, "externalDocs": true, "xml": true, "discriminator": true,
	// read by expand
	"$ref": true, "$dynamicRef": true, "$recursiveRef": true,
	"allOf": true, "anyOf": true, "oneOf": true, "dependentRequired": true, "dependentSchemas": true,
	"dependencies": true, "not": true, "if": true, "then": true, "else": true,
	// read together with others
	"nullable": true, "additionalItems": true, "unevaluatedProperties": true, "unevaluatedItems": true,
	"contains": true, "minContains": true, "maxContains": true,
}

// unknown judges a keyword that neither JSON Schema nor OpenAPI has. JSON Schema takes it for an annotation, which
// says nothing about whether a value is valid (draft 2020-12, Core, 6.5), and so does this. But some keywords are
// demands all the same: those of other vocabularies, what holds a schema, and misspelt ones. These are not passed over
// in silence.
func (s *schemas) unknown(l located, m member) error {
	other, ok := foreign[m.name]
	meant := s.meant(m.name)
	switch {
	case strings.HasPrefix(m.name, "x-"):
		return nil
	case ok && other.takes&m.value.kind != 0 && other.instead == "":
		return l.fail(m.name, "this keyword of another vocabulary is not supported")
	case ok && other.takes&m.value.kind != 0:
		return l.fail(m.name, "this keyword of another vocabulary is not supported; use %s", other.instead)
	case meant != "" && demands[meant]&m.value.kind != 0,
		meant == "$ref" && m.value.kind == kindString && strings.HasPrefix(m.value.text, "#"):
		return l.fail(m.name, "unknown keyword; did you mean %q?", meant)
	case strings.HasPrefix(m.name, "$"): // Core, 8: these names are JSON Schema's own
		return l.fail(m.name, "unknown keyword")
	case holdsSchema(m.value):
		return l.fail(m.name, "unknown keyword with a schema in it; members of objects belong into \"properties\"")
	}
	return nil
}

// holdsSchema tells what is a schema rather than somebody's data.
func holdsSchema(v *value) bool {
	if v.kind != kindObject {
		return false
	}
	if ref := v.get("$ref"); ref != nil && ref.kind == kindString {
		return true
	}
	if props := v.get("properties"); props != nil && props.kind == kindObject {
		return true
	}
	typ := v.get("type")
	return typ != nil && typ.kind == kindString && kindNames[typ.text] != 0
}

// meant gives the keyword that a misspelt one most likely means; nothing where it looks like none.
func (s *schemas) meant(name string) string {
	if near, ok := s.slips[name]; ok {
		return near
	}
	near := nearestDemand(name)
	s.slips[name] = near
	return near
}

func nearestDemand(name string) string {
	word := fold(name)
	if innocent[name] {
		return ""
	}
	if singular, ok := strings.CutSuffix(word, "y"); ok && folded[singular+"ies"] != "" {
		return folded[singular+"ies"]
	}
	near := spell.Nearest(word, demandWords)
	if len(word) < 5 && !(len(near) >= 4 && len(near) != len(word)) && !sameLetters(word, near) {
		return "" // one letter in the place of another makes a new word of a short one
	}
	return folded[near]
}

// fold writes a keyword in the one way in which all spellings of its words are the same.
func fold(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return r
	}, name[:min(len(name), 64)]))
}

func sameLetters(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return bytes.Equal(x, y)
}

// demand is a keyword of another vocabulary that restricts values.
type demand struct {
	takes   kind   // the types of its value; with others it is somebody's annotation
	instead string // what says the same here; empty: nothing
}

const (
	kindSchema = kindObject | kindBool
	kindText   = kindString
)

// foreign are demands of older drafts, of Ajv and its plugins, of JSON Type Definition, TypeBox and MongoDB, and names
// that other languages have for demands of JSON Schema.
var foreign = map[string]demand{
	"disallow": {kindText | kindArray, "not"}, "extends": {kindObject | kindArray, "allOf"},
	"divisibleBy": {kindNumber, "multipleOf"}, "maxDecimal": {kindNumber, "multipleOf"},
	"minimumCanEqual": {kindBool, "exclusiveMinimum"}, "maximumCanEqual": {kindBool, "exclusiveMaximum"},
	"optional": {kindBool, "required"}, "requires": {kindText | kindObject | kindArray, "dependentRequired"},

	"constant": {kindAny, "const"}, "switch": {kindArray, "if"}, "patternGroups": {kindObject, "patternProperties"},
	"formatMinimum": {kindText, ""}, "formatMaximum": {kindText, ""}, "formatExclusiveMinimum": {kindText, ""},
	"formatExclusiveMaximum": {kindText, ""}, "range": {kindArray, "minimum and maximum"},
	"exclusiveRange": {kindArray | kindBool, "exclusiveMinimum and exclusiveMaximum"},
	"regexp":         {kindText | kindObject, "pattern"}, "typeof": {kindText | kindArray, "type"},
	"instanceof": {kindText | kindArray, "type"}, "instanceOf": {kindText, "type"},
	"uniqueItemProperties": {kindArray, ""}, "allRequired": {kindBool, "required"},
	"anyRequired": {kindArray, "anyOf"}, "oneRequired": {kindArray, "oneOf"}, "patternRequired": {kindArray, ""},
	"prohibited": {kindArray, "properties with false"}, "deepProperties": {kindObject, "properties"},
	"deepRequired": {kindArray, "required"}, "select": {kindObject, "oneOf"}, "selectCases": {kindObject, "oneOf"},
	"selectDefault": {kindSchema, "oneOf"}, "propertyDependencies": {kindObject, "if"},

	"optionalProperties": {kindObject, "properties"}, "elements": {kindObject, "items"},
	"values": {kindObject, "additionalProperties"}, "bsonType": {kindText | kindArray, "type"},
	"minByteLength": {kindNumber, ""}, "maxByteLength": {kindNumber, ""}, "minimumTimestamp": {kindNumber, ""},
	"maximumTimestamp": {kindNumber, ""}, "exclusiveMinimumTimestamp": {kindNumber, ""},
	"exclusiveMaximumTimestamp": {kindNumber, ""}, "multipleOfTimestamp": {kindNumber, ""},

	"min": {kindNumber, "minimum"}, "max": {kindNumber, "maximum"}, "minValue": {kindNumber, "minimum"},
	"maxValue": {kindNumber, "maximum"}, "minLen": {kindNumber, "minLength"}, "maxLen": {kindNumber, "maxLength"},
	"minSize": {kindNumber, "minItems or minLength"}, "maxSize": {kindNumber, "maxItems or maxLength"},
	"length": {kindNumber, "minLength and maxLength"}, "regex": {kindText, "pattern"},
	"choices": {kindArray, "enum"},
}

// demands are the keywords that a misspelt one may mean, with the types of their values.
var demands = map[string]kind{
	"type": kindText | kindArray, "enum": kindArray, "const": kindAny, "pattern": kindText, "format": kindText,
	"minLength": kindNumber, "maxLength": kindNumber, "minimum": kindNumber, "maximum": kindNumber,
	"exclusiveMinimum": kindNumber | kindBool, "exclusiveMaximum": kindNumber | kindBool, "multipleOf": kindNumber,
	"items": kindSchema | kindArray, "prefixItems": kindArray, "additionalItems": kindSchema, "contains": kindSchema,
	"minContains": kindNumber, "maxContains": kindNumber, "uniqueItems": kindBool, "unevaluatedItems": kindSchema,
	"minItems": kindNumber, "maxItems": kindNumber, "properties": kindObject, "required": kindArray | kindBool,
	"additionalProperties": kindSchema, "patternProperties": kindObject, "propertyNames": kindSchema,
	"minProperties": kindNumber, "maxProperties": kindNumber, "unevaluatedProperties": kindSchema,
	"dependentRequired": kindObject, "dependentSchemas": kindObject, "dependencies": kindObject,
	"allOf": kindArray, "anyOf": kindArray, "oneOf": kindArray, "not": kindSchema, "if": kindSchema,
	"then": kindSchema, "else": kindSchema, "nullable": kindBool, "$ref": 0,
}

// folded has them by what fold makes of them, and demandWords are these words in order.
var folded, demandWords = func() (map[string]string, []string) {
	m := map[string]string{"ref": "$ref"}
	for name := range demands {
		m[fold(name)] = name
	}
	return m, slices.Sorted(maps.Keys(m))
}()

// innocent are words that people use for annotations and that look like slips of keywords.
var innocent = map[string]bool{"cost": true, "coast": true, "consent": true, "formal": true, "former": true,
	"normal": true, "formatter": true, "formatted": true, "minHeight": true, "maxHeight": true, "minimal": true,
	"maximal": true, "typed": true, "tsType": true}
