package yamlfile

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// mostNodes bounds the values that a file can have with all its aliases: twice what bounded.YAML allows without them.
const mostNodes = 40_000

// reader sets values from nodes.
type reader struct {
	anchors  map[string]ast.Node // what aliases refer to
	lines    Lines
	problems []Problem
	last     int // line of the file
	left     int // of mostNodes
}

// line gives the line of a node, which is one of the file in any case.
func (r *reader) line(n ast.Node) int {
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return 1
	}
	return min(max(t.Position.Line, 1), r.last)
}

func (r *reader) add(n ast.Node, path, value, allowed string) {
	r.problems = append(r.problems, Problem{Line: r.line(n), Path: path, Value: value, Allowed: allowed})
}

// resolve follows aliases and anchors. A file can make them refer to each other, so it stops at some point.
func (r *reader) resolve(n ast.Node) ast.Node {
	for range 16 {
		switch t := n.(type) {
		case *ast.AliasNode:
			n = r.anchors[t.Value.String()]
		case *ast.AnchorNode:
			n = t.Value
		default:
			return n
		}
	}
	return nil
}

// under gives the path of a key below another.
func under(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// mapping sets the keys of a struct or a map that are not in seen. The result says whether n is a mapping.
func (r *reader) mapping(n ast.Node, v reflect.Value, path string, seen map[string]bool, depth int) bool {
	const deepest = 16 // merges in merges, which a file can make refer to each other
	m, ok := r.resolve(n).(ast.MapNode)
	if !ok || depth > deepest {
		return false
	}
	if r.left--; r.left < 0 {
		return true // Read says so
	}
	var merges []*ast.MappingValueNode // after all others, which take precedence
	for entries := m.MapRange(); entries.Next(); {
		pair := entries.KeyValue()
		if pair.Key.Type() == ast.MergeKeyType {
			merges = append(merges, pair)
			continue
		}
		key := nameOf(pair.Key)
		path := under(path, key)
		if seen[key] {
			if depth == 0 {
				r.add(pair.Key, path, "a second value", "must be given once")
			}
			continue
		}
		seen[key] = true
		r.lines[path] = r.line(pair.Key)
		if v.Kind() == reflect.Map {
			r.entry(pair.Value, v, key, path)
		} else if f, ok := Field(v, key); ok {
			r.set(pair.Value, f, path)
		} else {
			r.problems = append(r.problems, Problem{Line: r.lines[path], Path: path, Key: key, Known: Keys(v.Type())})
		}
	}
	for _, pair := range merges {
		if !r.mapping(pair.Value, v, path, seen, depth+1) {
			r.add(pair.Key, under(path, "<<"), shown(pair.Value), "must be a mapping")
		}
	}
	return true
}

// nameOf gives the text of a key.
func nameOf(n ast.MapKeyNode) string {
	if explicit, ok := n.(*ast.MappingKeyNode); ok { // "? KEY" on a line of its own
		if inner, ok := explicit.Value.(ast.MapKeyNode); ok {
			n = inner
		}
	}
	if t := n.GetToken(); t != nil {
		return t.Value
	}
	return n.String()
}

// Keys lists the keys of a struct in the order of its fields. A field whose tag is "-" has none.
func Keys(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		if key := keyOf(t.Field(i)); key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

// Field finds the field of a key in a struct.
func Field(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if name := keyOf(v.Type().Field(i)); name == key && name != "-" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

// entry sets an entry of a map.
func (r *reader) entry(n ast.Node, m reflect.Value, key, path string) {
	value := reflect.New(m.Type().Elem()).Elem()
	r.set(n, value, path)
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	m.SetMapIndex(reflect.ValueOf(key).Convert(m.Type().Key()), value)
}

// set sets a value.
func (r *reader) set(given ast.Node, v reflect.Value, path string) {
	if r.left--; r.left < 0 {
		return // Read says so
	}
	n := r.resolve(given)
	if n == nil {
		r.add(given, path, "an alias of nothing", mustBe(v.Type()))
		return
	}
	if n.Type() == ast.NullType {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		before := len(r.problems)
		value := reflect.New(v.Type().Elem())
		if r.set(n, value.Elem(), path); len(r.problems) == before || v.Type().Elem().Kind() == reflect.Struct {
			v.Set(value)
		}
	case reflect.Struct, reflect.Map:
		if !r.mapping(n, v, path, map[string]bool{}, 0) {
			r.add(given, path, shown(n), mustBe(v.Type()))
		}
	case reflect.Slice:
		r.list(given, n, v, path)
	case reflect.Interface:
		if x := r.plain(n, 0); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		r.scalar(given, n, v, path)
	}
}

// list sets a list. It has an entry for each of the file's, also where that has a problem.
func (r *reader) list(given, n ast.Node, v reflect.Value, path string) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		r.add(given, path, shown(n), mustBe(v.Type()))
		return
	}
	v.SetZero()
	for i, item := range sequence.Values {
		if r.left < 0 {
			return
		}
		path := fmt.Sprintf("%s[%d]", path, i)
		r.lines[path] = r.line(item)
		value := reflect.New(v.Type().Elem()).Elem()
		if x := r.resolve(item); x != nil && x.Type() == ast.NullType {
			r.add(item, path, "nothing", mustBe(value.Type()))
		} else {
			r.set(item, value, path)
		}
		v.Set(reflect.Append(v, value))
	}
}

// scalar sets text, a number or a boolean.
func (r *reader) scalar(given, n ast.Node, v reflect.Value, path string) {
	allowed := mustBe(v.Type())
	if v.Kind() == reflect.Int && !whole(n) {
		r.add(given, path, n.GetToken().Value, allowed) // the decoder would drop the fraction
		return
	}
	if text, ok := n.(*ast.StringNode); ok && v.Kind() == reflect.String {
		v.SetString(text.Value) // as the decoder does, which takes a hundred times as long
		return
	}
	value := reflect.New(v.Type())
	if err := yaml.NodeToValue(n, value.Interface()); err != nil {
		if strings.Contains(err.Error(), "overflow") {
			allowed += " that is not so large"
		}
		r.add(given, path, shown(n), allowed)
		return
	}
	v.Set(value.Elem())
}

// whole says whether a node is not a number with a fraction, without a value or without an end.
func whole(n ast.Node) bool {
	switch x := n.(type) {
	case *ast.FloatNode:
		return x.Value == math.Trunc(x.Value) && math.Abs(x.Value) <= 1<<53
	case *ast.InfinityNode, *ast.NanNode:
		return false
	}
	return true
}

// plain gives a node's content as maps, lists and scalars.
func (r *reader) plain(n ast.Node, depth int) any {
	const deepest = 200 // of a file without aliases: less than bounded.YAML allows, twice
	if r.left--; r.left < 0 || depth > deepest {
		r.left = min(r.left, 0) - 1
		return ""
	}
	switch n := r.resolve(n).(type) {
	case nil:
		return ""
	case ast.MapNode:
		out := map[string]any{}
		for entries := n.MapRange(); entries.Next(); {
			out[nameOf(entries.Key())] = r.plain(entries.Value(), depth+1)
		}
		return out
	case *ast.SequenceNode:
		out := make([]any, 0, len(n.Values))
		for _, item := range n.Values {
			out = append(out, r.plain(item, depth+1))
		}
		return out
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.TagNode:
		var out any
		if err := yaml.NodeToValue(n, &out); err != nil || out == nil {
			return ""
		}
		return out
	case ast.ScalarNode:
		return n.GetValue()
	default:
		return ""
	}
}

// mustBe says what the value for a type must be.
func mustBe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int:
		return "must be an integer"
	case reflect.Float64:
		return "must be a number"
	case reflect.Bool:
		return "must be true or false"
	case reflect.Struct, reflect.Map:
		return "must be a mapping: KEY: VALUE on each line"
	case reflect.Pointer:
		return mustBe(t.Elem())
	case reflect.Slice:
		of := map[reflect.Kind]string{reflect.Struct: "mappings", reflect.Int: "integers", reflect.Float64: "numbers"}
		return "must be a list of " + cmp.Or(of[t.Elem().Kind()], "text")
	}
	return "must be text"
}

// shown describes a node without its content, which may be long or secret; it shows only short scalars.
func shown(n ast.Node) string {
	const most = 40
	text := ""
	switch n := n.(type) {
	case nil:
		return "nothing"
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode:
		return "an alias"
	case *ast.LiteralNode:
		text = n.Value.Value
	default:
		if t := n.GetToken(); t != nil {
			text = t.Value
		}
	}
	return strconv.Quote(bounded.Short(text, most))
}
