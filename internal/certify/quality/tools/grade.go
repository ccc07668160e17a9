package tools

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Call is a call that a model made.
type Call struct {
	Name      string
	Arguments string // JSON, if the model wrote valid arguments
}

// Grade says how good an answer's calls are.
type Grade struct {
	// every called tool was offered, the arguments satisfy its schema, and there is a call if one was expected or
	// demanded
	Valid bool
	Named bool // the called tools are the expected ones, each the expected number of times
	Right bool // Named, and the arguments are the expected ones too
	Why   string
}

// Grade compares an answer's calls with the offered tools and with the expected calls. forced says that the request
// demanded a call.
func (q *Question) Grade(calls []Call, forced bool) Grade {
	var g Grade
	values := make([]map[string]any, len(calls))
	why := ""
	say := func(format string, args ...any) {
		if why == "" {
			why = fmt.Sprintf(format, args...)
		}
	}
	g.Valid = len(calls) > 0 || !forced && len(q.Expected) == 0
	if !g.Valid {
		say("no tool was called")
	}
	for i, c := range calls {
		v, err := q.arguments(c)
		if err != nil {
			g.Valid = false
			say("%v", err)
		}
		values[i] = v
	}
	if g.Named = q.named(calls); !g.Named {
		say("%s called, expected %s", namesOf(calls, func(c Call) string { return c.Name }),
			namesOf(q.Expected, func(e Expected) string { return e.Name }))
	}
	if !g.Valid || !g.Named {
		g.Why = why
		return g
	}
	g.Right, g.Why = q.right(calls, values)
	return g
}

// arguments decodes a call's arguments and checks them with the schema of its tool.
func (q *Question) arguments(c Call) (map[string]any, error) {
	s := q.schemas[c.Name]
	if s == nil {
		return nil, fmt.Errorf("%q was called, which is not one of the tools", c.Name)
	}
	text := c.Arguments
	if strings.TrimSpace(text) == "" {
		text = "{}" // some servers send an empty string for a call without arguments
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("%s: the arguments are not a JSON object: %w", c.Name, err)
	}
	if v == nil {
		return nil, fmt.Errorf("%s: the arguments must be a JSON object, got null", c.Name)
	}
	if err := s.Validate(v); err != nil {
		return nil, fmt.Errorf("%s: the arguments do not keep the schema: %w", c.Name, err)
	}
	return v, nil
}

func (q *Question) named(calls []Call) bool {
	var got, want []string
	for _, c := range calls {
		got = append(got, c.Name)
	}
	for _, e := range q.Expected {
		want = append(want, e.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	return slices.Equal(got, want)
}

func namesOf[T any](list []T, name func(T) string) string {
	if len(list) == 0 {
		return "no tool"
	}
	names := make([]string, len(list))
	for i, x := range list {
		names[i] = name(x)
	}
	return strings.Join(names, ", ")
}

// right says whether each expected call can be paired with a different call that equals it; their order does not
// matter. It searches augmenting paths of a bipartite matching: an argument may have several allowed values, so that
// the first matching call may be needed for another expected one.
func (q *Question) right(calls []Call, values []map[string]any) (ok bool, why string) {
	takenBy := make([]int, len(calls)) // the expected call that each call is paired with, from 1; 0 is none
	var place func(i int, seen []bool) bool
	place = func(i int, seen []bool) bool {
		e := q.Expected[i]
		for j, c := range calls {
			if seen[j] || c.Name != e.Name {
				continue
			}
			if wrong := q.differs(e, values[j]); wrong != "" {
				why = e.Name + ": " + wrong
				continue
			}
			seen[j] = true
			if takenBy[j] == 0 || place(takenBy[j]-1, seen) {
				takenBy[j] = i + 1
				return true
			}
		}
		return false
	}
	for i := range q.Expected {
		if !place(i, make([]bool, len(calls))) {
			return false, why
		}
	}
	return true, ""
}

// differs says how arguments differ from the expected ones, or returns "".
func (q *Question) differs(e Expected, got map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(got)) { // the same reason each time
		if _, ok := e.Arguments[name]; !ok && !q.isDefault(e.Name, name, got[name]) {
			return fmt.Sprintf("argument %s is not expected", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Arguments)) {
		allowed := e.Arguments[name]
		v, ok := got[name]
		switch {
		case ok && slices.ContainsFunc(allowed, func(want any) bool { return q.same(want, v) }):
		case !ok && (e.Optional[name] || slices.ContainsFunc(allowed,
			func(want any) bool { return q.isDefault(e.Name, name, want) })):
		case !ok:
			return fmt.Sprintf("argument %s is missing", name)
		default:
			data, _ := json.Marshal(v) // cannot fail: v was decoded from JSON
			want, _ := json.Marshal(allowed)
			return fmt.Sprintf("argument %s is %s, expected one of %s", name, data, want)
		}
	}
	return ""
}

// isDefault says whether a value is the default of a parameter.
func (q *Question) isDefault(tool, name string, v any) bool {
	p := q.schemas[tool].Schema().Properties[name]
	if p == nil || len(p.Default) == 0 {
		return false
	}
	var d any
	return json.Unmarshal(p.Default, &d) == nil && q.same(d, v)
}

// marks removes what BFCL removes from texts before it compares them.
var marks = strings.NewReplacer(" ", "", ",", "", ".", "", "/", "", "-", "", "_", "", "*", "", "^", "", "'", `"`)

// same says whether two decoded JSON values are equal. For BFCL's questions it compares texts loosely.
func (q *Question) same(want, got any) bool {
	if !q.loosely {
		return reflect.DeepEqual(want, got)
	}
	switch w := want.(type) {
	case string:
		g, ok := got.(string)
		return ok && strings.EqualFold(marks.Replace(w), marks.Replace(g))
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(w, g, q.same)
	case map[string]any: // each key with its allowed values
		g, ok := got.(map[string]any)
		return ok && q.sameObject(w, g)
	}
	return reflect.DeepEqual(want, got)
}

// sameObject compares an argument that is an object. BFCL lists the allowed values of each of its keys.
func (q *Question) sameObject(want, got map[string]any) bool {
	for key, v := range got {
		allowed, ok := want[key].([]any)
		if !ok {
			allowed = []any{want[key]}
		}
		if _, known := want[key]; !known || !slices.ContainsFunc(allowed, func(w any) bool { return q.same(w, v) }) {
			return false
		}
	}
	for key, v := range want {
		allowed, _ := v.([]any)
		if _, ok := got[key]; !ok && !slices.ContainsFunc(allowed, func(x any) bool { return x == "" }) {
			return false
		}
	}
	return true
}
