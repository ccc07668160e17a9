package grammar

import (
	"errors"
	"fmt"
	"slices"
)

// expand gives constraints of which each value that c allows keeps to one.
func (s *schemas) expand(c conj) ([]*constraint, error) {
	list := []*constraint{anything("#")}
	if len(c) > 0 {
		list[0].path = c[0].path
	}
	var err error
	for _, l := range c {
		if list, err = s.with(list, l); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// with adds a schema to constraints.
func (s *schemas) with(list []*constraint, l located) ([]*constraint, error) {
	switch {
	case l.v.kind == kindBool && l.v.truth:
		return list, nil
	case l.v.kind == kindBool:
		return nil, nil
	case l.v.kind != kindObject:
		return nil, &Error{Where: l.path, Reason: "must be a schema: an object, true or false; got " + l.v.spelled()}
	}
	if slices.Contains(s.pending, l.path) {
		return nil, l.fail("$ref", "the schema refers to itself without anything in between")
	}
	if len(s.pending) > maxNesting {
		return nil, at(l.path, tooCostly("more than %d schemas within each other", maxNesting))
	}
	s.pending = append(s.pending, l.path)
	defer func() { s.pending = s.pending[:len(s.pending)-1] }()

	if !slices.ContainsFunc(unevaluated, func(name string) bool { return l.v.get(name) != nil }) {
		return s.join(list, l)
	}
	alone, err := s.closed(l)
	if err != nil {
		return nil, err
	}
	return s.merge(list, alone)
}

// join adds what a schema says, but for unevaluatedProperties and unevaluatedItems.
func (s *schemas) join(list []*constraint, l located) ([]*constraint, error) {
	own, err := s.read(l)
	if err != nil {
		return nil, err
	}
	if list, err = s.merge(list, []*constraint{own}); err != nil {
		return nil, err
	}
	if list, err = s.dependent(list, l); err != nil {
		return nil, err
	}
	for _, keyword := range refKeywords {
		if l.v.get(keyword) == nil {
			continue
		}
		target, err := s.resolve(l, keyword)
		if err != nil {
			return nil, err
		}
		if list, err = s.with(list, target); err != nil {
			return nil, err
		}
	}
	if list, err = s.conditions(list, l); err != nil {
		return nil, err
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		parts, err := l.list(name)
		if err != nil {
			return nil, err
		}
		switch {
		case parts == nil:
		case name == "allOf":
			for _, part := range parts {
				if list, err = s.with(list, part); err != nil {
					return nil, err
				}
			}
		default:
			if list, err = s.oneOf(list, parts, name == "oneOf", l); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// dependent adds dependentRequired, dependentSchemas, and dependencies, which older drafts have for both: for each of
// their names, the member is not there, or what depends on it holds.
func (s *schemas) dependent(list []*constraint, l located) (_ []*constraint, err error) {
	for _, keyword := range []string{"dependentRequired", "dependentSchemas", "dependencies"} {
		v := l.v.get(keyword)
		if v == nil {
			continue
		}
		if v.kind != kindObject {
			return nil, l.fail(keyword, "must be an object, got %s", v.spelled())
		}
		for _, m := range v.members {
			if list, err = s.depends(list, l, keyword, m); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// depends adds one entry of such a keyword.
func (s *schemas) depends(list []*constraint, l located, keyword string, m member) ([]*constraint, error) {
	there, away := anything(l.path), anything(l.path)
	there.required = []string{m.name}
	away.props = []property{{name: m.name, is: noValue, unsaid: true}}
	with := []*constraint{there}
	var err error
	if keyword == "dependentRequired" || keyword == "dependencies" && m.value.kind == kindArray {
		err = readRequired(there, located{m.value, l.path}, keyword)
	} else {
		with, err = s.with(with, located{m.value, l.path + "/" + keyword + "/" + escapePointer(m.name)})
	}
	if err != nil {
		return nil, err
	}
	return s.merge(list, append(with, away))
}

// list gives the schemas of allOf, anyOf or oneOf.
func (l located) list(name string) ([]located, error) {
	v := l.v.get(name)
	if v == nil {
		return nil, nil
	}
	if v.kind != kindArray || len(v.items) == 0 {
		return nil, l.fail(name, "must be a list of at least one schema, got %s", v.shown())
	}
	var out []located
	for i, item := range v.items {
		out = append(out, located{item, fmt.Sprint(l.path, "/", name, "/", i)})
	}
	return out, nil
}

// oneOf adds schemas of which one must hold, and no other if exact.
func (s *schemas) oneOf(list []*constraint, parts []located, exact bool, l located) ([]*constraint, error) {
	var all []*constraint
	groups := make([][]*constraint, len(parts))
	for i, part := range parts {
		group, err := s.with(list, part)
		if err != nil {
			return nil, err
		}
		groups[i] = group
		if all = append(all, group...); len(all) > maxVariants {
			return nil, at(l.path, tooCostly("more than %d combinations of alternatives", maxVariants))
		}
	}
	if !exact {
		return all, nil
	}
	return s.separate(groups, parts, l)
}

// separate takes from each alternative of oneOf the values that may be one of another alternative too.
func (s *schemas) separate(groups [][]*constraint, parts []located, l located) (all []*constraint, err error) {
	overlap := func(i, j int) error {
		return l.fail("oneOf", "a value of alternative %d may be one of alternative %d too, which oneOf "+
			"forbids and this server cannot rule out; use anyOf, or tell them apart by a required property "+
			"with a const", i, j)
	}
	for i, group := range groups {
		for j := range groups {
			if i == j || s.rejects(groups[j], groups[i]) {
				continue
			}
			not, err := s.negated(l, "oneOf", parts[j])
			if err == nil {
				group, err = s.with(group, not)
			}
			if err != nil {
				if errors.Is(err, ErrCostly) {
					return nil, err
				}
				return nil, overlap(i, j)
			}
			if len(group) == 0 && len(all) == 0 && i == len(groups)-1 {
				return nil, overlap(i, j)
			}
		}
		if all = append(all, group...); len(all) > maxVariants {
			return nil, at(l.path, tooCostly("more than %d combinations of alternatives", maxVariants))
		}
	}
	return all, nil
}

// merge gives what keeps to one constraint of each list.
func (s *schemas) merge(a, b []*constraint) ([]*constraint, error) {
	var out []*constraint
	for _, x := range a {
		for _, y := range b {
			if s.joined++; s.joined > maxJoined {
				return nil, at(x.path, tooCostly("more than %d combinations of schemas to look at", maxJoined))
			}
			m, err := s.and(x, y)
			if err != nil {
				return nil, err
			}
			if m.kinds == 0 || m.values != nil && len(m.values) == 0 {
				continue
			}
			if out = append(out, m); len(out) > maxVariants {
				return nil, at(x.path, tooCostly("more than %d combinations of alternatives", maxVariants))
			}
		}
	}
	return out, nil
}

// and joins two constraints.
func (s *schemas) and(a, b *constraint) (*constraint, error) {
	c := *a
	c.path = b.path
	c.valid &= b.valid
	if c.kinds &= b.kinds; c.kinds == 0 {
		c.kinds = c.valid
	}
	c.loose = a.loose || b.loose
	c.unsaidMembers, c.unsaidItems = a.unsaidMembers || b.unsaidMembers, a.unsaidItems || b.unsaidItems
	c.contains = slices.Concat(a.contains, b.contains)
	c.notIn, c.notPatterns = slices.Concat(a.notIn, b.notIn), slices.Concat(a.notPatterns, b.notPatterns)
	if b.values != nil {
		c.restrict(b.values)
	}
	c.patterns = slices.Concat(a.patterns, b.patterns)
	c.formats = slices.Concat(a.formats, b.formats)
	c.multiples = slices.Concat(a.multiples, b.multiples)
	c.minLen, c.maxLen = max(a.minLen, b.minLen), least(a.maxLen, b.maxLen)
	c.minItems, c.maxItems = max(a.minItems, b.minItems), least(a.maxItems, b.maxItems)
	c.maxProps = least(a.maxProps, b.maxProps)
	if b.minProps > a.minProps {
		c.minProps, c.whereMinProps = b.minProps, b.whereMinProps
	}
	c.low.tighten(b.low, true)
	c.high.tighten(b.high, false)
	if b.unique != "" {
		c.unique = b.unique
	}
	c.prefix = nil
	for i := range max(len(a.prefix), len(b.prefix)) {
		c.prefix = append(c.prefix, slices.Concat(a.item(i), b.item(i)))
	}
	c.items, c.itemsGiven = slices.Concat(a.items, b.items), a.itemsGiven || b.itemsGiven
	return &c, c.joinProperties(a, b)
}

// item is what a constraint demands of an item of an array.
func (c *constraint) item(i int) conj {
	if i < len(c.prefix) {
		return c.prefix[i]
	}
	return c.items
}

// least is the smaller of two bounds, of which negative ones are none.
func least(a, b int) int {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// joinProperties joins what two constraints say about an object's members.
func (c *constraint) joinProperties(a, b *constraint) error {
	if len(a.patternProps) > 0 && b.aboutMembers() || len(b.patternProps) > 0 && a.aboutMembers() {
		where := append(a.patternProps, b.patternProps...)[0].pattern.path
		return &Error{Where: where, Reason: "patternProperties cannot be combined with properties of other schemas"}
	}
	c.props = nil
	for _, p := range a.props {
		p.is = slices.Concat(p.is, b.member(p.name))
		p.unsaid = p.unsaid && (b.prop(p.name) < 0 || b.props[b.prop(p.name)].unsaid)
		c.props = append(c.props, p)
	}
	for _, p := range b.props {
		if a.prop(p.name) < 0 {
			p.is = slices.Concat(a.member(p.name), p.is)
			c.props = append(c.props, p)
		}
	}
	c.required = slices.Concat(a.required, b.required)
	c.names = slices.Concat(a.names, b.names)
	c.additional, c.additionalGiven = slices.Concat(a.additional, b.additional), a.additionalGiven || b.additionalGiven
	c.patternProps = slices.Concat(a.patternProps, b.patternProps)
	return nil
}

func (c *constraint) aboutMembers() bool {
	return len(c.props)+len(c.patternProps) > 0 || c.additionalGiven
}

func (c *constraint) prop(name string) int {
	return slices.IndexFunc(c.props, func(p property) bool { return p.name == name })
}

// member is what a constraint demands of a member, patternProperties aside.
func (c *constraint) member(name string) conj {
	if i := c.prop(name); i >= 0 {
		return c.props[i].is
	}
	return c.additional
}
