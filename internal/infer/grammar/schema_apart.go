package grammar

import (
	"slices"
	"unicode/utf8"
)

// rejects says whether it is certain that no text made for one of made is valid for any of others.
func (s *schemas) rejects(others, made []*constraint) bool {
	for _, a := range made {
		for _, b := range others {
			if !s.apart(a, b, 0) {
				return false
			}
		}
	}
	return true
}

// maxLook bounds how deep two schemas are compared.
const maxLook = 8

// apart says whether it is certain that no text made for a is valid for b.
func (s *schemas) apart(a, b *constraint, depth int) bool {
	if depth > maxLook || b.loose {
		return false
	}
	switch {
	case a.values != nil:
		return s.noneHolds(b, a.values)
	case b.values != nil:
		return s.noneHolds(a, b.values)
	}
	both := a.kinds & b.valid
	if both&(kindNull|kindBool) != 0 {
		return false
	}
	if both&kindNumber != 0 && !before(a.high, b.low) && !before(b.high, a.low) {
		return false
	}
	if both&kindString != 0 && !stringsApart(a, b) {
		return false
	}
	if both&kindArray != 0 && !s.arraysApart(a, b, depth) {
		return false
	}
	return both&kindObject == 0 || s.objectsApart(a, b, depth)
}

func (s *schemas) noneHolds(c *constraint, values []*value) bool {
	for _, v := range values {
		if ok, err := s.holds(c, v, 0); ok || err != nil {
			return false
		}
	}
	return true
}

// before says that all numbers up to high are below those from low.
func before(high, low limit) bool {
	if high.at == nil || low.at == nil {
		return false
	}
	order := high.at.Cmp(low.at)
	return order < 0 || order == 0 && (high.exclusive || low.exclusive)
}

func stringsApart(a, b *constraint) bool {
	if a.maxLen >= 0 && a.maxLen < b.minLen || b.maxLen >= 0 && b.maxLen < a.minLen {
		return true
	}
	bare := *b
	bare.formats = nil // whether a validator looks at them is its own choice
	if len(a.patterns)+len(a.formats) == 0 || len(b.patterns) == 0 {
		return false
	}
	var dfas []*dfa
	for _, c := range []*constraint{a, &bare} {
		list, _, err := c.contents()
		if err != nil {
			return false
		}
		d, err := c.content(list)
		if err != nil {
			return false
		}
		dfas = append(dfas, d)
	}
	common, err := both(dfas[0], dfas[1])
	return err == nil && common.isEmpty()
}

func (s *schemas) arraysApart(a, b *constraint, depth int) bool {
	if a.maxItems >= 0 && a.maxItems < b.minItems || b.maxItems >= 0 && b.maxItems < a.minItems {
		return true
	}
	for i := range min(a.minItems, max(len(a.prefix), len(b.prefix), 1)) {
		if s.conjApart(a.item(i), b.item(i), depth) {
			return true
		}
	}
	return false
}

func (s *schemas) objectsApart(a, b *constraint, depth int) bool {
	if len(a.patternProps)+len(b.patternProps) > 0 {
		return false
	}
	for _, name := range a.required { // always there
		if s.conjApart(a.member(name), b.member(name), depth) {
			return true
		}
	}
	if a.isFree() {
		return false
	}
	for _, name := range b.required { // never there
		if a.prop(name) < 0 && !slices.Contains(a.required, name) && !a.additionalGiven {
			return true
		}
	}
	return false
}

func (s *schemas) conjApart(a, b conj, depth int) bool {
	xs, err := s.expand(a)
	if err != nil {
		return false
	}
	ys, err := s.expand(b)
	if err != nil {
		return false
	}
	for _, x := range xs {
		for _, y := range ys {
			if !s.apart(x, y, depth+1) {
				return false
			}
		}
	}
	return true
}

// holds says whether a value keeps to a constraint, as JSON Schema defines it.
func (s *schemas) holds(c *constraint, v *value, depth int) (bool, error) {
	if slices.ContainsFunc(c.notIn, v.same) {
		return false, nil
	}
	if c.valid&v.kind == 0 || c.values != nil && !slices.ContainsFunc(c.values, v.same) {
		return false, nil
	}
	switch v.kind {
	case kindInteger, kindFraction:
		return c.holdsNumber(v), nil
	case kindString:
		return c.holdsString(v.text)
	case kindArray:
		return s.holdsArray(c, v, depth)
	case kindObject:
		return s.holdsObject(c, v, depth)
	}
	return true, nil
}

func (c *constraint) holdsNumber(v *value) bool {
	n := v.number()
	at := limit{at: n}
	if before(at, c.low) || before(c.high, at) {
		return false
	}
	for _, m := range c.multiples {
		if !n.Quo(v.number(), m.of).IsInt() {
			return false
		}
	}
	return true
}

func (c *constraint) holdsString(text string) (bool, error) {
	n := utf8.RuneCountInString(text)
	if n < c.minLen || c.maxLen >= 0 && n > c.maxLen {
		return false, nil
	}
	contents, where, err := c.contents()
	if err != nil {
		return false, err
	}
	for _, e := range contents {
		d, err := determinise(e)
		if err != nil {
			return false, at(where, err)
		}
		if !d.has(text) {
			return false, nil
		}
	}
	return true, nil
}

func (s *schemas) holdsArray(c *constraint, v *value, depth int) (bool, error) {
	if n := len(v.items); n < c.minItems || c.maxItems >= 0 && n > c.maxItems {
		return false, nil
	}
	if ok, err := s.holdsContained(c, v, depth); !ok || err != nil {
		return false, err
	}
	for i, item := range v.items {
		if ok, err := s.holdsAll(c.item(i), item, depth); !ok || err != nil {
			return false, err
		}
		if c.unique != "" && slices.ContainsFunc(v.items[:i], item.same) {
			return false, nil
		}
	}
	return true, nil
}

func (s *schemas) holdsObject(c *constraint, v *value, depth int) (bool, error) {
	if n := len(v.members); n < c.minProps || c.maxProps >= 0 && n > c.maxProps {
		return false, nil
	}
	for _, name := range c.required {
		if v.get(name) == nil {
			return false, nil
		}
	}
	for _, m := range v.members {
		if ok, err := s.named(c, m.name); !ok || err != nil {
			return false, err
		}
		is, _, err := c.withPatterns(m.name, c.member(m.name), c.prop(m.name) < 0)
		if err != nil {
			return false, err
		}
		if ok, err := s.holdsAll(is, m.value, depth); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// named says whether propertyNames allows a name.
func (s *schemas) named(c *constraint, name string) (bool, error) {
	if len(c.names) == 0 {
		return true, nil
	}
	return s.holdsAll(c.names, &value{kind: kindString, text: name}, 0)
}

func (s *schemas) holdsAll(c conj, v *value, depth int) (bool, error) {
	if depth > maxNesting {
		return false, tooCostly("a value of more than %d levels", maxNesting)
	}
	list, err := s.expand(c)
	if err != nil {
		return false, err
	}
	for _, x := range list {
		if ok, err := s.holds(x, v, depth+1); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
