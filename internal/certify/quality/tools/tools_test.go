package tools

import (
	"errors"
	"strings"
	"testing"
)

// The same question in each file format.
var shapes = map[string]string{
	"openai": `{"id":"1","prompt":"Area?","tools":[{"type":"function","function":{"name":"geo_area","parameters":` +
		`{"type":"object","properties":{"base":{"type":"integer"},"height":{"type":"number"},"unit":{"type":"string",` +
		`"default":"cm"}},"required":["base","height"],"additionalProperties":false}}}],` +
		`"calls":[{"name":"geo_area","arguments":{"base":10,"height":5}}]}`,
	"messages": `{"id":"1","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Area?"}],` +
		`"tools":[{"function":{"name":"geo_area","parameters":{"type":"object","properties":{"base":` +
		`{"type":"integer"},"height":{"type":"number"},"unit":{"type":"string","default":"cm"}},"required":["base",` +
		`"height"]}}}],"calls":[{"name":"geo_area","arguments":{"base":10,"height":5}}]}`,
	"xlam": `{"id":1,"query":"Area?","tools":"[{\"name\":\"geo.area\",\"description\":\"d\",\"parameters\":` +
		`{\"base\":{\"type\":\"int\"},\"height\":{\"type\":\"float\"},\"unit\":{\"type\":\"str, optional\",` +
		`\"default\":\"cm\"}}}]","answers":"[{\"name\":\"geo.area\",\"arguments\":{\"base\":10,\"height\":5}}]"}`,
	"bfcl": `{"id":"1","question":[[{"role":"user","content":"Area?"}]],"function":[{"name":"geo.area","description":` +
		`"d","parameters":{"type":"dict","properties":{"base":{"type":"integer"},"height":{"type":"float"},"unit":` +
		`{"type":"string"}},"required":["base","height"]}}],` +
		`"ground_truth":[{"geo.area":{"base":[10],"height":[5],"unit":["","cm"]}}]}`,
}

func one(t *testing.T, line string) *Question {
	t.Helper()
	all, err := Read(strings.NewReader("\n" + line + "\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d questions", len(all))
	}
	return &all[0]
}

// TestShapes checks that the same question in each format gets the same grades.
func TestShapes(t *testing.T) {
	for shape, line := range shapes {
		q := one(t, line)
		if q.ID != "1" || q.Messages[len(q.Messages)-1].Content != "Area?" ||
			!strings.Contains(string(q.Tools), `"name":"geo_area"`) {
			t.Errorf("%s: %+v", shape, q)
		}
		for _, c := range []struct {
			name, arguments     string
			valid, named, right bool
			why                 string
		}{
			{"geo_area", `{"base":10,"height":5.0}`, true, true, true, ""},
			{"geo_area", `{"height":5,"base":10,"unit":"cm"}`, true, true, true, ""},
			{"geo_area", `{"base":10,"height":5,"unit":"m"}`, true, true, false, "unit"},
			{"geo_area", `{"base":11,"height":5}`, true, true, false, "argument base is 11"},
			{"geo_area", `{"base":10}`, false, true, false, "schema"},
			{"geo_area", `{"base":"ten","height":5}`, false, true, false, "schema"},
			{"geo_area", `{"base":10,`, false, true, false, "not a JSON object"},
			{"geo_area", `[1]`, false, true, false, "not a JSON object"},
			{"geo_area", `null`, false, true, false, "null"},
			{"geo_area", ``, false, true, false, "schema"},
			{"geo.area", `{"base":10,"height":5}`, false, false, false, "not one of the tools"},
		} {
			g := q.Grade([]Call{{c.name, c.arguments}}, false)
			if g.Valid != c.valid || g.Named != c.named || g.Right != c.right || !strings.Contains(g.Why, c.why) {
				t.Errorf("%s: %s%s is %+v, want %+v", shape, c.name, c.arguments, g, c)
			}
		}
		if g := q.Grade(nil, false); g.Valid || g.Named || g.Right || !strings.Contains(g.Why, "no tool") {
			t.Errorf("%s: no call is %+v", shape, g)
		}
	}
}

// TestSeveralCalls checks that calls may come in any order, but each as often as expected, and that no call is right
// if none is expected.
func TestSeveralCalls(t *testing.T) {
	const tools = `"prompt":"q","tools":[{"function":{"name":"f","parameters":{"type":"object","properties":` +
		`{"a":{"type":"integer"}}}}},{"function":{"name":"g"}}]`
	q := one(t, `{`+tools+`,"calls":[{"name":"f","arguments":{"a":1}},{"name":"f","arguments":{"a":2}},{"name":"g"}]}`)
	f1, f2, g := Call{"f", `{"a":1}`}, Call{"f", `{"a":2}`}, Call{"g", ""}
	for _, c := range []struct {
		calls        []Call
		named, right bool
	}{
		{[]Call{f1, f2, g}, true, true}, {[]Call{g, f2, f1}, true, true}, {[]Call{f1, f1, g}, true, false},
		{[]Call{f1, g}, false, false}, {[]Call{f1, f2, g, g}, false, false},
	} {
		if got := q.Grade(c.calls, false); got.Named != c.named || got.Right != c.right || !got.Valid {
			t.Errorf("%v is %+v", c.calls, got)
		}
	}
	none := one(t, `{`+tools+`,"calls":[]}`)
	if got := none.Grade(nil, false); !got.Valid || !got.Named || !got.Right {
		t.Errorf("no call where none is expected is %+v", got)
	}
	if got := none.Grade(nil, true); got.Valid {
		t.Errorf("no call where one is demanded is %+v", got)
	}
	if got := none.Grade([]Call{g}, false); !got.Valid || got.Named || got.Right {
		t.Errorf("a call where none is expected is %+v", got)
	}
}

// TestAllowedValues checks BFCL's lists of allowed values. The right pairs of calls must be found even if the first
// matching call belongs to another expected call.
func TestAllowedValues(t *testing.T) {
	q := one(t, `{"question":[[{"role":"user","content":"q"}]],"function":[{"name":"f","parameters":{"type":"dict",`+
		`"properties":{"city":{"type":"string"},"at":{"type":"dict"},"list":{"type":"tuple"}},"required":["city"]}}],`+
		`"ground_truth":[{"f":{"city":["New York, NY","NYC"],"at":[{"h":[1,2],"m":["",3]},""],"list":[["a","b"],""]}},`+
		`{"f":{"city":["NYC"],"at":[""],"list":[""]}}]}`)
	for _, c := range []struct {
		a, b  string
		right bool
	}{
		{`{"city":"NYC"}`, `{"city":"new york ny"}`, true},
		{`{"city":"n.y.c","at":{"h":2}}`, `{"city":"NYC"}`, true},
		{`{"city":"NYC","at":{"h":2,"m":3}}`, `{"city":"NYC"}`, true},
		{`{"city":"NYC","at":{"h":3}}`, `{"city":"NYC"}`, false},
		{`{"city":"NYC","at":{"h":1,"x":1}}`, `{"city":"NYC"}`, false},
		{`{"city":"NYC","at":{"m":3}}`, `{"city":"NYC"}`, false},
		{`{"city":"NYC","list":["A","b"]}`, `{"city":"NYC"}`, true},
		{`{"city":"NYC","list":["a"]}`, `{"city":"NYC"}`, false},
		{`{"city":"New York, NY"}`, `{"city":"New York"}`, false},
	} {
		if g := q.Grade([]Call{{"f", c.a}, {"f", c.b}}, false); g.Right != c.right {
			t.Errorf("%s, %s is %+v", c.a, c.b, g)
		}
	}
}

// TestReadNamesWhatIsWrong checks that an error names the line and the field.
func TestReadNamesWhatIsWrong(t *testing.T) {
	tools := func(s string) string { return `{"prompt":"q","calls":[],"tools":` + s + `}` }
	for line, want := range map[string]string{
		"":                                     "holds no question",
		"{":                                    "line 2",
		`{"question":"q"}`:                     "none of the known shapes",
		tools(`[]`):                            "tools: there are none",
		tools(`{}`):                            "tools: ",
		tools(`[{"type":"retrieval"}]`):        `tools[0].type: must be "function"`,
		tools(`[{"function":{"name":"a b"}}]`): `tools[0].function.name: must be 1 to 64`,
		tools(`[{"function":{"name":"a"}},{"function":{"name":"a"}}]`):                                                    "earlier tool",
		tools(`[{"function":{"name":"a","parameters":{"type":5}}}]`):                                                      "not JSON Schema",
		tools(`[{"function":{"name":"a","parameters":{"$ref":"#/$defs/x"}}}]`):                                            "tools[0] (a)",
		tools(`[` + strings.Repeat(`{"function":{"name":"a"}},`, 200) + `{"function":{"name":"b"}}]`):                     "at most 128",
		`{"tools":[{"function":{"name":"a"}}],"calls":[]}`:                                                                "prompt: is empty",
		`{"prompt":"q","tools":[{"function":{"name":"a"}}]}`:                                                              "calls: are missing",
		`{"prompt":"q","tools":[{"function":{"name":"a"}}],"calls":[{"name":"b"}]}`:                                       `"b" is not one`,
		`{"prompt":"q","tools":[{"function":{"name":"a"}}],"calls":{"name":"a"}}`:                                         "calls: must be",
		`{"prompt":"q","messages":[{"role":"user","content":"q"}],"tools":[{}],"calls":[]}`:                               "prompt: must be left",
		`{"query":"","tools":"[]","answers":"[]"}`:                                                                        "query: is empty",
		`{"query":"q","tools":"no","answers":"[]"}`:                                                                       "tools: ",
		`{"question":[[],[]],"function":[]}`:                                                                              "one turn",
		`{"question":"q","function":[]}`:                                                                                  "list of turns",
		`{"question":[[{"role":"user","content":"q"}]],"function":[{"name":"a","parameters":{}}],"ground_truth":["a()"]}`: "ground_truth: must be",
		`{"prompt":"q","tools":[{"function":{"name":"a","parameters":{"type":"object","properties":{"x":{}},` +
			`"additionalProperties":false}}}],"calls":[{"name":"a","arguments":{"y":1}}]}`: `no parameter "y"`,
	} {
		_, err := Read(strings.NewReader("\n" + line + "\n"))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", line, err, want)
		}
	}
	if _, err := Read(strings.NewReader(shapes["bfcl"] + "\n" + strings.Repeat("x", maxLine+1))); !errors.Is(err,
		ErrInvalid) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a line without end: %v", err)
	}
}

// FuzzRead checks that no file and no call cause a panic, and that a right call is also valid and named.
func FuzzRead(f *testing.F) {
	for _, line := range shapes {
		f.Add(line, "geo_area", `{"base":10,"height":5}`)
	}
	f.Fuzz(func(t *testing.T, file, name, arguments string) {
		all, err := Read(strings.NewReader(file))
		if err != nil {
			return
		}
		for _, q := range all {
			if g := q.Grade([]Call{{name, arguments}}, false); g.Right && !(g.Valid && g.Named) ||
				g.Right != (g.Why == "") {
				t.Errorf("%+v", g)
			}
		}
	})
}
