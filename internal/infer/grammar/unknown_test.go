package grammar

import (
	"fmt"
	"strings"
	"testing"
)

// TestAnnotations: what no vocabulary knows as a demand says nothing, wherever it stands and whatever its value.
func TestAnnotations(t *testing.T) {
	for _, member := range []string{
		`"$comment":"x"`, `"deprecated":true`, `"readOnly":true`, `"writeOnly":false`, `"example":7`,
		`"examples":[1,{"type":"x"}]`, `"title":"T"`, `"contentMediaType":"text/html"`,
		`"externalDocs":{"url":"https://a/b"}`, `"xml":{"name":"n","attribute":true}`,
		`"discriminator":{"propertyName":"kind","mapping":{"a":"#/x"}}`,
		`"x-order":3`, `"x-ms-enum":{"name":"Sort","modelAsString":true}`, `"x-kubernetes-group-version-kind":[]`,
		`"ui:widget":"textarea"`, `"ui:options":{"rows":5}`, `"ui:order":["a","*"]`, `"enumNames":["One","Two"]`,
		`"enumDescriptions":["a"]`, `"markdownDescription":"*x*"`, `"markdownEnumDescriptions":[]`,
		`"defaultSnippets":[{"body":{"a":1}}]`, `"doNotSuggest":true`, `"patternErrorMessage":"no"`,
		`"deprecationMessage":"old"`, `"errorMessage":{"type":"must be text"}`, `"propertyOrder":2`,
		`"propertyOrdering":["a","b"]`, `"tsType":"Date"`, `"javaType":"java.util.UUID"`, `"strict":true`,
		`"unit":"ms"`, `"units":"kg"`, `"hint":"how"`, `"label":"L"`, `"placeholder":"…"`, `"order":1`, `"group":"g"`,
		`"note":"n"`, `"notes":["n"]`, `"cost":3`, `"currency":"EUR"`, `"precision":2`, `"sensitive":true`,
		`"container":"div"`, `"formatter":"money"`, `"multiple":true`, `"minHeight":40`, `"maxRows":4`, `"rows":4`,
		`"when":"always"`, `"else_":"x"`, `"ref":"User"`, `"defs":{"a":1}`, `"tags":["a"]`, `"kind":"row"`,
		`"source":"db.table"`, `"owner":{"name":"a","id":"7"}`, `"metadata":{"id":"#frag","type":"column"}`,
		`"options":{"hidden":true}`, `"values":["a"]`, `"range":"0..1"`, `"min":"today"`, `"length":"short"`,
		`"optional":"maybe"`, `"__absolute_uri__":"a"`, `"faker":"name.firstName"`, `"chance":{"integer":{"min":1}}`,
		`"primaryKey":true`, `"index":false`, `"unique":"x"`, `"prompt":"Ask for it"`, `"llm:priority":0.5`,
		`"` + strings.Repeat("long", 9000) + `":1`, `"é":1`, `"":0`,
	} {
		for _, schema := range []string{
			`{"type":"object","properties":{"a":{"enum":[1]}},"required":["a"],%s}`,
			`{"type":"object","properties":{"a":{"enum":[1],%s}},"required":["a"]}`,
			`{"$ref":"#/$defs/o","$defs":{"o":{"properties":{"a":{"const":1}},"required":["a"],%s}}}`,
			`{"type":"object","properties":{"a":{"type":"integer","minimum":1,"not":{"minimum":2,%s}}},"required":["a"]}`,
		} {
			schema = fmt.Sprintf(schema, member)
			v, _ := vocabulary(t, 300)
			g, err := Compile(Spec{Kind: JSONSchema, Source: schema}, v)
			if err != nil {
				t.Errorf("%.200s: %v", schema, err)
				break
			}
			if !accepts(t, g, `{"a":1}`) || accepts(t, g, `{"a":2}`) {
				t.Errorf("%.200s means something else", schema)
			}
		}
	}
}

// TestDemands: what restricts values somewhere, or looks like a slip of what does, is not passed over.
func TestDemands(t *testing.T) {
	const slip = "unknown keyword; did you mean %q?"
	for member, want := range map[string]string{
		`"maxLenght":3`: "maxLength", `"max_length":3`: "maxLength", `"MaxLength":3`: "maxLength",
		`"minlength":3`: "minLength", `"tpye":"string"`: "type", `"typ":"string"`: "type", `"types":["string"]`: "type",
		`"enums":["a"]`: "enum", `"enmu":["a"]`: "enum", `"requried":["a"]`: "required", `"require":["a"]`: "required",
		`"required_":["a"]`: "required", `"propertys":{"a":{}}`: "properties", `"property":{"a":{}}`: "properties",
		`"Properties":{"a":{}}`: "properties", `"additional_properties":false`: "additionalProperties",
		`"additionalProperty":false`: "additionalProperties", `"additionnalProperties":false`: "additionalProperties",
		`"item":{"enum":[1]}`: "items", `"any_of":[{}]`: "anyOf", `"anyof":[{}]`: "anyOf", `"all-of":[{}]`: "allOf",
		`"oneof":[{}]`: "oneOf", `"patern":"a"`: "pattern", `"patterns":"a"`: "pattern", `"formatt":"date"`: "format",
		`"minimun":1`: "minimum", `"maxItem":1`: "maxItems", `"uniqueItem":true`: "uniqueItems",
		`"unique_items":true`: "uniqueItems", `"multipleof":2`: "multipleOf", `"contain":{}`: "contains",
		`"exclusiveMinumum":1`: "exclusiveMinimum", `"nulable":false`: "nullable", `"patternProperty":{}`: "patternProperties",
		`"ref":"#/$defs/a"`: "$ref", `"$reff":"#/$defs/a"`: "$ref", `"tehn":{}`: "then", `"dependency":{}`: "dependencies",
	} {
		name, _, _ := strings.Cut(strings.TrimPrefix(member, `"`), `"`)
		refuses(t, member, "#/"+name+": "+fmt.Sprintf(slip, want))
	}
	for member, want := range map[string]string{
		`"divisibleBy":2`: "use multipleOf", `"disallow":"string"`: "use not", `"extends":{}`: "use allOf",
		`"optional":true`: "use required", `"bsonType":"int"`: "use type", `"range":[1,2]`: "use minimum and maximum",
		`"formatMinimum":"2024-01-01"`: "is not supported", `"regexp":"/a/i"`: "use pattern", `"regex":"a"`: "use pattern",
		`"instanceof":"Date"`: "use type", `"prohibited":["a"]`: "use properties with false", `"switch":[]`: "use if",
		`"optionalProperties":{}`: "use properties", `"elements":{}`: "use items", `"values":{}`: "use additionalProperties",
		`"min":1`: "use minimum", `"max":1`: "use maximum", `"length":3`: "use minLength and maxLength",
		`"maxValue":1`: "use maximum", `"choices":["a"]`: "use enum", `"constant":1`: "use const",
		`"$data":"1/a"`: "unknown keyword", `"$merge":{}`: "unknown keyword",
		`"age":{"type":"integer"}`:    `unknown keyword with a schema in it; members of objects belong into "properties"`,
		`"keys":{"$ref":"#/$defs/a"}`: "unknown keyword with a schema in it", `"body":{"properties":{}}`: "a schema in it",
	} {
		refuses(t, member, want)
	}
}

// refuses checks that a schema with a member is refused, at each depth, also where it is negated.
func refuses(t *testing.T, member, want string) {
	t.Helper()
	for _, schema := range []string{`{%s}`, `{"properties":{"p":{%s}}}`, `{"not":{"required":["a"],%s}}`} {
		err := Check(Spec{Kind: JSONSchema, Source: fmt.Sprintf(schema, member)})
		if suffix := want[strings.Index(want, ":")+1:]; err == nil || !strings.Contains(err.Error(), suffix) ||
			schema == `{%s}` && !strings.Contains(err.Error(), want) {
			t.Errorf(schema+": %v, want %s", member, err, want)
		}
	}
}
