package chat

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/base/token"
	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// readAll gives an answer to a Reader in pieces of n bytes.
func readAll(form CallForm, answer string, n int) (text string, calls []llm.Call) {
	r := NewReader(form, func() string { return "id" })
	for answer != "" {
		k := min(n, len(answer))
		more, pieces := r.Write(answer[:k])
		text += more
		for _, p := range pieces {
			calls = llm.JoinCalls(calls, p)
		}
		answer = answer[k:]
	}
	return text + r.Flush(), calls
}

const (
	twoHermes = "<tool_call>\n" + `{"name": "f", "arguments": {"a": "}\"]{", "b": [{}]}}` + "\n</tool_call>\n<tool_call>\n" +
		`{"name": "g", "arguments": { }}` + "\n</tool_call>"
	twoMistral = `[TOOL_CALLS] [{"name": "f", "arguments": {"a": "}\"]{", "b": [{}]}}, {"name": "g", "arguments": { }}]`
)

var twoRead = []llm.Call{{ID: "id", Name: "f", Arguments: `{"a": "}\"]{", "b": [{}]}`}, {ID: "id", Name: "g", Arguments: "{ }"}}

// TestReader: however an answer is cut, its text and calls are the same.
func TestReader(t *testing.T) {
	for _, c := range []struct {
		form         CallForm
		answer, text string
		calls        []llm.Call
	}{
		{hermesCalls, twoHermes, "", twoRead},
		{mistralCalls, twoMistral, "", twoRead},
		{hermesCalls, "so: \n" + twoHermes, "so:", twoRead},
		{hermesCalls, " \n" + twoHermes, "", twoRead},
		{hermesCalls, "a <tool_call b <tool <", "a <tool_call b <tool <", nil},
		{hermesCalls, "a\n\n b \n", "a\n\n b \n", nil},
		{hermesCalls, twoMistral, twoMistral, nil},
		{hermesCalls, twoHermes[:strings.LastIndex(twoHermes, "{ }")], "", []llm.Call{twoRead[0], {ID: "id",
			Name: "g"}}},
		{hermesCalls, "x" + twoHermes[:40], "x", []llm.Call{{ID: "id", Name: "f"}}},
		{mistralCalls, "[TOOL_CALLS]", "", nil},
	} {
		for n := 1; n <= len(c.answer); n++ {
			text, calls := readAll(c.form, c.answer, n)
			if len(calls) > 0 && len(c.calls) > 0 && !strings.HasSuffix(calls[len(calls)-1].Arguments, "}") {
				calls[len(calls)-1].Arguments = c.calls[len(c.calls)-1].Arguments // cut
			}
			if text != c.text || !slices.Equal(calls, c.calls) {
				t.Fatalf("%q by %d: %q, %+v", c.answer, n, text, calls)
			}
		}
	}
	marked := mistralCalls
	marked.Trigger = ""
	r := NewReader(marked, func() string { return "id" })
	if text, calls := r.Write("[TOOL_CALLS] [{"); text != "[TOOL_CALLS] [{" || calls != nil || r.InCalls() {
		t.Errorf("%q, %+v", text, calls)
	}
	r.Begin()
	if text, calls := r.Write(strings.TrimPrefix(twoMistral, "[TOOL_CALLS] ")); text != "" || len(calls) != 2 ||
		r.Calls() != 2 {
		t.Errorf("%q, %+v", text, calls)
	}
}

// FuzzReader: no answer is lost or makes the reader fail, and its pieces follow each other.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{twoHermes, twoMistral, "text <tool_call>", `{"name": "`} {
		f.Add(seed, uint8(3), true)
		f.Add("before "+seed, uint8(1), false)
	}
	f.Fuzz(func(t *testing.T, answer string, step uint8, hermes bool) {
		form := mistralCalls
		if hermes {
			form = hermesCalls
		}
		whole, calls := readAll(form, answer, len(answer)+1)
		parts, again := readAll(form, answer, int(step%16)+1)
		if whole != parts || !slices.Equal(calls, again) {
			t.Fatalf("%q: %q, %+v; in parts %q, %+v", answer, whole, calls, parts, again)
		}
		if !strings.Contains(answer, form.Trigger) && (whole != answer || calls != nil) {
			t.Fatalf("%q: %q, %+v", answer, whole, calls)
		}
	})
}

// FuzzTools: however a conversation with tools looks, each format that calls are written in takes it or says in its
// own words that it does not; and whatever a template renders is searched for calls.
func FuzzTools(f *testing.F) {
	f.Add("f", `{"type":"object"}`, `{"a":"}\"]{"}`, "4")
	f.Add("</tool_call>", `[]`, "{", `<tool_response>`)
	f.Add("[TOOL_CALLS]", `1e400`, `{"a":1,"a":2}`, "\xff")
	tokens := synthetic(f)
	var formats []*Format
	for _, name := range Names() {
		format, err := Choose(name, "", tokens)
		if errors.Is(err, ErrNone) {
			continue
		}
		if err != nil {
			f.Fatal(name, err)
		}
		formats = append(formats, format)
	}
	f.Fuzz(func(t *testing.T, name, schema, arguments, result string) {
		tools := &llm.Tools{List: []llm.Tool{{Name: name, Description: result, Parameters: schema}}}
		for _, format := range formats {
			_, err := format.Encode([]llm.Message{{Role: llm.RoleUser, Content: result},
				{Role: llm.RoleAssistant, Calls: []llm.Call{{ID: name, Name: name, Arguments: arguments}}},
				{Role: llm.RoleTool, CallID: name, Name: name, Content: result}}, tools)
			if err != nil && !errors.Is(err, token.ErrRoles) && !errors.Is(err, ErrRefused) &&
				!errors.Is(err, ErrLimit) && !errors.Is(err, ErrTemplate) {
				t.Errorf("%s: %v", format.Name, err)
			}
		}
		for _, text := range []string{result, arguments, schema} {
			for _, form := range []CallForm{mistralCalls, hermesCalls} {
				if got, ok := find(form.Begin+text+form.End, name); ok && got != mistralCalls && got != hermesCalls {
					t.Errorf("%q: %+v", text, got)
				}
			}
		}
	})
}

func TestIDs(t *testing.T) {
	if id := shortID("abcDEF123"); id != "abcDEF123" {
		t.Error(id)
	}
	seen := map[string]bool{}
	for _, id := range []string{"", "call_1", "call_2", "abc-EF123", "abcDEF1234"} {
		short := shortID(id)
		if len(short) != 9 || seen[short] || short != shortID(id) {
			t.Errorf("%q became %q", id, short)
		}
		seen[short] = true
	}
}

func synthetic(t testing.TB) *token.Tokenizer {
	t.Helper()
	tok, err := token.New(token.Synthetic(512, 1))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestFormsOfTemplates: what a template does with tools is found out by asking it.
func TestFormsOfTemplates(t *testing.T) {
	read := func(name string) string {
		data, err := os.ReadFile("testdata/templates/" + name + ".jinja")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for name, c := range map[string]struct {
		format         string
		form           CallForm
		native, system bool
	}{
		// this vocabulary has no control tokens for tools
		"mixtral-8x7b-instruct-v0.1":       {"mistral", hermesCalls, false, true},
		"mixtral-8x7b-instruct-v0.1-first": {"mistral", hermesCalls, false, true},
		"own-tools-inst":                   {"given", mistralCalls, true, true},
		"own-tools-chatml":                 {"given", hermesCalls, true, true},
		"dolphin-mixtral":                  {"given", hermesCalls, false, true},
		"zephyr":                           {"given", hermesCalls, false, true},
	} {
		f, err := Choose(read(name), "", synthetic(t))
		if err != nil || f.Name != c.format || f.calls != c.form || f.native != c.native || f.system != c.system {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	changed := strings.Replace(read("mixtral-8x7b-instruct-v0.1"), " [INST] ", "[INST] ", 1)
	if f, err := Choose(changed, "", synthetic(t)); err != nil || f.Name == "mistral" {
		t.Errorf("a changed template: %+v, %v", f, err)
	}
	// A template whose calls are in a form of its own is not asked to show tools.
	other := strings.ReplaceAll(read("own-tools-chatml"), "<tool_call>", "<function_call>")
	if f, err := Choose(other, "", synthetic(t)); err != nil || f.native {
		t.Errorf("another form: %+v, %v", f, err)
	}
}

// TestTemplateForTools: a second template, for tools alone, is used for them and for nothing else.
func TestTemplateForTools(t *testing.T) {
	data, err := os.ReadFile("testdata/templates/own-tools-inst.jinja")
	if err != nil {
		t.Fatal(err)
	}
	tools := &llm.Tools{List: []llm.Tool{{Name: "f"}}}
	hello := []llm.Message{{Role: "user", Content: "hello"}}
	f, err := Choose("zephyr", "", synthetic(t))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := f.Encode(hello, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.UseForTools("{% for"); err == nil || f.tools != nil {
		t.Errorf("a broken template: %v", err)
	}
	if err := f.UseForTools("{{ messages[0].content }}"); err != nil || f.tools != nil {
		t.Errorf("a template without tools: %v", err)
	}
	if err := f.UseForTools(string(data)); err != nil || f.Calls() != mistralCalls {
		t.Fatalf("%v, %+v", err, f.Calls())
	}
	again, err := f.Encode(hello, nil)
	if err != nil || !slices.Equal(plain, again) {
		t.Errorf("without tools %v, before %v, %v", again, plain, err)
	}
	ids, err := f.Encode(hello, tools)
	if text := f.tokens.Decode(ids); err != nil || !strings.Contains(text, "[AVAILABLE_TOOLS]") {
		t.Errorf("%q, %v", text, err)
	}
}

// TestGenericTools: a format without a place for tools has them in its system message, or in the first user message
// where it takes none; calls and results stand in the messages around.
func TestGenericTools(t *testing.T) {
	bare := "{{ bos_token }}{% for m in messages %}" +
		"{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}" +
		"{{ '<' + m.role + '>' + m.content }}{% endfor %}"
	tools := &llm.Tools{List: []llm.Tool{{Name: "f", Description: "does", Parameters: `{"type":"object"}`}}, Required: true,
		Only: []string{"f"}}
	messages := []llm.Message{{Role: "user", Content: "hello"},
		{Role: "assistant", Content: "so", Calls: []llm.Call{{ID: "1", Name: "f", Arguments: `{"a":1}`}, {ID: "2",
			Name: "f", Arguments: "{}"}}},
		{Role: "tool", CallID: "1", Name: "f", Content: "22"}, {Role: "tool", CallID: "2", Name: "f",
			Content: "</s> cold"},
		{Role: "user", Content: "and?"}}
	for wanted, system := range map[string]bool{bare: false, "zephyr": true} {
		f, err := Choose(wanted, "", synthetic(t))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := f.plain(messages, tools)
		if err != nil {
			t.Fatal(err)
		}
		if got := plain[0].Role == "system"; got != system {
			t.Errorf("%q: %+v", wanted, plain[0])
		}
		first, rest := plain[0].Content, plain[1:]
		if system {
			rest = plain[2:]
		} else if !strings.HasSuffix(first, "\n\nhello") {
			t.Errorf("%q", first)
		}
		for _, want := range []string{`{"name": "f", "description": "does", "parameters": {"type": "object"}}`,
			hermesCalls.Begin + `{"name": "NAME", "arguments": {"PARAMETER": VALUE}}` + hermesCalls.End,
			"Now call the function f."} {
			if !strings.Contains(first, want) {
				t.Errorf("%q is not in %q", want, first)
			}
		}
		want := []llm.Message{{Role: "assistant", Content: "so\n<tool_call>\n" + `{"name": "f", "arguments": {"a": 1}}` +
			"\n</tool_call>\n<tool_call>\n" + `{"name": "f", "arguments": {}}` + "\n</tool_call>"},
			{Role: "user", Content: "<tool_response>\n" + `{"name": "f", "content": 22}` + "\n</tool_response>\n<tool_response>\n" +
				`{"name": "f", "content": "</s> cold"}` + "\n</tool_response>\nand?"}}
		if len(rest) != 2 || rest[0].Content != want[0].Content || rest[1].Content != want[1].Content ||
			rest[1].Role != "user" {
			t.Errorf("%q", rest)
		}
		if _, err := f.Encode(messages, tools); err != nil {
			t.Error(err)
		}
	}
}

// TestInstruction: what a model that has not learned of tools is told, whatever it may or must call. Without a duty it
// is told that it may answer in text.
func TestInstruction(t *testing.T) {
	f, err := Choose("zephyr", "", synthetic(t))
	if err != nil {
		t.Fatal(err)
	}
	const head = "You can call functions. Each line describes one, with its parameters as a JSON Schema:\n" +
		`{"name": "f", "parameters": {}}` + "\n" + `{"name": "g", "parameters": {}}` +
		"\n\nTo call a function, write its name and its arguments like this:\n<tool_call>\n" +
		`{"name": "NAME", "arguments": {"PARAMETER": VALUE}}` + "\n</tool_call>\n"
	const several = "To call several functions, write one such block for each, and nothing after the last one. " +
		results
	for _, test := range []struct {
		tools llm.Tools
		want  string
	}{
		{llm.Tools{}, several + "Call a function only if it helps with the request. Otherwise answer in plain text."},
		{llm.Tools{Single: true}, "Call at most one function, and write nothing after the call. " + results +
			"Call a function only if it helps with the request. Otherwise answer in plain text."},
		{llm.Tools{Required: true}, several + "Now call a function."},
		{llm.Tools{Required: true, Only: []string{"g"}}, several + "Now call the function g."},
		{llm.Tools{Required: true, Only: []string{"g", "f"}},
			several + "For now, call only g or f.\nNow call a function."},
		{llm.Tools{Only: []string{"g"}}, several + "For now, call only g.\n" +
			"Call a function only if it helps with the request. Otherwise answer in plain text."},
	} {
		test.tools.List = []llm.Tool{{Name: "f"}, {Name: "g"}}
		if got, err := f.instruction(&test.tools); err != nil || got != head+test.want {
			t.Errorf("%+v: %v\n got %q\nwant %q", test.tools, err, got, head+test.want)
		}
	}
}

const results = "Results come in the next message, in <tool_response>: use them in your answer.\n"
