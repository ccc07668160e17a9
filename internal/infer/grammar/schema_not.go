package grammar

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Keywords of the schemas that negate makes, which no schema from outside can have a use for.
const (
	notInKeyword      = "\x00not in"      // the value is none of a list
	notPatternKeyword = "\x00not pattern" // the string matches no part of a regular expression
	looseKeyword      = "\x00loose"       // the schema has fewer values than it stands for
)

func document(pairs ...any) *value {
	v := &value{kind: kindObject}
	for i := 0; i < len(pairs); i += 2 {
		v.members = append(v.members, member{pairs[i].(string), pairs[i+1].(*value)})
	}
	return v
}

func words(list ...string) *value {
	v := &value{kind: kindArray}
	for _, s := range list {
		v.items = append(v.items, word(s))
	}
	return v
}

func word(s string) *value { return &value{kind: kindString, text: s} }

func listOf(items ...*value) *value { return &value{kind: kindArray, items: items} }

func truth(b bool) *value { return &value{kind: kindBool, truth: b} }

// negated gives a schema of the values that a schema does not allow. keyword, of the schema l, is where it is wanted.
func (s *schemas) negated(l located, keyword string, of located) (located, error) {
	v, err := s.negate(of, 0)
	if err != nil {
		return l, l.fail(keyword, "%v", err)
	}
	return located{v, "not(" + of.path + ")"}, nil
}

// isNegated tells the paths of schemas that negated has made.
func isNegated(path string) bool { return strings.HasPrefix(path, "not(") }

// asWritten names the place of the schema that was negated where an error is in the one made of it.
func asWritten(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	where := e.Where
	if i := strings.LastIndex(where, "not("); i >= 0 {
		where, _, _ = strings.Cut(where[i+len("not("):], ")")
	}
	return &Error{where, e.Reason, e.costly, e.Tag}
}

// negate makes it, keyword by keyword: what breaks one of them breaks the schema.
func (s *schemas) negate(l located, depth int) (*value, error) {
	if depth > maxLook {
		return nil, fmt.Errorf("a schema of more than %d levels, or one that refers to itself, cannot be negated",
			maxLook)
	}
	switch l.v.kind {
	case kindBool:
		return truth(!l.v.truth), nil
	case kindObject:
	default:
		return nil, fmt.Errorf("must be a schema: an object, true or false; got %s", l.v.spelled())
	}
	var broken []*value
	for _, m := range l.v.members {
		refers := slices.Contains(refKeywords, m.name)
		if !refers && silent[m.name] && negations[m.name] == nil && !inexpressible[m.name] {
			continue
		}
		if !silent[m.name] && keywords[m.name] == nil {
			if err := s.unknown(l, m); err != nil {
				return nil, err
			}
			continue
		}
		if refers {
			target, err := s.resolve(l, m.name)
			if err != nil {
				return nil, err
			}
			v, err := s.negate(target, depth+1)
			if err != nil {
				return nil, err
			}
			broken = append(broken, v)
			continue
		}
		make, ok := negations[m.name]
		if !ok {
			return nil, inNegation("the keyword %q", m.name)
		}
		parts, err := make(s, located{m.value, l.path + "/" + escapePointer(m.name)}, m.name, depth+1)
		if err != nil {
			return nil, err
		}
		broken = append(broken, parts...)
	}
	switch len(broken) {
	case 0:
		return truth(false), nil
	case 1:
		return broken[0], nil
	}
	return document("anyOf", listOf(broken...)), nil
}

// inNegation is the error for a part of a schema, under not or where not is implied, whose invalid values no schema
// that is supported describes.
func inNegation(what, keyword string) error {
	return fmt.Errorf(what+" is not supported here: its complement cannot be described", keyword)
}

// inexpressible are keywords that say something together with others only.
var inexpressible = map[string]bool{"nullable": true, "additionalItems": true, "unevaluatedProperties": true,
	"unevaluatedItems": true, "dependentRequired": true, "dependentSchemas": true, "dependencies": true, "if": true,
	"then": true, "else": true, "minContains": true, "maxContains": true, "oneOf": true}

// negations give, for a keyword, schemas of which each value keeps to one if it breaks the keyword.
var negations map[string]func(s *schemas, l located, name string, depth int) ([]*value, error)

func init() { // they negate what stands within them
	negations = map[string]func(*schemas, located, string, int) ([]*value, error){
		"type": notType, "enum": notEnum, "const": notEnum, "pattern": notPattern, "required": notRequired,
		"properties": notProperties, "allOf": notAll, "anyOf": notAny, "not": notNot, "items": notItems,
		"contains":  notContains,
		"minLength": notCount, "maxLength": notCount, "minItems": notCount, "maxItems": notCount,
		"minProperties": notCount, "maxProperties": notCount,
		"minimum": notLimit, "maximum": notLimit, "exclusiveMinimum": notLimit, "exclusiveMaximum": notLimit,
	}
}

func notType(_ *schemas, l located, name string, _ int) ([]*value, error) {
	c := anything(l.path)
	if err := readType(c, l, name); err != nil {
		return nil, err
	}
	var left []string
	for _, other := range []string{"null", "boolean", "integer", "number", "string", "array", "object"} {
		if c.kinds&kindNames[other] == 0 {
			left = append(left, other)
		}
	}
	out := document("type", words(left...))
	if len(left) == 0 {
		return []*value{truth(false)}, nil
	}
	if c.kinds&kindNumber == kindInteger { // numbers with a fraction are left too
		out.members = append(out.members, member{looseKeyword, truth(true)})
	}
	return []*value{out}, nil
}

func notEnum(_ *schemas, l located, name string, _ int) ([]*value, error) {
	list := listOf(l.v)
	if name == "enum" {
		list = l.v
	}
	return []*value{document(notInKeyword, list)}, nil
}

func notPattern(_ *schemas, l located, _ string, _ int) ([]*value, error) {
	return []*value{document("type", word("string"), notPatternKeyword, l.v)}, nil
}

func notRequired(_ *schemas, l located, name string, _ int) (out []*value, err error) {
	c := anything(l.path)
	if err := readRequired(c, l, name); err != nil {
		return nil, err
	}
	for _, missing := range c.required {
		out = append(out, document("type", word("object"), "properties", document(missing, truth(false))))
	}
	return out, nil
}

func notProperties(s *schemas, l located, name string, depth int) (out []*value, err error) {
	if l.v.kind != kindObject {
		return nil, l.fail(name, "must be an object of schemas, got %s", l.v.shown())
	}
	for _, m := range l.v.members {
		v, err := s.negate(located{m.value, l.path + "/" + escapePointer(m.name)}, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, document("type", word("object"), "required", words(m.name), "properties", document(m.name,
			v)))
	}
	return out, nil
}

func (s *schemas) negateAll(l located, depth int) (out []*value, err error) {
	for i, item := range l.v.items {
		v, err := s.negate(located{item, l.path + "/" + strconv.Itoa(i)}, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func notAll(s *schemas, l located, _ string, depth int) ([]*value, error) {
	return s.negateAll(l, depth)
}

func notAny(s *schemas, l located, _ string, depth int) ([]*value, error) {
	all, err := s.negateAll(l, depth)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return []*value{document("allOf", listOf(all...))}, nil
}

func notNot(_ *schemas, l located, _ string, _ int) ([]*value, error) { return []*value{l.v}, nil }

func notItems(s *schemas, l located, name string, depth int) ([]*value, error) {
	if l.v.kind == kindArray {
		return nil, inNegation("a list of %q", name)
	}
	v, err := s.negate(l, depth)
	return []*value{document("type", word("array"), "contains", v)}, err
}

func notContains(s *schemas, l located, _ string, depth int) ([]*value, error) {
	v, err := s.negate(l, depth)
	return []*value{document("type", word("array"), "items", v)}, err
}

func notCount(_ *schemas, l located, name string, _ int) ([]*value, error) {
	n, err := count(l, name)
	if err != nil {
		return nil, err
	}
	typ := map[string]string{"Length": "string", "Items": "array", "Properties": "object"}[name[3:]]
	other, m := "min"+name[3:], n+1
	if name[:3] == "min" {
		other, m = "max"+name[3:], n-1
	}
	if m < 0 || n < 0 { // every value keeps to it
		return nil, nil
	}
	return []*value{document("type", word(typ), other, &value{kind: kindInteger, text: strconv.Itoa(m)})}, nil
}

func notLimit(_ *schemas, l located, name string, _ int) ([]*value, error) {
	if l.v.kind&kindNumber == 0 {
		return nil, inNegation("draft 4's form of %q", name)
	}
	other := map[string]string{"minimum": "exclusiveMaximum", "maximum": "exclusiveMinimum",
		"exclusiveMinimum": "maximum", "exclusiveMaximum": "minimum"}[name]
	return []*value{document("type", word("number"), other, l.v)}, nil
}

// conditions adds not, if, then and else of a schema.
func (s *schemas) conditions(list []*constraint, l located) ([]*constraint, error) {
	if is := l.child("not"); is.v != nil {
		other, err := s.negated(l, "not", is)
		if err != nil {
			return nil, err
		}
		if list, err = s.with(list, other); err != nil {
			return nil, err
		}
	}
	is, then, otherwise := l.child("if"), l.child("then"), l.child("else")
	if is.v == nil || then.v == nil && otherwise.v == nil {
		return list, nil
	}
	not, err := s.negated(l, "if", is)
	if err != nil {
		return nil, err
	}
	var all []*constraint
	for _, way := range [][2]located{{is, then}, {not, otherwise}} {
		part, err := s.with(list, way[0])
		if err == nil && way[1].v != nil {
			part, err = s.with(part, way[1])
		}
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); len(all) > maxVariants {
			return nil, at(l.path, tooCostly("more than %d combinations of alternatives", maxVariants))
		}
	}
	return all, nil
}

func readNotIn(c *constraint, l located, name string) error {
	if l.v.kind != kindArray {
		return l.fail(name, "must be a list")
	}
	c.notIn = append(c.notIn, l.v.items...)
	return nil
}

func readNotPattern(c *constraint, l located, name string) error {
	if l.v.kind != kindString {
		return l.fail(name, "must be a string")
	}
	c.notPatterns = append(c.notPatterns, source{l.v.text, l.path + "/pattern"})
	return nil
}

func readLoose(c *constraint, _ located, _ string) error {
	c.loose = true
	return nil
}

// excludes says that values of a kind are forbidden one by one.
func (c *constraint) excludes(k kind) bool {
	return slices.ContainsFunc(c.notIn, func(v *value) bool { return v.kind&k != 0 })
}

// otherStrings gives the contents of strings that no pattern of notPatterns matches and that are not in notIn.
func (c *constraint) otherStrings() (*expr, error) {
	var bad []*expr
	for _, p := range c.notPatterns {
		e, err := regexText(p.text, false)
		if err != nil {
			return nil, at(p.path, err)
		}
		bad = append(bad, e)
	}
	for _, v := range c.notIn {
		if v.kind == kindString {
			bad = append(bad, text(v.text))
		}
	}
	if len(bad) == 0 {
		return nil, nil
	}
	all, err := determinise(star(anyRune))
	if err != nil {
		return nil, err
	}
	for _, e := range bad {
		d, err := determinise(e)
		if err == nil {
			all, err = without(all, d)
		}
		if err != nil {
			return nil, at(c.path, err)
		}
	}
	return &expr{op: opDFA, auto: all}, nil
}
