package grammar

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/hxp-enterprise/mixtral/internal/infer/grammar/grammartest"
)

// validator gives Google's validator for a schema.
func validator(t testing.TB, schema string) *jsonschema.Resolved {
	t.Helper()
	var s jsonschema.Schema
	if err := json.Unmarshal([]byte(schema), &s); err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	r, err := s.Resolve(nil)
	if err != nil {
		t.Fatalf("%s: %v", schema, err)
	}
	return r
}

// isValid checks a text with a validator that knows nothing of this package.
func isValid(r *jsonschema.Resolved, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("is not valid UTF-8")
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return r.Validate(v)
}

// TestSchemaTexts: texts that a schema must have, and such as it must not.
func TestSchemaTexts(t *testing.T) {
	v, _ := vocabulary(t, 600)
	for _, test := range []struct {
		schema   string
		yes, not []string
	}{
		{`true`, []string{`null`, `{"a": [1, 2.5, "x"], "b": {}}`, `"\u00e9\ud83d\ude00"`, `[]`, `-1.5e+10`},
			[]string{``, `nul`, `"\ud83d"`, `"\ude00"`, `01`, `[1,]`, `{"a"}`, "\"\n\"", `"\x"`, ` 1`, `1 `}},
		{`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"]}`,
			[]string{`{"a":1}`, `{"a": 1, "b": "x"}`, "{\n  \"a\": 1,\n  \"b\": \"\"\n}"},
			[]string{`{}`, `{"b":"x"}`, `{"b":"x","a":1}`, `{"a":1,"c":2}`, `{"a":1.5}`, `{"a":1,}`}},
		{`{"type":"object","title":null,"enum":null,"properties":{"a":{"const":null,"items":null}},"required":["a"]}`,
			[]string{`{"a":null}`}, []string{`{}`, `null`, `{"a":1}`}},
		{`{"$id":"http://x.org/a","$ref":"b#/properties/c","$defs":{"d":{"$id":"b","properties":{"c":{"type":"boolean"}}}}}`,
			[]string{`true`}, []string{`{}`, `1`}},
		{`{"$id":"urn:T","type":"object","properties":{"k":{"type":"array","items":{"$ref":"urn:T"}}},"required":["k"]}`,
			[]string{`{"k":[{"k":[]}]}`}, []string{`{"k":[{}]}`, `{"k":[1]}`}},
		{`{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"dependencies":{"a":["b"]}}`,
			[]string{`{}`, `{"b":null}`, `{"a":null,"b":null}`}, []string{`{"a":null}`}},
		{`{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"integer"}},
			"dependentSchemas":{"a":{"required":["b"],"properties":{"b":{"minimum":5}}}}}`,
			[]string{`{}`, `{"b":1}`, `{"a":null,"b":5}`}, []string{`{"a":null}`, `{"a":null,"b":1}`}},
		{`{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},
			"oneOf":[{"required":["a"]},{"required":["b"]}]}`,
			[]string{`{"a":null}`, `{"b":null}`}, []string{`{}`, `{"a":null,"b":null}`}},
		{`{"oneOf":[{"type":"integer","minimum":5},{"type":"integer","maximum":7}]}`,
			[]string{`4`, `8`}, []string{`5`, `6`, `7`}},
		{`{"type":"object","properties":{"a":{"type":"null"}},"not":{"required":["b"],"properties":{"b":{"type":"null"}}},
			"unevaluatedProperties":false}`, []string{`{}`, `{"a":null}`}, []string{`{"b":1}`, `{"b":null}`}},
		{`{"allOf":[{"properties":{"a":{"const":1}}},{"$ref":"#/$defs/b"}],"unevaluatedProperties":false,
			"$defs":{"b":{"properties":{"b":{"const":2}},"required":["b"]}}}`,
			[]string{`{"b":2}`, `{"a":1,"b":2}`}, []string{`{}`, `{"b":2,"c":3}`, `{"a":2,"b":2}`}},
		{`{"allOf":[{"properties":{"a":true}},{"properties":{"b":true},"unevaluatedProperties":false}]}`,
			[]string{`{}`, `{"b":2}`}, []string{`{"a":1}`, `{"a":1,"b":2}`}},
		{`{"oneOf":[{"$ref":"#/$defs/cat"},{"$ref":"#/$defs/dog"}],"$defs":{
			"pet":{"properties":{"name":{"const":"x"}},"required":["name"]},
			"cat":{"allOf":[{"$ref":"#/$defs/pet"},{"properties":{"is":{"const":"cat"}},"required":["is"]}],
				"unevaluatedProperties":false},
			"dog":{"$ref":"#/$defs/pet","properties":{"is":{"const":"dog"},"barks":{"type":"boolean"}},
				"required":["is"],"unevaluatedProperties":false}}}`,
			[]string{`{"name":"x","is":"cat"}`, `{"is":"dog","barks":true,"name":"x"}`},
			[]string{`{"name":"x"}`, `{"name":"x","is":"cat","barks":true}`, `{"is":"cat"}`, `{"name":"x","is":"dog","z":1}`}},
		{`{"properties":{"p":{"anyOf":[{"properties":{"a":{"const":1}},"required":["a"]},{"type":"null"}],
			"unevaluatedProperties":false}},"required":["p"]}`,
			[]string{`{"p":{"a":1}}`, `{"p":null}`}, []string{`{"p":{"a":1,"b":2}}`, `{"p":{}}`}},
		{`{"properties":{"a":{"const":1}},"unevaluatedProperties":{"type":"null"}}`,
			[]string{`{"a":1}`, `{"a":1,"b":null}`}, []string{`{"b":1}`, `{"a":null}`}},
		{`{"allOf":[{"patternProperties":{"^p":{"const":1}}}],"unevaluatedProperties":false}`,
			[]string{`{}`, `{"p":1}`}, []string{`{"q":1}`, `{"p":2}`}},
		{`{"allOf":[{"additionalProperties":{"const":1}}],"unevaluatedProperties":false}`,
			[]string{`{}`, `{"q":1}`}, []string{`{"q":2}`}},
		{`{"not":{"properties":{"a":{"const":2}},"required":["a"]},"properties":{"b":true},
			"unevaluatedProperties":false}`, []string{`{}`, `{"b":1}`}, []string{`{"a":1}`, `{"a":2}`}},
		{`{"if":{"properties":{"a":{"const":1}},"required":["a"]},"then":{"properties":{"b":{"const":2}}},
			"else":{"properties":{"c":{"const":3}}},"unevaluatedProperties":false,"type":"object"}`,
			[]string{`{}`, `{"a":1}`, `{"a":1,"b":2}`, `{"c":3}`}, []string{`{"a":2}`, `{"a":1,"c":3}`, `{"b":2}`}},
		{`{"dependentSchemas":{"a":{"properties":{"b":{"const":2}}}},"properties":{"a":{"const":1}},
			"unevaluatedProperties":false}`, []string{`{}`, `{"a":1}`, `{"a":1,"b":2}`}, []string{`{"b":2}`}},
		{`{"type":"array","allOf":[{"prefixItems":[{"const":1}]}],"unevaluatedItems":false}`,
			[]string{`[]`, `[1]`}, []string{`[1,1]`, `[2]`}},
		{`{"$ref":"#/$defs/pair","unevaluatedItems":{"const":3},"$defs":{"pair":{"prefixItems":[{"const":1}]}}}`,
			[]string{`[1]`, `[1,3,3]`}, []string{`[1,1]`}},
		{`{"type":"array","prefixItems":[{"const":1}],"contains":{"type":"boolean"},"unevaluatedItems":false}`,
			[]string{`[1,true]`}, []string{`[]`, `[1]`, `[1,2]`, `[true]`}},
		{`{"type":"array","allOf":[{"contains":{"const":1}},{"items":{"type":"integer"}}],"unevaluatedItems":false}`,
			[]string{`[1]`, `[1,2]`}, []string{`[]`, `[true]`}},
		{`{"type":"array","contains":{"const":1},"minContains":2,"unevaluatedItems":{"type":"null"}}`,
			[]string{`[1,1]`, `[1,1,null]`}, []string{`[1,null]`, `[1,1,true]`}},
		{`{"type":"array","items":{"type":"integer","minimum":1,"maximum":3},"uniqueItems":true}`,
			[]string{`[]`, `[3,1,2]`}, []string{`[1,1]`, `[1,2,1]`, `[4]`}},
		{`{"type":"array","items":{"type":["integer","null"],"exclusiveMinimum":0,"maximum":900},"uniqueItems":true}`,
			[]string{`[1,2,900]`, `[7,null]`}, []string{`[7,7]`, `[null,null]`, `[0]`}},
		{`{"$id":"https://a/tree","$dynamicAnchor":"node","type":"object","properties":{"kid":{"$dynamicRef":"#node"},
			"n":{"const":1}},"required":["n"],"additionalProperties":false}`,
			[]string{`{"n":1}`, `{"kid":{"n":1},"n":1}`}, []string{`{"kid":{},"n":1}`, `{"kid":{"n":2},"n":1}`}},
		{`{"$recursiveAnchor":true,"type":"object","properties":{"kid":{"$recursiveRef":"#"},"n":{"const":1}},
			"required":["n"],"additionalProperties":false}`,
			[]string{`{"kid":{"n":1},"n":1}`}, []string{`{"kid":{},"n":1}`}},
		{`{"$dynamicRef":"#a","$defs":{"x":{"$anchor":"a","const":1},"y":{"$dynamicAnchor":"b"},"z":{"$id":"https://a/z","$dynamicAnchor":"b"}}}`,
			[]string{`1`}, []string{`2`}},
		{`{"type":"string","format":"uri","minLength":1,"maxLength":2083}`, []string{`"https://a.b/c?d=e#f"`}, []string{`""`, `"a"`}},
		{`{"type":"string","format":"uri","maxLength":11}`, []string{`"http://a.bc"`}, []string{`"http://a.bcd"`}},
		{`{"type":"string","format":"ulid-like","pattern":"^[0-9]{3}$"}`, []string{`"123"`}, []string{`"12"`}},
		{`{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":{"type":"integer"}}`,
			[]string{`{}`, `{"a":null}`, `{"a":null,"b":1}`, `{"bb":1,"c":2}`, `{"":1}`, `{"aa":1}`},
			[]string{`{"a":1}`, `{"b":null}`}},
		{`{"type":["string","null"],"maxLength":3,"minLength":2}`, []string{`null`, `"ab"`, `"日本語"`, `"\n\u00e9"`},
			[]string{`"a"`, `"abcd"`, `1`}},
		{`{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":3}`,
			[]string{`[true]`, `[true, false,true]`},
			[]string{`[]`, `[true,true,true,true]`, `[1]`}},
		{`{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false}`,
			[]string{`[]`, `[1]`, `[1,"x"]`}, []string{`["x"]`, `[1,"x",2]`}},
		{`{"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2}`,
			[]string{`[1,null]`, `[1,null,null]`}, []string{`[1]`, `[]`}},
		{`{"enum":["a","b",1,null,{"x":[1]}]}`, []string{`"a"`, `1`, `null`, `{"x":[1]}`}, []string{`"c"`, `2`}},
		{`{"type":"string","enum":["a",1]}`, []string{`"a"`}, []string{`1`}},
		{`{"const":"é\n"}`, []string{`"é\n"`}, []string{`"é"`}},
		{`{"type":"integer","minimum":-3,"exclusiveMaximum":12}`, []string{`-3`, `0`, `9`, `11`},
			[]string{`-4`, `12`, `-0`, `00`, `100`}},
		{`{"type":"integer","minimum":98,"maximum":1203}`, []string{`98`, `99`, `100`, `999`, `1000`, `1199`, `1203`},
			[]string{`97`, `1204`, `9`, `2000`, `12030`}},
		{`{"type":"integer","multipleOf":7,"minimum":0,"maximum":100}`, []string{`0`, `7`, `98`},
			[]string{`1`, `105`, `-7`}},
		{`{"type":"number","multipleOf":0.25}`, []string{`0.25`, `-1.5`, `3`, `1.50`}, []string{`0.1`, `1.251`}},
		{`{"type":"number","minimum":0.5,"maximum":2}`, []string{`0.5`, `0.75`, `1`, `1.999`, `2`, `2.0`},
			[]string{`0.4`, `2.1`, `0`, `-1`, `20`}},
		{`{"type":"number","exclusiveMinimum":-1.25,"exclusiveMaximum":0}`, []string{`-1.24`, `-1`, `-0.5`},
			[]string{`-1.25`, `0`, `0.0`, `1`, `-1.250`}},
		{`{"type":"string","pattern":"^[a-z]+\"?$"}`, []string{`"abc"`, `"abc\""`}, []string{`""`, `"A"`, `"abc`}},
		{`{"type":"string","pattern":"b","minLength":2,"maxLength":3}`, []string{`"ab"`, `"bbb"`},
			[]string{`"b"`, `"aa"`, `"aaab"`}},
		{`{"type":"string","format":"date"}`, []string{`"2024-02-29"`, `"2000-02-29"`, `"1999-12-31"`},
			[]string{`"2023-02-29"`, `"1900-02-29"`, `"2024-04-31"`, `"2024-13-01"`}},
		{`{"type":"string","format":"ipv6"}`, []string{`"::1"`, `"1:2:3:4:5:6:7:8"`, `"fe80::1"`},
			[]string{`"1:2"`, `":::"`}},
		{`{"anyOf":[{"type":"integer"},{"type":"string","const":"x"}]}`, []string{`1`, `"x"`},
			[]string{`"y"`, `null`}},
		{`{"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"v":{"type":"integer"}},"required":["k","v"]},
			{"type":"object","properties":{"k":{"const":"b"},"v":{"type":"string"}},"required":["k","v"]}]}`,
			[]string{`{"k":"a","v":1}`, `{"k":"b","v":"x"}`}, []string{`{"k":"a","v":"x"}`}},
		{`{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},
			{"properties":{"a":{"minimum":5},"b":{"type":"null"}},"required":["b"]}]}`, []string{`{"a":5,"b":null}`}, []string{`{"a":4,"b":null}`, `{"a":5}`}},
		{`{"properties":{"a":true,"b":true},"anyOf":[{"required":["a"]},{"required":["b"]}]}`,
			[]string{`{"a":1}`, `{"b":1}`, `{"a":1,"b":2}`},
			[]string{`{}`}},
		{`{"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},
			"required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/n"}`,
			[]string{`{"v":1,"next":null}`, `{"v":1,"next":{"v":2,"next":{"v":3,"next":null}}}`}, []string{`{"v":1}`}},
		{`{"type":"object","properties":{"c":{"type":"array","items":{"$ref":"#"}}},"required":["c"]}`,
			[]string{`{"c":[]}`, `{"c":[{"c":[]},{"c":[{"c":[]}]}]}`}, []string{`{"c":[1]}`}},
		{`{"type":"object","patternProperties":{"^x_":{"type":"integer"},"_y$":{"type":"string"}},"additionalProperties":false}`,
			[]string{`{}`, `{"x_a":1}`, `{"b_y":"s","x_":2}`}, []string{`{"x_y":1}`, `{"z":1}`, `{"x_a":"s"}`}},
		{`{"type":"object","properties":{"a":true,"b":true,"c":true},"minProperties":2,"maxProperties":2}`,
			[]string{`{"a":1,"b":1}`, `{"a":1,"c":1}`, `{"b":1,"c":1}`},
			[]string{`{}`, `{"a":1}`, `{"a":1,"b":1,"c":1}`}},
		{`{"type":"object","additionalProperties":{"type":"integer"},"maxProperties":2}`,
			[]string{`{}`, `{"a":1}`, `{"a":1,"b":2}`}, []string{`{"a":1,"b":2,"c":3}`}},
		{`{"type":"object","additionalProperties":{"type":"integer"},"propertyNames":{"enum":["a","b"]}}`,
			[]string{`{}`, `{"a":1}`, `{"b":1,"a":2}`}, []string{`{"c":1}`, `{"a":"x"}`}},
		{`{"type":"object","propertyNames":{"pattern":"^[a-c]+$","maxLength":2},"properties":{"x":true,"ab":true}}`,
			[]string{`{}`, `{"ab":1}`}, []string{`{"x":1}`, `{"x":{}}`}},
		{`{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"},"c":{"type":"null"}},
			"dependentRequired":{"a":["b"],"b":["c"]}}`, []string{`{}`, `{"c":null}`, `{"b":null,"c":null}`,
			`{"a":null,"b":null,"c":null}`}, []string{`{"a":null}`, `{"a":null,"b":null}`, `{"b":null}`}},
		{`{"type":"object","propertyNames":{"maxLength":2}}`, []string{`{"ab":[]}`, `{"日本":1}`}, []string{`{"abc":1}`}},
		{`{"type":"string","nullable":true}`, []string{`null`, `"x"`}, []string{`1`}},
		{`{"type":"object"}`, []string{`{}`, `{"a":{"b":[1]}}`}, []string{`[]`}},
		{`{"type":"object","properties":{}}`, []string{`{"a":1}`}, nil},
		{`{"type":"object","additionalProperties":false}`, []string{`{}`}, []string{`{"a":1}`}},
		{`{"type":"string","not":{"const":"a"}}`, []string{`""`, `"b"`, `"aa"`}, []string{`"a"`, `1`, `"\u0061"`}},
		{`{"type":"string","not":{"enum":["a","b"]},"maxLength":1}`, []string{`""`, `"c"`}, []string{`"a"`, `"b"`, `"aa"`}},
		{`{"type":"string","not":{"pattern":"^x"}}`, []string{`""`, `"yx"`}, []string{`"x"`, `"xy"`}},
		{`{"type":["string","integer","null"],"not":{"type":"string"}}`, []string{`1`, `null`}, []string{`"a"`}},
		{`{"not":{"type":["object","array","number"]}}`, []string{`"a"`, `true`, `null`}, []string{`1`, `1.5`, `[]`, `{}`}},
		{`{"type":["boolean","null"],"not":{"enum":[null,false]}}`, []string{`true`}, []string{`false`, `null`}},
		{`{"enum":[1,2,"a",[1],{"x":2}],"not":{"enum":[1.0,[1],{"x":2.0}]}}`, []string{`2`, `"a"`}, []string{`1`, `[1]`, `{"x":2}`}},
		{`{"type":"integer","minimum":1,"maximum":4,"not":{"const":3}}`, []string{`1`, `2`, `4`}, []string{`3`, `0`, `5`}},
		{`{"type":"integer","not":{"minimum":3}}`, []string{`2`, `-10`}, []string{`3`, `4`}},
		{`{"type":"number","not":{"anyOf":[{"exclusiveMaximum":1},{"maximum":2}]}}`, []string{`2.5`, `3`}, []string{`2`, `0.5`}},
		{`{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"not":{"required":["a","b"]}}`,
			[]string{`{}`, `{"a":null}`, `{"b":null}`}, []string{`{"a":null,"b":null}`}},
		{`{"type":"object","properties":{"a":{"enum":[1,2]},"b":{"enum":[1,2]}},"required":["a","b"],
			"not":{"properties":{"a":{"const":1},"b":{"const":1}}}}`,
			[]string{`{"a":1,"b":2}`, `{"a":2,"b":1}`, `{"a":2,"b":2}`}, []string{`{"a":1,"b":1}`}},
		{`{"type":"string","not":{"not":{"maxLength":2}}}`, []string{`""`, `"ab"`}, []string{`"abc"`}},
		{`{"type":"string","not":{"allOf":[{"minLength":2},{"maxLength":3}]}}`, []string{`""`, `"a"`, `"abcd"`}, []string{`"ab"`, `"abc"`}},
		{`{"$defs":{"x":{"const":"x"}},"type":"string","not":{"$ref":"#/$defs/x"}}`, []string{`"y"`}, []string{`"x"`}},
		{`{"type":"object","properties":{"kind":{"enum":["us","uk"]},"zip":{"type":"string"}},"required":["kind","zip"],
			"if":{"properties":{"kind":{"const":"us"}},"required":["kind"]},"then":{"properties":{"zip":{"pattern":"^[0-9]{5}$"}}},
			"else":{"properties":{"zip":{"pattern":"^[A-Z]{2}$"}}}}`,
			[]string{`{"kind":"us","zip":"12345"}`, `{"kind":"uk","zip":"AB"}`},
			[]string{`{"kind":"us","zip":"AB"}`, `{"kind":"uk","zip":"12345"}`}},
		{`{"type":"integer","if":{"minimum":10},"then":{"multipleOf":5}}`, []string{`3`, `10`, `15`}, []string{`11`, `12`}},
		{`{"type":["integer","string"],"if":{"type":"string"},"else":{"maximum":3}}`, []string{`"abc"`, `3`}, []string{`4`}},
		{`{"type":"object","properties":{"a":{"type":"null"}},"if":{"required":["a"]},"then":false}`, []string{`{}`}, []string{`{"a":null}`}},
		{`{"type":"array","items":{"type":"integer"},"contains":{"minimum":5}}`, []string{`[5]`, `[7,1,2]`},
			[]string{`[]`, `[1]`, `[4,3]`}},
		{`{"type":"array","items":{"enum":["a","b"]},"contains":{"const":"a"},"minContains":2,"maxContains":2,"maxItems":4}`,
			[]string{`["a","a"]`, `["a","a","b"]`, `["a","a","b","b"]`}, []string{`["a"]`, `["a","a","a"]`, `["b","b"]`}},
		{`{"type":"array","items":{"type":"boolean"},"contains":{"const":true},"minContains":0,"maxContains":0}`,
			[]string{`[]`, `[false,false]`}, []string{`[true]`, `[false,true]`}},
		{`{"type":"array","prefixItems":[{"type":"null"}],"contains":{"type":"string"}}`, []string{`[null,"a"]`}, []string{`[null]`, `["a"]`}},
		{`{"type":"array","not":{"items":{"type":"null"}},"items":{"type":["null","boolean"]}}`, []string{`[true]`, `[false,null]`},
			[]string{`[]`, `[null]`}},
		{`{"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true}`,
			[]string{`[]`, `["c"]`, `["b","a"]`, `["a","c", "b"]`}, []string{`["a","a"]`, `["a","b","a"]`, `["a","b","c","a"]`}},
		{`{"type":"array","items":{"enum":[1,1.0,2]},"uniqueItems":true,"minItems":2}`, []string{`[1,2]`, `[2,1]`}, []string{`[]`, `[1]`, `[1,1]`, `[1,1.0]`}},
		{`{"type":"array","items":{"enum":[1,2,3]},"uniqueItems":true,"maxItems":2}`, []string{`[3,1]`}, []string{`[1,2,3]`}},
		{`{"type":"array","items":{"type":["boolean","null"]},"uniqueItems":true}`, []string{`[true,null,false]`}, []string{`[null,null]`}},
		{`{"type":"array","items":{"enum":[1,2,3,4,5,6,7,8,9]},"uniqueItems":true,"minItems":1,"maxItems":8}`,
			[]string{`[1]`, `[9]`, `[1,2,3,4,5,6,7,8]`, `[2,9]`}, []string{`[]`, `[1,1]`, `[1,2,3,4,5,6,7,8,9]`, `[9,9]`}},
	} {
		hasOnly(t, compile(t, v, JSONSchema, test.schema), test.schema, test.yes, test.not)
		r := validator(t, test.schema)
		for _, text := range test.yes {
			if err := isValid(r, text); err != nil && !strings.Contains(test.schema, "nullable") {
				t.Errorf("%s: the test's %s is not valid: %v", test.schema, text, err)
			}
		}
	}
}

// TestSchemaErrors: what cannot be kept is named, with its place.
func TestSchemaErrors(t *testing.T) {
	for _, test := range []struct{ schema, want string }{
		{`{"type":"array","items":{"type":"object"},"uniqueItems":true}`, "#/uniqueItems: is not supported where items have " +
			"members that properties does not list in them: they cannot be compared while they are written"},
		{`{"uniqueItems":true,"items":{"uniqueItems":true,"items":{"type":"string"}}}`, "#/uniqueItems: is not supported " +
			"where items have arrays of this kind in them: they cannot be compared while they are written"},
		{`{"uniqueItems":true,"items":{"type":"string","pattern":"^[ab]{1,2}$"},"minItems":7}`,
			"#/uniqueItems: only 6 different items are possible, and 7 must come"},
		{`{"properties":{"a/b":{"not":{"format":"date"}}}}`,
			`#/properties/a~1b/not: the keyword "format" is not supported here: its complement cannot be described`},
		{`{"if":{"oneOf":[true]},"then":false}`, `#/if: the keyword "oneOf" is not supported here: its complement cannot be described`},
		{`{"type":"number","not":{"const":1}}`, "#/not: single numbers, arrays and objects can be forbidden only among those " +
			"of an enum, and integers of up to 1000 between minimum and maximum"},
		{`{"$defs":{"a":{"properties":{"b":{"$ref":"#/$defs/a"}}}},"not":{"$ref":"#/$defs/a"}}`, "#/not: a schema of more than 8 levels, or one that refers to itself, cannot be negated"},
		{`{"contains":{"oneOf":[true]},"maxContains":1}`,
			`#/maxContains: the keyword "oneOf" is not supported here: its complement cannot be described`},
		{`{"contains":3}`, "#/contains: must be a schema: an object, true or false; got 3"},
		{`{"type":"array","maxItems":1,"contains":true,"minContains":2}`,
			"#/contains: is not supported if prefixItems leaves no place for the items that it demands"},
		{`{"dependentSchemas":{"a":1}}`, "#/dependentSchemas/a: must be a schema: an object, true or false; got 1"},
		{`{"dependencies":[]}`, "#/dependencies: must be an object, got []"},
		{`{"$dynamicRef":"#a"}`, `#/$dynamicRef: "#a" points to nothing`},
		{`{"$dynamicRef":"#n","$defs":{"a":{"$dynamicAnchor":"n"},"b":{"$id":"/b","$dynamicAnchor":"n"}}}`,
			`#/$dynamicRef: is supported only if a single schema has the $dynamicAnchor "n"`},
		{`{"$recursiveAnchor":true,"items":{"$recursiveRef":"#"},"$defs":{"b":{"$id":"/b","$recursiveAnchor":true}}}`,
			`#/items/$recursiveRef: is supported only if a single schema has a $recursiveAnchor`},
		{`{"$recursiveRef":"#/$defs/a","$defs":{"a":{}}}`, `#/$recursiveRef: must be "#", got "#/$defs/a"`},
		{`{"unevaluatedProperties":3}`, "#/unevaluatedProperties: must be a schema: an object, true or false; got 3"},
		{`{"not":{"not":{"additionalProperties":true}},"unevaluatedProperties":false}`,
			"#/unevaluatedProperties: is not supported beside a not of a not"},
		{`{"not":{"contains":{"const":1}},"unevaluatedItems":false}`,
			"#/unevaluatedItems: is not supported beside a not of contains or of a not"},
		{`{"properties":{"a":{"maxLenght":3}}}`, `#/properties/a/maxLenght: unknown keyword; did you mean "maxLength"?`},
		{`{"type":"str"}`, `#/type: must be null, boolean, integer, number, string, array or object, got "str"`},
		{`{"type":"string","pattern":"(?<=x)"}`, "#/pattern: bad regular expression: look-around and other groups of " +
			"Perl are not supported: `(?<=x)`"},
		{`{"type":"string","format":"colour"}`, `#/format: unknown format "colour"`},
		{`{"type":"string","minLength":-1}`, "#/minLength: must not be negative, got -1"},
		{`{"$ref":"#/$defs/x"}`, `#/$ref: "#/$defs/x" points to nothing`},
		{`{"$ref":"other.json"}`,
			`#/$ref: "other.json" is not in this schema; references to other documents are not supported`},
		{`{"$ref":"#"}`, "#/$ref: the schema refers to itself without anything in between"},
		{`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}`,
			"#/$defs/a/$ref: the schema refers to itself without anything in between"},
		{`{"oneOf":[{"type":"integer"},{"type":"number"}]}`, "#/oneOf: a value of alternative 1 may be one of " +
			"alternative 0 too, which oneOf forbids and this server cannot rule out; use anyOf, or tell them apart " +
			"by " +
			"a required property with a const"},
		{`{"type":"object","required":["a"],"properties":{"a":false}}`, "no value fits the schema"},
		{`{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}`, "no value fits the schema"},
		{`false`, "no value fits the schema"},
		{`{"type":"object","minProperties":3,"additionalProperties":{}}`,
			"#/minProperties: is not supported above 1 for " +
				"properties that are not listed: a name might come twice"},
		{`{`, "is not JSON: it has no end"},
		{`{"a":1,"a":2}`, `has the member "a" twice`},
		{`[1]`, "#: must be a schema: an object, true or false; got [1]"},
		{`{"properties":{"a":5}}`, "#/properties/a: must be a schema: an object, true or false; got 5"},
		{`{"enum":[]}`, "#/enum: must be a list of at least one value, got []"},
		{`{"required":"a"}`, `#/required: must be a list of names, got "a"`},
		{`{"uniqueItems":"` + strings.Repeat("a", 1000) + `"}`,
			`#/uniqueItems: must be true or false, got "` + strings.Repeat("a", 56) + "…"},
		{`{"type":"number","multipleOf":0}`, "#/multipleOf: must be a number above 0, got 0"},
	} {
		if err := Check(Spec{Kind: JSONSchema, Source: test.schema}); err == nil || err.Error() != test.want {
			t.Errorf("%s:\n got %v\nwant %s", test.schema, err, test.want)
		}
	}
}

// refusal is matched by errors about what is kept in part.
var refusal = regexp.MustCompile("oneOf|no value fits|complement cannot be described|supported where|" +
	"supported only if|supported if|supported above 1|forbidden only")

// TestRandomSchemas: every answer to a random schema that ends by itself is valid.
func TestRandomSchemas(t *testing.T) {
	v, _ := vocabulary(t, 600)
	ended := 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 7))
		schema := grammartest.Schema(rng)
		g, err := Compile(Spec{Kind: JSONSchema, Source: schema}, v)
		if err != nil {
			if refusal.MatchString(err.Error()) {
				continue
			}
			t.Fatalf("%s: %v", schema, err)
		}
		r := validator(t, schema)
		for range 3 {
			text, ok := answer(t, g, rng, 2000)
			if !ok {
				continue
			}
			ended++
			if err := isValid(r, text); err != nil {
				t.Errorf("%s\nmade %s: %v", schema, text, err)
			}
		}
	}
	if ended < 800 {
		t.Errorf("only %d of 1200 answers ended", ended)
	}
}
