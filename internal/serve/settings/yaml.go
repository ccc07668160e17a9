package settings

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// ErrSyntax is matched when a file cannot be read as YAML. The message shows the line.
var ErrSyntax = errors.New("not valid YAML")

// Places says where a key was set: "mixtral.yaml:3", or the name of an environment variable.
type Places map[string]string

// YAML sets keys of the struct that to points to from a file's content. name is the file's name, for messages. It
// returns an error if the file is not one mapping; everything else is among the problems, in the file's order.
func YAML(to any, name string, data []byte) (Places, []Problem, error) {
	if err := bounded.YAML(data); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrSyntax, name, err)
	}
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, nil, syntaxError(name, err)
	}
	var body ast.Node
	for _, d := range file.Docs {
		if d.Body == nil || d.Body.Type() == ast.NullType || d.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return nil, nil, fmt.Errorf("%w: %s: has more than one document", ErrSyntax, name)
		}
		body = d.Body
	}
	if body == nil {
		return Places{}, nil, nil
	}
	r := reader{to: to, name: name, anchors: anchorsOf(body), seen: Places{}}
	if !r.mapping(body, false) {
		return nil, nil, fmt.Errorf("%w: %s:%d: must be a mapping: KEY: VALUE on each line", ErrSyntax, name,
			body.GetToken().Position.Line)
	}
	return r.seen, r.problems, nil
}

// syntaxError shows the wrong line with a mark below the error.
func syntaxError(name string, err error) error {
	var detail yaml.Error
	if !errors.As(err, &detail) || detail.GetToken() == nil {
		return fmt.Errorf("%w: %s: %w", ErrSyntax, name, err)
	}
	message, token := detail.GetMessage(), detail.GetToken()
	// Drop the first line: it names the place, which the formatter would show a second time.
	_, source, _ := strings.Cut(yaml.FormatErrorWithToken(message, token, false, true), "\n")
	return fmt.Errorf("%w: %s:%d: %s\n%s", ErrSyntax, name, token.Position.Line, bounded.Short(message, 300),
		strings.TrimRight(bounded.Lines(source), "\n "))
}

// anchorsOf finds the nodes that aliases refer to.
func anchorsOf(body ast.Node) map[string]ast.Node {
	anchors := map[string]ast.Node{}
	for _, n := range ast.Filter(ast.AnchorType, body) {
		a := n.(*ast.AnchorNode)
		anchors[a.Name.String()] = a.Value
	}
	return anchors
}

// reader sets keys from nodes.
type reader struct {
	to       any
	prefix   string // of the keys: "replicas[2]."
	name     string
	anchors  map[string]ast.Node
	seen     Places
	problems []Problem
}

func (r *reader) place(at ast.Node) string {
	return fmt.Sprintf("%s:%d", r.name, at.GetToken().Position.Line)
}

func (r *reader) add(at ast.Node, key, value, allowed string) {
	r.problems = append(r.problems, Problem{Place: r.place(at), Key: r.prefix + key, Value: value, Allowed: allowed})
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

// mapping sets the keys of a mapping. A merged mapping sets only those keys that the file does not set itself. The
// result says whether n is a mapping.
func (r *reader) mapping(n ast.Node, merged bool) bool {
	m, ok := r.resolve(n).(ast.MapNode)
	if !ok {
		return false
	}
	var merges []*ast.MappingValueNode // after all others, which take precedence
	for entries := m.MapRange(); entries.Next(); {
		pair := entries.KeyValue()
		key := pair.Key.String()
		if t := pair.Key.GetToken(); t != nil && pair.Key.Type() != ast.MergeKeyType {
			key = t.Value
		}
		if pair.Key.Type() == ast.MergeKeyType {
			merges = append(merges, pair)
			continue
		}
		if r.seen[r.prefix+key] != "" {
			if !merged {
				r.add(pair.Key, key, "a second value", "must be given once")
			}
			continue
		}
		r.seen[r.prefix+key] = r.place(pair.Key)
		r.set(pair, key)
	}
	for _, pair := range merges {
		if merged || !r.mapping(pair.Value, true) {
			r.add(pair.Key, "<<", shown(pair.Value), "must be a mapping without merges of its own")
		}
	}
	return true
}

// set sets a key.
func (r *reader) set(pair *ast.MappingValueNode, key string) {
	f, ok := field(r.to, key)
	if !ok {
		r.add(pair.Key, key, "", "")
		return
	}
	n := r.resolve(pair.Value)
	if n == nil {
		r.add(pair.Value, key, "an alias of nothing", mustBe[f.Kind()])
		return
	}
	if n.Type() == ast.NullType {
		return // the default stays
	}
	if f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct {
		r.list(n, f, key)
		return
	}
	value := reflect.New(f.Type())
	if x, fraction := n.(*ast.FloatNode); fraction && f.Kind() == reflect.Int && x.Value != math.Trunc(x.Value) {
		r.add(n, key, fmt.Sprint(x.Value), mustBe[f.Kind()]) // the decoder would drop the fraction
	} else if err := yaml.NodeToValue(n, value.Interface()); err != nil {
		allowed := mustBe[f.Kind()]
		if strings.Contains(err.Error(), "overflow") {
			allowed += " that is not so large"
		}
		r.add(n, key, shown(n), allowed)
	} else {
		f.Set(value.Elem())
	}
}

// list sets a list of mappings.
func (r *reader) list(n ast.Node, f reflect.Value, key string) {
	sequence, ok := n.(*ast.SequenceNode)
	if !ok {
		r.add(n, key, shown(n), "must be a list of mappings")
		return
	}
	for i, item := range sequence.Values {
		to := reflect.New(f.Type().Elem())
		inner := reader{to: to.Interface(), prefix: fmt.Sprintf("%s%s[%d].", r.prefix, key, i), name: r.name,
			anchors: r.anchors, seen: r.seen}
		if !inner.mapping(item, false) {
			r.add(item, fmt.Sprintf("%s[%d]", key, i), shown(item), "must be a mapping: KEY: VALUE on each line")
		}
		r.problems = append(r.problems, inner.problems...)
		f.Set(reflect.Append(f, to.Elem()))
	}
}

// shown describes a node without its content, which may be long or secret; it shows only short scalars.
func shown(n ast.Node) string {
	const most = 40
	switch n.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	text := n.GetToken().Value
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}
