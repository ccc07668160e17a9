package api

import (
	"encoding/json"
	"fmt"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// tools reads what an answer may call: tools, tool_choice and parallel_tool_calls, or their older form, functions and
// function_call, of which older tells. Without tools, and where none may be called, it is nil.
func tools(o *object) (t *llm.Tools, older bool) {
	field, choice, other := "tools", "tool_choice", "function_call"
	if older = !asksFor(o.raw("tools"), nil) && asksFor(o.raw("functions"), nil); older {
		field, choice, other = "functions", "function_call", "tool_choice"
	} else if asksFor(o.raw("functions"), nil) {
		o.fail("functions", "cannot be combined with tools, of which it is the older form")
	}
	if asksFor(o.raw(other), []string{`"none"`, `"auto"`}) {
		o.fail(other, "does not go with %s: use %s", field, choice)
	}
	t = &llm.Tools{Single: older}
	items, _ := o.list(field, llm.MaxTools)
	for i, item := range items {
		c := o.child(fmt.Sprintf("%s[%d]", field, i), item)
		if older {
			t.List = append(t.List, function(c, item))
		} else {
			t.List = append(t.List, tool(c))
		}
		o.adopt(c)
	}
	if parallel := o.raw("parallel_tool_calls"); parallel != nil {
		t.Single = t.Single || !o.flag("parallel_tool_calls")
	}
	if !chosen(o, choice, t) || len(t.List) == 0 {
		return nil, false
	}
	if err := t.Check(); err != nil && o.err == nil {
		o.err = err
	}
	return t, older
}

// noTools refuses tools in a request without a conversation.
func noTools(o *object) {
	o.raw("parallel_tool_calls") // of no effect
	for _, field := range []string{"tools", "functions"} {
		if asksFor(o.raw(field), nil) {
			o.fail(field, "is only allowed in chats: use /v1/chat/completions")
		}
	}
	for _, field := range []string{"tool_choice", "function_call"} {
		if asksFor(o.raw(field), []string{`"none"`, `"auto"`}) {
			o.fail(field, "is only allowed in chats: use /v1/chat/completions")
		}
	}
}

// tool reads one entry of tools.
func tool(c *object) llm.Tool {
	switch typ, ok := c.text("type"); {
	case !ok:
		c.fail("type", "is missing: it must be function")
	case typ != "function":
		c.unsupported("type")
	}
	v := c.raw("function")
	if v == nil {
		c.fail("function", "is missing")
		return llm.Tool{}
	}
	f := c.child("function", v)
	defer func() { c.adopt(f) }()
	return function(f, v)
}

// function reads the definition of a function. source is its JSON, of which templates keep the order.
func function(f *object, source json.RawMessage) llm.Tool {
	t := llm.Tool{Field: f.path, Source: string(source)}
	var ok bool
	if t.Name, ok = f.text("name"); !ok {
		f.fail("name", "is missing")
	}
	t.Description, _ = f.text("description")
	f.flag("strict") // arguments keep to the schema in any case
	if v := f.raw("parameters"); v != nil && kind(v) != "an object" {
		f.fail("parameters", "must be a JSON Schema of an object, got %s", kind(v))
	} else {
		t.Parameters = string(v)
	}
	return t
}

// chosen reads which of the tools an answer may or must call. It is false where none may be.
func chosen(o *object, field string, t *llm.Tools) bool {
	v := o.raw(field)
	if v == nil || string(v) == "{}" {
		return true
	}
	if kind(v) == "a string" {
		switch mode, _ := o.text(field); mode {
		case "", "auto":
			return true
		case "none":
			return false
		case "required", "any": // "any" is Mistral's
			t.Required = true
		default:
			o.fail(field, "must be none, auto, required, or an object that names a function")
		}
		wantTools(o, field, t)
		return true
	}
	c := o.child(field, v)
	defer func() { o.adopt(c) }()
	wantTools(c, "", t)
	typ, ok := c.text("type")
	switch {
	case typ == "allowed_tools":
		return allowed(c, t)
	case field == "function_call" || typ == "function":
		t.Only, t.Required = []string{functionName(c, field != "function_call")}, true
		t.Field = o.name(field)
	case !ok:
		c.fail("type", "is missing: it must be function or allowed_tools")
	default:
		c.fail("type", "must be function or allowed_tools")
	}
	return true
}

// wantTools refuses a choice among no tools.
func wantTools(o *object, field string, t *llm.Tools) {
	if len(t.List) > 0 || o.err != nil {
		return
	}
	name := o.path
	if field != "" {
		name = o.name(field)
	}
	o.err = badParam(name, "is only allowed with tools")
}

// functionName reads {"type": "function", "function": {"name": …}}; the name may also stand beside the type.
func functionName(c *object, nested bool) string {
	if v := c.raw("function"); nested && v != nil {
		f := c.child("function", v)
		defer func() { c.adopt(f) }()
		return functionName(f, false)
	}
	name, ok := c.text("name")
	if !ok {
		if nested {
			c.fail("function", "is missing")
		}
		c.fail("name", "is missing")
	}
	return name
}

// allowed reads {"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}; the inner fields may also stand
// beside the type.
func allowed(c *object, t *llm.Tools) bool {
	if v := c.raw("allowed_tools"); v != nil {
		inner, outer := c.child("allowed_tools", v), c
		defer func() { outer.adopt(inner) }()
		c = inner
	}
	switch mode, _ := c.text("mode"); mode {
	case "", "auto":
	case "required":
		t.Required = true
	default:
		c.fail("mode", "must be auto or required")
	}
	items, _ := c.list("tools", llm.MaxTools)
	for i, item := range items {
		f := c.child(fmt.Sprintf("tools[%d]", i), item)
		if typ, ok := f.text("type"); ok && typ != "function" {
			f.fail("type", "must be function")
		}
		t.Only = append(t.Only, functionName(f, true))
		c.adopt(f)
	}
	t.Field = c.name("tools")
	if len(items) == 0 {
		if t.Required {
			c.fail("tools", "must list at least one tool, as one must be called")
		}
		return false
	}
	return true
}
