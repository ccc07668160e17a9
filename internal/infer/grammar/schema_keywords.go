package grammar

import (
	"fmt"
	"math"
	"math/big"
)

// keywords read one keyword each into a constraint. l has the keyword's value and the path of its schema.
var keywords = map[string]func(c *constraint, l located, name string) error{
	"type": readType, "enum": readEnum, "const": readConst,
	"pattern": readString, "format": readString,
	"minLength":     size(func(c *constraint, n int) { c.minLen = n }),
	"maxLength":     size(func(c *constraint, n int) { c.maxLen = n }),
	"minItems":      size(func(c *constraint, n int) { c.minItems = n }),
	"maxItems":      size(func(c *constraint, n int) { c.maxItems = n }),
	"minProperties": readMinProperties,
	"maxProperties": size(func(c *constraint, n int) { c.maxProps = n }),
	"minimum":       readLimit, "maximum": readLimit, "exclusiveMinimum": readLimit, "exclusiveMaximum": readLimit,
	"multipleOf": readMultiple,
	"items":      readItems, "prefixItems": readPrefixItems, "uniqueItems": readUnique,
	"properties": readProperties, "required": readRequired, "additionalProperties": readAdditional,
	"patternProperties": readPatternProperties, "propertyNames": readNames,
	notInKeyword: readNotIn, notPatternKeyword: readNotPattern, looseKeyword: readLoose,
}

var kindNames = map[string]kind{"null": kindNull, "boolean": kindBool, "integer": kindInteger, "number": kindNumber,
	"string": kindString, "array": kindArray, "object": kindObject}

func readType(c *constraint, l located, name string) error {
	list := []*value{l.v}
	if l.v.kind == kindArray {
		list = l.v.items
	}
	c.kinds = 0
	for _, v := range list {
		k, ok := kindNames[v.text]
		if v.kind != kindString || !ok {
			return l.fail(name, "must be null, boolean, integer, number, string, array or object, got %s", v.spelled())
		}
		c.kinds |= k
	}
	if len(list) == 0 {
		return l.fail(name, "must be a type or a list of at least one, got []")
	}
	return nil
}

func readEnum(c *constraint, l located, name string) error {
	if l.v.kind != kindArray || len(l.v.items) == 0 {
		return l.fail(name, "must be a list of at least one value, got %s", l.v.shown())
	}
	c.restrict(l.v.items)
	return nil
}

func readConst(c *constraint, l located, _ string) error {
	c.restrict([]*value{l.v})
	return nil
}

// restrict keeps only values that are in a list too.
func (c *constraint) restrict(list []*value) {
	if c.values == nil {
		c.values = append([]*value{}, list...)
		return
	}
	keep := []*value{}
	known := map[string]bool{} // most are spelled the same: a quick way through long lists
	for _, v := range list {
		known[v.spelled()] = true
	}
	for _, v := range c.values {
		ok := known[v.spelled()]
		for i := 0; !ok && i < len(list) && len(list)*len(c.values) < 1<<20; i++ {
			ok = v.same(list[i])
		}
		if ok {
			keep = append(keep, v)
		}
	}
	c.values = keep
}

func readString(c *constraint, l located, name string) error {
	if l.v.kind != kindString {
		return l.fail(name, "must be a string, got %s", l.v.spelled())
	}
	s := source{l.v.text, l.path + "/" + name}
	if name == "pattern" {
		c.patterns = append(c.patterns, s)
		return nil
	}
	c.formats = append(c.formats, s)
	return nil
}

// size reads a count. One that is higher than any text could reach has no end.
func size(set func(c *constraint, n int)) func(*constraint, located, string) error {
	return func(c *constraint, l located, name string) error {
		n, err := count(l, name)
		if err == nil {
			set(c, n)
		}
		return err
	}
}

func count(l located, name string) (int, error) {
	if l.v.kind != kindInteger {
		return 0, l.fail(name, "must be a whole number, got %s", l.v.spelled())
	}
	r := l.v.number()
	if r.Sign() < 0 {
		return 0, l.fail(name, "must not be negative, got %s", l.v.text)
	}
	if !r.Num().IsInt64() || r.Num().Int64() > maxRepeat {
		if name[:3] == "max" { // never reached
			return -1, nil
		}
		return 0, at(l.path+"/"+name, tooCostly("is %s, at most %d are supported", l.v.text, maxRepeat))
	}
	return int(r.Num().Int64()), nil
}

func readMinProperties(c *constraint, l located, name string) (err error) {
	c.minProps, err = count(l, name)
	c.whereMinProps = l.path + "/" + name
	return err
}

func readLimit(c *constraint, l located, name string) error {
	low := name == "minimum" || name == "exclusiveMinimum"
	exclusive := name == "exclusiveMinimum" || name == "exclusiveMaximum"
	target := &c.high
	if low {
		target = &c.low
	}
	if exclusive && l.v.kind == kindBool { // as in draft 4
		if l.v.truth {
			target.exclusive = true
		}
		return nil
	}
	if l.v.kind&kindNumber == 0 {
		return l.fail(name, "must be a number, got %s", l.v.spelled())
	}
	if target.exclusive && target.at == nil { // draft 4, the flag first
		target.at = l.v.number()
		return nil
	}
	target.tighten(limit{l.v.number(), exclusive}, low)
	return nil
}

// tighten makes a limit at least as narrow as another.
func (l *limit) tighten(m limit, low bool) {
	if m.at == nil {
		return
	}
	if l.at == nil {
		*l = m
		return
	}
	order := m.at.Cmp(l.at)
	if !low {
		order = -order
	}
	if order > 0 || order == 0 && m.exclusive {
		*l = m
	}
}

func readMultiple(c *constraint, l located, name string) error {
	if l.v.kind&kindNumber == 0 || l.v.number().Sign() <= 0 {
		return l.fail(name, "must be a number above 0, got %s", l.v.spelled())
	}
	c.multiples = append(c.multiples, multiple{l.v.number(), l.path + "/" + name})
	return nil
}

func readItems(c *constraint, l located, name string) error {
	if l.v.kind == kindArray { // as in drafts before 2020-12
		return readPrefixItems(c, l, name)
	}
	if err := isSchema(l, name); err != nil {
		return err
	}
	c.items, c.itemsGiven = conj{{l.v, l.path + "/" + name}}, true
	return nil
}

func readPrefixItems(c *constraint, l located, name string) error {
	if l.v.kind != kindArray {
		return l.fail(name, "must be a list of schemas, got %s", l.v.shown())
	}
	for i, item := range l.v.items {
		c.prefix = append(c.prefix, conj{{item, fmt.Sprint(l.path, "/", name, "/", i)}})
	}
	return nil
}

func readUnique(c *constraint, l located, name string) error {
	if l.v.kind != kindBool {
		return l.fail(name, "must be true or false, got %s", l.v.shown())
	}
	if l.v.truth {
		c.unique = l.path + "/" + name
	}
	return nil
}

func isSchema(l located, name string) error {
	if l.v.kind != kindObject && l.v.kind != kindBool {
		return l.fail(name, "must be a schema: an object, true or false; got %s", l.v.spelled())
	}
	return nil
}

func readProperties(c *constraint, l located, name string) error {
	if l.v.kind != kindObject {
		return l.fail(name, "must be an object of schemas, got %s", l.v.shown())
	}
	for _, m := range l.v.members {
		child := located{m.value, l.path + "/" + name + "/" + escapePointer(m.name)}
		c.props = append(c.props, property{name: m.name, is: conj{child}, unsaid: isNegated(l.path)})
	}
	return nil
}

func readRequired(c *constraint, l located, name string) error {
	if l.v.kind != kindArray {
		return l.fail(name, "must be a list of names, got %s", l.v.shown())
	}
	for _, v := range l.v.items {
		if v.kind != kindString {
			return l.fail(name, "must be a list of names, got %s in it", v.spelled())
		}
		c.required = append(c.required, v.text)
	}
	return nil
}

func readAdditional(c *constraint, l located, name string) error {
	if err := isSchema(l, name); err != nil {
		return err
	}
	c.additional, c.additionalGiven = conj{{l.v, l.path + "/" + name}}, true
	return nil
}

func readPatternProperties(c *constraint, l located, name string) error {
	if l.v.kind != kindObject {
		return l.fail(name, "must be an object of schemas, got %s", l.v.shown())
	}
	for _, m := range l.v.members {
		path := l.path + "/" + name + "/" + escapePointer(m.name)
		c.patternProps = append(c.patternProps, patternProperty{source{m.name, path}, conj{{m.value, path}}})
	}
	return nil
}

func readNames(c *constraint, l located, name string) error {
	c.names = conj{{l.v, l.path + "/" + name}}
	return isSchema(l, name)
}

// wholeLimits gives the first and last integer within limits; nil where there is none.
func wholeLimits(low, high limit) (lo, hi *big.Int) {
	one := big.NewInt(1)
	if low.at != nil { // up
		lo = new(big.Int).Neg(floor(new(big.Rat).Neg(low.at)))
		if low.exclusive && low.at.IsInt() {
			lo.Add(lo, one)
		}
	}
	if high.at != nil {
		hi = floor(high.at)
		if high.exclusive && high.at.IsInt() {
			hi.Sub(hi, one)
		}
	}
	return lo, hi
}

func floor(r *big.Rat) *big.Int {
	q := new(big.Int)
	m := new(big.Int)
	q.DivMod(r.Num(), r.Denom(), m) // Euclidean: rounds down, as the denominator is positive
	return q
}

// digitsOf gives how many decimal digits a number has behind its point; −1 if they do not end.
func digitsOf(r *big.Rat) int {
	n, ok := r.FloatPrec()
	if !ok || n > math.MaxInt16 {
		return -1
	}
	return n
}
