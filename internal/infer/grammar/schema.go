package grammar

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// schemas compiles one JSON Schema (draft 2020-12, with what older drafts and OpenAPI 3.0 spell otherwise).
//
// A schema is taken apart in three steps: read makes the keywords of one schema object a constraint; expand follows
// $ref, allOf, anyOf and oneOf, so that a schema becomes a list of constraints of which one must hold; and value makes
// texts of each constraint. Whatever of a schema the texts would not keep to is an error that names the keyword.
type schemas struct {
	rules
	root    *value
	compile map[string]*compiled
	formats map[string]*expr // rules of the contents of formats that came
	any     *expr            // the rule of any value
	strs    *expr
	nums    *expr
	exprs   int
	pending []string // the schemas being expanded, for cycles of $ref

	joined int               // constraints that were joined
	refs   *references       // nil until a $ref asks
	slips  map[string]string // see meant

	once   string // where the uniqueItems stands whose items are compiled; see schema_differ.go
	sorted bool   // members come in the order of their names
	differ []differing
	// any value, written in one way
	anyOnce *expr
}

// compiled is a schema of which there are texts, or will be.
type compiled struct {
	rule int
	e    *expr // nil while it is being made
}

// located is a schema and where it stands.
type located struct {
	v    *value
	path string // "#/properties/a"
}

func (l located) child(name string) located {
	return located{l.v.get(name), l.path + "/" + escapePointer(name)}
}

func (l located) fail(keyword, format string, args ...any) error {
	return &Error{Where: l.path + "/" + escapePointer(keyword), Reason: fmt.Sprintf(format, args...)}
}

var (
	pointerEscapes   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescapes = strings.NewReplacer("~1", "/", "~0", "~")
)

func escapePointer(name string) string { return pointerEscapes.Replace(name) }

// readSchema compiles a schema.
func readSchema(source string) (*rules, error) {
	root, err := parseJSON(source)
	if err != nil {
		return nil, err
	}
	return readSchemaValue(root)
}

func readSchemaValue(root *value) (*rules, error) {
	s := newSchemas(root)
	body, err := s.value(conj{located{root, "#"}})
	if err != nil {
		return nil, asWritten(err)
	}
	s.bodies[0] = body
	if err := s.enough(); err != nil {
		return nil, asWritten(err)
	}
	return &s.rules, nil
}

// readJSONObject gives any JSON object.
func readJSONObject() (*rules, error) {
	s := newSchemas(&value{kind: kindBool, truth: true})
	s.bodies[0] = s.anyObject()
	return &s.rules, nil
}

// schemaRule is the name of a schema's first rule.
const schemaRule = "the schema"

func newSchemas(root *value) *schemas {
	dropNulls(root)
	s := &schemas{root: root, compile: map[string]*compiled{}, formats: map[string]*expr{},
		slips: map[string]string{}}
	s.add(schemaRule)
	s.strs, s.nums, s.any = ref(s.add("any string")), ref(s.add("any number")), ref(s.add("any value"))
	s.bodies[s.strs.rule], s.bodies[s.nums.rule] = stringOf(anyChars(0, -1)), numberText()
	s.bodies[s.any.rule] = alt(text("null"), text("true"), text("false"), s.nums, s.strs, s.anyArray(), s.anyObject())
	return s
}

// conj is schemas that must all hold; none means any value.
type conj []located

func (c conj) key() string {
	var paths []string
	for _, l := range c {
		paths = append(paths, l.path)
	}
	slices.Sort(paths)
	return strings.Join(slices.Compact(paths), " & ")
}

// constraint is what the keywords of schemas without alternatives demand together.
type constraint struct {
	path   string
	kinds  kind     // the types of texts that are made
	valid  kind     // the types that the schema allows
	values []*value // nil: any

	patterns       []source // of strings, regular expressions
	formats        []source
	minLen, maxLen int // −1: no limit

	low, high limit
	multiples []multiple

	prefix             []conj
	items              conj // of those behind the prefix
	itemsGiven         bool
	minItems, maxItems int
	unique             string // where uniqueItems stands; empty: nowhere
	contains           []containment

	props              []property
	required           []string
	additional         conj
	additionalGiven    bool
	patternProps       []patternProperty
	minProps, maxProps int
	names              conj // of all members
	whereMinProps      string
	// only schemas that were negated speak of members, or of items, but for props: for unevaluatedProperties and
	// unevaluatedItems they are not spoken of
	unsaidMembers, unsaidItems bool

	notIn       []*value // values that are forbidden
	notPatterns []source // what strings must not match
	loose       bool     // the schema may allow more than this says
}

type source struct{ text, path string }

// limit is a bound of numbers.
type limit struct {
	at        *big.Rat // nil: none
	exclusive bool
}

type multiple struct {
	of   *big.Rat
	path string
}

type property struct {
	name string
	is   conj
	// only schemas that were negated name it: for unevaluatedProperties it is not there
	unsaid bool
}

type patternProperty struct {
	pattern source
	is      conj
}

func anything(path string) *constraint {
	return &constraint{path: path, kinds: kindAny, valid: kindAny, maxLen: -1, maxItems: -1, maxProps: -1}
}

// read makes one schema object's own keywords a constraint.
func (s *schemas) read(l located) (*constraint, error) {
	c := anything(l.path)
	for _, m := range l.v.members {
		read, ok := keywords[m.name]
		switch {
		case ok:
			if err := read(c, located{m.value, l.path}, m.name); err != nil {
				return nil, err
			}
		case !silent[m.name]:
			if err := s.unknown(l, m); err != nil {
				return nil, err
			}
		}
	}
	if nullable(l.v) {
		c.kinds |= kindNull
		if c.values != nil {
			c.values = append(c.values, &value{kind: kindNull})
		}
	}
	c.valid = c.kinds
	if extra := l.child("additionalItems"); extra.v != nil && len(c.prefix) > 0 && !c.itemsGiven {
		c.items, c.itemsGiven = conj{extra}, true
	}
	if isNegated(l.path) {
		c.unsaidMembers = c.additionalGiven || len(c.patternProps) > 0
		c.unsaidItems = c.itemsGiven || len(c.prefix) > 0
	}
	c.narrow(l.v)
	return c, s.readContains(c, l)
}

// narrow gives a schema without type the type that its keywords are about, if they are about one. Texts of the other
// types would be valid too, but nobody wants them.
func (c *constraint) narrow(v *value) {
	if v.get("type") != nil || c.values != nil {
		return
	}
	about := kind(0)
	for _, m := range v.members {
		about |= aboutKind[m.name]
	}
	if about != 0 {
		c.kinds &= about
		if nullable(v) {
			c.kinds |= kindNull
		}
	}
}

// nullable reads OpenAPI 3.0's keyword.
func nullable(v *value) bool {
	n := v.get("nullable")
	return n != nil && n.truth
}

var aboutKind = map[string]kind{
	"pattern": kindString, "format": kindString, "minLength": kindString, "maxLength": kindString,
	"minimum": kindNumber, "maximum": kindNumber, "exclusiveMinimum": kindNumber, "exclusiveMaximum": kindNumber,
	"multipleOf": kindNumber,
	"items":      kindArray, "prefixItems": kindArray, "minItems": kindArray, "maxItems": kindArray,
	"uniqueItems": kindArray, "contains": kindArray, "properties": kindObject, "required": kindObject,
	"additionalProperties": kindObject,
	"patternProperties":    kindObject, "minProperties": kindObject, "propertyNames": kindObject,
	"dependentRequired": kindObject, "dependentSchemas": kindObject, "dependencies": kindObject,
	"maxProperties": kindObject,
}
