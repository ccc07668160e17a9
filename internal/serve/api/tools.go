package api

import (
	"encoding/json"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/llm"
	"github.com/hxp-enterprise/mixtral/internal/serve/body"
)

// tools reads what an answer may call: tools, tool_choice and parallel_tool_calls, or their older form, functions and
// function_call, which older reports. It is nil without tools, or if none may be called.
func tools(o *object) (t *llm.Tools, older bool) {
	field, choice, other := "tools", "tool_choice", "function_call"
	if older = !asksFor(o.Raw("tools"), nil) && asksFor(o.Raw("functions"), nil); older {
		field, choice, other = "functions", "function_call", "tool_choice"
	} else if asksFor(o.Raw("functions"), nil) {
		o.Fail("functions", "cannot be combined with tools, of which it is the older form")
	}
	if asksFor(o.Raw(other), []string{`"none"`, `"auto"`}) {
		o.Fail(other, "does not go with %s: use %s", field, choice)
	}
	t = &llm.Tools{Single: older}
	items, _ := o.List(field, llm.MaxTools)
	for i, item := range items {
		c := o.Child(fmt.Sprintf("%s[%d]", field, i), item)
		if older {
			t.List = append(t.List, function(c, item))
		} else {
			t.List = append(t.List, tool(c))
		}
		o.Adopt(c)
	}
	if parallel := o.Raw("parallel_tool_calls"); parallel != nil {
		t.Single = t.Single || !o.Flag("parallel_tool_calls")
	}
	if !chosen(o, choice, t) || len(t.List) == 0 {
		return nil, false
	}
	if err := t.Check(); err != nil && o.Err == nil {
		o.Err = err
	}
	return t, older
}

// noTools refuses tools in a request without a conversation.
func noTools(o *object) {
	o.Raw("parallel_tool_calls") // without effect
	for _, field := range []string{"tools", "functions"} {
		if asksFor(o.Raw(field), nil) {
			o.Fail(field, "is only allowed in chats: use /v1/chat/completions")
		}
	}
	for _, field := range []string{"tool_choice", "function_call"} {
		if asksFor(o.Raw(field), []string{`"none"`, `"auto"`}) {
			o.Fail(field, "is only allowed in chats: use /v1/chat/completions")
		}
	}
}

// tool reads one entry of tools.
func tool(c *object) llm.Tool {
	switch typ, ok := c.Text("type"); {
	case !ok:
		c.Fail("type", "is missing: it must be function")
	case typ != "function":
		c.Unsupported("type")
	}
	v := c.Raw("function")
	if v == nil {
		c.Fail("function", "is missing")
		return llm.Tool{}
	}
	f := c.Child("function", v)
	defer func() { c.Adopt(f) }()
	return function(f, v)
}

// function reads the definition of a function. source is its JSON, whose order templates keep.
func function(f *object, source json.RawMessage) llm.Tool {
	t := llm.Tool{Field: f.Path(), Source: string(source)}
	var ok bool
	if t.Name, ok = f.Text("name"); !ok {
		f.Fail("name", "is missing")
	}
	t.Description, _ = f.Text("description")
	f.Flag("strict") // arguments always conform to the schema
	if v := f.Raw("parameters"); v != nil && body.Kind(v) != "an object" {
		f.Fail("parameters", "must be a JSON Schema of an object, got %s", body.Kind(v))
	} else {
		t.Parameters = string(v)
	}
	return t
}

// chosen reads which of the tools an answer may or must call. It is false if none may be called.
func chosen(o *object, field string, t *llm.Tools) bool {
	v := o.Raw(field)
	if v == nil || string(v) == "{}" {
		return true
	}
	if body.Kind(v) == "a string" {
		switch mode, _ := o.Text(field); mode {
		case "", "auto":
			return true
		case "none":
			return false
		case "required", "any": // "any" is Mistral's
			t.Required = true
		default:
			o.Fail(field, "must be none, auto, required, or an object that names a function")
		}
		wantTools(o, field, t)
		return true
	}
	c := o.Child(field, v)
	defer func() { o.Adopt(c) }()
	wantTools(c, "", t)
	typ, ok := c.Text("type")
	switch {
	case typ == "allowed_tools":
		return allowed(c, t)
	case field == "function_call" || typ == "function":
		t.Only, t.Required = []string{functionName(c, field != "function_call")}, true
		t.Field = o.Name(field)
	case !ok:
		c.Fail("type", "is missing: it must be function or allowed_tools")
	default:
		c.Fail("type", "must be function or allowed_tools")
	}
	return true
}

// wantTools refuses a tool choice without tools.
func wantTools(o *object, field string, t *llm.Tools) {
	if len(t.List) > 0 || o.Err != nil {
		return
	}
	name := o.Path()
	if field != "" {
		name = o.Name(field)
	}
	o.Err = body.Bad(name, "is only allowed with tools")
}

// functionName reads {"type": "function", "function": {"name": …}}; the name may also be beside the type.
func functionName(c *object, nested bool) string {
	if v := c.Raw("function"); nested && v != nil {
		f := c.Child("function", v)
		defer func() { c.Adopt(f) }()
		return functionName(f, false)
	}
	name, ok := c.Text("name")
	if !ok {
		if nested {
			c.Fail("function", "is missing")
		}
		c.Fail("name", "is missing")
	}
	return name
}

// allowed reads {"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}; the inner fields may also be
// beside the type.
func allowed(c *object, t *llm.Tools) bool {
	if v := c.Raw("allowed_tools"); v != nil {
		inner, outer := c.Child("allowed_tools", v), c
		defer func() { outer.Adopt(inner) }()
		c = inner
	}
	switch mode, _ := c.Text("mode"); mode {
	case "", "auto":
	case "required":
		t.Required = true
	default:
		c.Fail("mode", "must be auto or required")
	}
	items, _ := c.List("tools", llm.MaxTools)
	for i, item := range items {
		f := c.Child(fmt.Sprintf("tools[%d]", i), item)
		if typ, ok := f.Text("type"); ok && typ != "function" {
			f.Fail("type", "must be function")
		}
		t.Only = append(t.Only, functionName(f, true))
		c.Adopt(f)
	}
	t.Field = c.Name("tools")
	if len(items) == 0 {
		if t.Required {
			c.Fail("tools", "must list at least one tool, as one must be called")
		}
		return false
	}
	return true
}
