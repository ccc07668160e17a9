package llmtest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// someTools are two functions and one without parameters.
func someTools(change func(*llm.Tools)) *llm.Tools {
	t := &llm.Tools{List: []llm.Tool{
		{Name: "set_light", Description: "Switches a light",
			Parameters: `{"type":"object","properties":{"on":{"type":"boolean"},"level":{"type":"integer","minimum":1,` +
				`"maximum":9}},"required":["on","level"],"additionalProperties":false}`},
		{Name: "set_light-2", Parameters: `{"properties":{"way":{"enum":["up","down"]}},"required":["way"]}`},
		{Name: "now"},
	}}
	change(t)
	return t
}

// goodCall says whether a call is one of someTools.
func goodCall(c llm.Call) bool {
	d := json.NewDecoder(strings.NewReader(c.Arguments))
	d.DisallowUnknownFields()
	switch c.Name {
	case "set_light":
		var a struct {
			On    *bool
			Level int
		}
		return d.Decode(&a) == nil && !d.More() && a.On != nil && a.Level >= 1 && a.Level <= 9
	case "set_light-2":
		var a struct{ Way string }
		return d.Decode(&a) == nil && !d.More() && (a.Way == "up" || a.Way == "down")
	}
	return c.Name == "now" && strings.Join(strings.Fields(c.Arguments), "") == "{}"
}

// testTools: a backend keeps to what may and must be called, or refuses tools. What it calls is always valid.
func testTools(t *testing.T, b llm.Backend) {
	for name, tools := range map[string]*llm.Tools{
		"auto":     someTools(func(*llm.Tools) {}),
		"required": someTools(func(w *llm.Tools) { w.Required = true }),
		"named":    someTools(func(w *llm.Tools) { w.Required, w.Only = true, []string{"set_light-2"} }),
		"allowed":  someTools(func(w *llm.Tools) { w.Required, w.Only = true, []string{"now", "set_light-2"} }),
		"single":   someTools(func(w *llm.Tools) { w.Required, w.Single = true, true }),
	} {
		for seed := range int64(6) {
			r := Chat(question, 200)
			r.Tools, r.Sampling = tools, llm.Sampling{Temperature: 1.5, Seed: &seed}
			r.Logprobs = seed%2 == 1
			out, err := Collect(t.Context(), b, r)
			if errors.Is(err, llm.ErrUnsupported) && out.Events == 0 {
				return
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			checkCalls(t, name, r, out)
			again, err := Collect(t.Context(), b, r)
			if err != nil || again.Text != out.Text || len(again.Calls) != len(out.Calls) ||
				len(out.Calls) > 0 && again.Calls[0] != out.Calls[0] {
				t.Errorf("%s: seed %d: %+v, then %+v, %v", name, seed, out, again, err)
			}
		}
	}
	testToolErrors(t, b)
	waitIdle(t, b)
}

func checkCalls(t *testing.T, name string, r *llm.Request, out Result) {
	t.Helper()
	if r.Tools.Required && (out.Text != "" || out.Finish == llm.FinishStop) {
		t.Errorf("%s: %q, finish %s", name, out.Text, out.Finish)
	}
	if r.Tools.Single && len(out.Calls) > 1 {
		t.Errorf("%s: %d calls", name, len(out.Calls))
	}
	ids := map[string]bool{}
	for i, c := range out.Calls {
		if cut := out.Finish == llm.FinishLength && i == len(out.Calls)-1; !cut && !goodCall(c) {
			t.Errorf("%s: call %d: %+v", name, i, c)
		}
		if callable := (&llm.Tools{List: r.Tools.Callable(), Only: []string{c.Name}}).Check(); callable != nil {
			t.Errorf("%s: %s is called, which may not be", name, c.Name)
		}
		if ids[c.ID] || len(c.ID) != 9 {
			t.Errorf("%s: call %d has the id %q", name, i, c.ID)
		}
		ids[c.ID] = true
	}
}

func testToolErrors(t *testing.T, b llm.Backend) {
	for field, tools := range map[string]*llm.Tools{
		"tools":                        {},
		"tools[1].function.name":       someTools(func(w *llm.Tools) { w.List[1].Name = "now then" }),
		"tools[2].function.name":       someTools(func(w *llm.Tools) { w.List[2].Name = "set_light" }),
		"choice":                       someTools(func(w *llm.Tools) { w.Only, w.Field = []string{"x"}, "choice" }),
		"tools[1].function.parameters": someTools(func(w *llm.Tools) { w.List[1].Parameters = `{"$dynamicRef":"#a"}` }),
		"functions[2].parameters": someTools(func(w *llm.Tools) {
			w.List[2].Parameters, w.List[2].Field = `{"type":"array"}`,
				"functions[2]"
		}),
		"tools[0].function.parameters": someTools(func(w *llm.Tools) { w.List[0].Parameters = `{` }),
	} {
		if field == "tools[1].function.parameters" || field == "tools[0].function.parameters" {
			for i := range tools.List {
				tools.List[i].Field = strings.TrimSuffix(field, ".parameters")
			}
		}
		r := Chat(question, 8)
		r.Tools = tools
		out, err := Collect(t.Context(), b, r)
		var e *llm.FieldError
		if out.Events > 0 || !errors.As(err, &e) || e.Field != field {
			t.Errorf("%v after %d events, want an error that names %s", err, out.Events, field)
		}
	}
	raw := &llm.Request{ID: "raw", Prompt: question, MaxTokens: 4, Tools: someTools(func(*llm.Tools) {})}
	if _, err := Collect(t.Context(), b, raw); !errors.Is(err, llm.ErrBadRequest) {
		t.Errorf("tools without a conversation: %v", err)
	}
}
