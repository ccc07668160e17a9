package yamlfile

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/hxp-enterprise/mixtral/internal/base/bounded"
)

// ErrSyntax is matched when a file cannot be read as YAML. The message shows the line.
var ErrSyntax = errors.New("not valid YAML")

// Problem is an error about one key.
type Problem struct {
	Line    int
	Path    string   // of the key: "replicas[2].name"
	Key     string   // the last part of Path, if it is unknown
	Known   []string // the keys that are allowed where Key is not
	Value   string   // as given; empty if the key is unknown
	Allowed string   // "must be an integer"; empty if the key is unknown
}

// Lines has the line of each key and of each entry of a list, by its path. The path of the whole file is empty.
type Lines map[string]int

// Read sets keys of the struct that to points to from a file's content. name is the file's name, for messages; it may
// be empty. It returns an error if the file is not one mapping; everything else is among the problems, in the file's
// order. A null leaves a key as it is. Values with a problem are not set.
func Read(to any, name string, data []byte) (lines Lines, problems []Problem, err error) {
	defer func() {
		if recover() != nil { // the YAML library panics on some invalid files
			lines, problems, err = nil, nil, fmt.Errorf("%w: %s", ErrSyntax, at(name, "cannot be read"))
		}
	}()
	if err := bounded.YAML(data); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrSyntax, at(name, err.Error()))
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
			return nil, nil, fmt.Errorf("%w: %s", ErrSyntax, at(name, "has more than one document"))
		}
		body = d.Body
	}
	r := reader{anchors: map[string]ast.Node{}, lines: Lines{"": 1}, last: 1 + strings.Count(string(data), "\n"),
		left: mostNodes}
	if body == nil {
		return r.lines, nil, nil
	}
	for _, n := range ast.Filter(ast.AnchorType, body) {
		a := n.(*ast.AnchorNode)
		r.anchors[a.Name.String()] = a.Value
	}
	r.lines[""] = r.line(body)
	if !r.mapping(body, reflect.ValueOf(to).Elem(), "", map[string]bool{}, 0) {
		return nil, nil, fmt.Errorf("%w: %s: must be a mapping: KEY: VALUE on each line", ErrSyntax,
			Place(name, r.line(body)))
	}
	if r.left < 0 {
		return nil, nil, fmt.Errorf("%w: %s", ErrSyntax,
			at(name, fmt.Sprintf("%v: its aliases make more than %d values", bounded.ErrTooLarge, mostNodes)))
	}
	return r.lines, r.problems, nil
}

// Place names a line of a file: "mixtral.yaml:3", or "line 3" without a name.
func Place(name string, line int) string {
	if name == "" {
		return fmt.Sprintf("line %d", line)
	}
	return fmt.Sprintf("%s:%d", name, line)
}

// at puts a file's name before what is wrong with it.
func at(name, text string) string {
	if name == "" {
		return text
	}
	return name + ": " + text
}

// syntaxError shows the wrong line with a mark below the error.
func syntaxError(name string, err error) error {
	var detail yaml.Error
	if !errors.As(err, &detail) || detail.GetToken() == nil {
		return fmt.Errorf("%w: %s", ErrSyntax, at(name, bounded.Short(err.Error(), 300)))
	}
	message, token := detail.GetMessage(), detail.GetToken()
	// Drop the first line: it names the place, which the formatter would show a second time.
	_, source, _ := strings.Cut(yaml.FormatErrorWithToken(message, token, false, true), "\n")
	return fmt.Errorf("%w: %s: %s\n%s", ErrSyntax, Place(name, token.Position.Line), bounded.Short(message, 300),
		strings.TrimRight(bounded.Lines(source), "\n "))
}
