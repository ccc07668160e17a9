package grammar

import (
	"fmt"
	"math/big"
	"slices"
)

// Blanks are allowed where people put them: behind "{", "[", "," and ":", and before "}" and "]" of what is not empty.
// There may be none, one space, or a line end and up to maxIndent spaces.
var blank = optional(alt(text(" "), seq(text("\n"), repeat(text(" "), 0, maxIndent))))

const maxIndent = 32

// sharedSize is how large an expression may be to be built once for each time it is used; larger ones become rules.
const sharedSize = 200

// noValue is the schema false, at a path that no other has.
var noValue = conj{{&value{kind: kindBool}, "false"}}

// value gives the texts of a schema.
func (s *schemas) value(c conj) (*expr, error) {
	if len(c) == 0 {
		if s.once != "" {
			return s.onceAny(), nil
		}
		return s.any, nil
	}
	key := c.key()
	if s.once != "" {
		key = fmt.Sprint("in one way ", s.sorted, " ", key)
	}
	done, ok := s.compile[key]
	if ok {
		if done.e != nil && exprSize(done.e, sharedSize) <= sharedSize {
			return done.e, nil
		}
		if done.rule < 0 {
			done.rule = s.add(c[0].path)
			s.bodies[done.rule] = done.e
		}
		return ref(done.rule), nil
	}
	if len(s.compile) >= maxRules {
		return nil, tooCostly("more than %d schemas, or combinations of them", maxRules)
	}
	done = &compiled{rule: -1}
	s.compile[key] = done
	pending := s.pending
	s.pending = nil
	e, err := s.alternatives(c)
	s.pending = pending
	if err != nil {
		return nil, err
	}
	done.e = e
	if done.rule >= 0 {
		s.bodies[done.rule] = e
		return ref(done.rule), nil
	}
	return e, nil
}

func exprSize(e *expr, limit int) int {
	n := 1
	switch e.op {
	case opText:
		n = len(e.text)/4 + 1
	case opDFA:
		n = len(e.auto.states)
	}
	for _, sub := range e.subs {
		if n > limit {
			break
		}
		n += exprSize(sub, limit-n)
	}
	return n
}

func (s *schemas) alternatives(c conj) (*expr, error) {
	list, err := s.expand(c)
	if err != nil {
		return nil, err
	}
	sorted := s.sorted
	defer func() { s.sorted = sorted }()
	s.sorted = sorted || len(list) > 1
	var subs []*expr
	for _, x := range list {
		e, err := s.texts(x)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
	}
	return alt(subs...), nil
}

// texts gives the texts of a constraint.
func (s *schemas) texts(c *constraint) (*expr, error) {
	if s.exprs++; s.exprs > maxExprs/8 {
		return nil, tooCostly("more than %d schemas, or combinations of them", maxExprs/8)
	}
	if c.values != nil {
		return s.listed(c)
	}
	var subs []*expr
	if c.kinds == kindAny && c.plain() {
		return s.value(nil)
	}
	if c.excludes(kindNumber) && c.kinds == kindInteger && c.fewIntegers() {
		return s.listed(c)
	}
	for _, v := range []*value{{kind: kindNull}, truth(true), truth(false)} {
		if c.kinds&v.kind != 0 && !slices.ContainsFunc(c.notIn, v.same) {
			subs = append(subs, text(v.spelled()))
		}
	}
	for _, part := range []struct {
		kind  kind
		texts func(*constraint) (*expr, error)
	}{{kindNumber, s.number}, {kindString, s.str}, {kindArray, s.array}, {kindObject, s.object}} {
		if c.kinds&part.kind == 0 {
			continue
		}
		if part.kind != kindString && c.excludes(part.kind) { // which is not made at all
			if c.kinds&^part.kind == 0 {
				return nil, &Error{Where: c.path,
					Reason: "single numbers, arrays and objects can be forbidden only among " +
						"those of an enum, and integers of up to 1000 between minimum and maximum"}
			}
			continue
		}
		e, err := part.texts(c)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
	}
	return alt(subs...), nil
}

// plain says that a constraint is about types only.
func (c *constraint) plain() bool {
	return len(c.patterns)+len(c.formats)+c.minLen+len(c.multiples)+len(c.prefix)+c.minItems+len(c.props)+
		len(c.required)+len(c.patternProps)+len(c.names)+c.minProps == 0 && c.maxLen < 0 && c.maxItems < 0 &&
		c.maxProps < 0 &&
		c.low.at == nil && c.high.at == nil && !c.itemsGiven && !c.additionalGiven && c.unique == "" &&
		len(c.notIn)+len(c.notPatterns)+len(c.contains) == 0
}

// fewIntegers lists the integers of a constraint where there are few.
func (c *constraint) fewIntegers() bool {
	const few = 1000
	lo, hi := wholeLimits(c.low, c.high)
	if lo == nil || hi == nil || new(big.Int).Sub(hi, lo).Cmp(big.NewInt(few)) > 0 {
		return false
	}
	c.values = []*value{}
	for n := new(big.Int).Set(lo); n.Cmp(hi) <= 0; n.Add(n, big.NewInt(1)) {
		c.values = append(c.values, &value{kind: kindInteger, text: n.String()})
	}
	return true
}

// listed gives those of listed values that the rest of the constraint allows.
func (s *schemas) listed(c *constraint) (*expr, error) {
	var subs []*expr
	rest := *c
	rest.values = nil
	for _, v := range c.values {
		ok, err := s.holds(&rest, v, 0)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		e, err := s.spell(v)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
	}
	return alt(subs...), nil
}

func (s *schemas) anyArray() *expr {
	return arrayOf(s.any, star(seq(text(","), blank, s.any)))
}

func arrayOf(first, rest *expr) *expr {
	return seq(text("["), optional(seq(blank, first, rest, blank)), text("]"))
}

func (s *schemas) anyObject() *expr {
	entry := seq(s.strs, text(":"), blank, s.any)
	return seq(text("{"), optional(seq(blank, entry, star(seq(text(","), blank, entry)), blank)), text("}"))
}

// array gives the texts of arrays.
func (s *schemas) array(c *constraint) (*expr, error) {
	if len(c.contains) > 0 {
		var err error
		if c, err = c.placed(); err != nil {
			return nil, err
		}
	}
	most := c.maxItems
	if !c.itemsGiven && len(c.prefix) > 0 && c.minItems <= len(c.prefix) {
		most = least(most, len(c.prefix)) // more items would be valid, and nobody wants them
	}
	ends, behind := s.gaps()
	if c.unique != "" && (most < 0 || most > 1) {
		return s.distinct(c, most)
	}
	return s.list(c, most, ends, behind, func(*expr, int) {})
}

// list gives the texts of arrays of up to so many items, with blanks at their ends and behind commas. It tells demand
// behind how many others an item must come, with it.
func (s *schemas) list(c *constraint, most int, ends, behind *expr, demand func(item *expr, n int)) (*expr, error) {
	last, err := s.value(c.items)
	if err != nil {
		return nil, err
	}
	if last.isNothing() {
		most = least(most, len(c.prefix))
	}
	if most >= 0 && most < c.minItems {
		return nothing, nil
	}
	if c.minItems > len(c.prefix) {
		demand(last, c.minItems)
	}
	comma := seq(text(","), behind)
	// From the end: what may follow n items, the last of which must be followed by a comma or nothing.
	n := min(len(c.prefix), max(most, 0))
	if most < 0 {
		n = len(c.prefix)
	}
	more := -1
	if most >= 0 {
		more = most - n
	}
	rest := repeat(seq(comma, last), max(c.minItems-n, 0), more)
	if n == 0 {
		if most == 0 {
			return text("[]"), nil
		}
		if more > 0 {
			more--
		}
		list := seq(last, repeat(seq(comma, last), max(c.minItems-1, 0), more))
		return brackets(list, ends, c.minItems == 0), nil
	}
	for i := n - 1; i >= 0; i-- {
		item, err := s.value(c.prefix[i])
		if err != nil {
			return nil, err
		}
		if i == 0 {
			return brackets(seq(item, rest), ends, c.minItems == 0), nil
		}
		if i < c.minItems {
			demand(item, i+1)
		}
		rest = seq(comma, item, rest)
		if i >= c.minItems {
			rest = optional(rest)
		}
	}
	panic("unreachable")
}

func brackets(list, ends *expr, empty bool) *expr {
	inner := seq(ends, list, ends)
	if empty {
		inner = optional(inner)
	}
	return seq(text("["), inner, text("]"))
}

func (e *expr) isNothing() bool { return e.op == opAlt && len(e.subs) == 0 }

// object gives the texts of objects: the members in the order of the schema, then others where they are asked for.
func (s *schemas) object(c *constraint) (*expr, error) {
	members := slices.Clone(c.props)
	for _, name := range c.required {
		if c.prop(name) < 0 && !slices.ContainsFunc(members, func(p property) bool { return p.name == name }) {
			members = append(members, property{name: name, is: c.additional})
		}
	}
	for i, p := range members {
		ok, err := s.named(c, p.name)
		if err != nil {
			return nil, err
		}
		if !ok {
			members[i].is = noValue
			continue
		}
		if members[i].is, _, err = c.withPatterns(p.name, p.is, c.prop(p.name) < 0); err != nil {
			return nil, err
		}
	}
	members = s.inOrder(members)
	extra, err := s.extra(c, members)
	if err != nil {
		return nil, err
	}
	if extra != nil && s.once != "" {
		return nil, s.notOnce("members that properties does not list")
	}
	if extra == nil && c.maxProps < 0 && c.minProps == 0 && len(members) == 0 {
		return text("{}"), nil
	}
	need := 0
	for _, p := range members {
		if slices.Contains(c.required, p.name) {
			need++
		}
	}
	if extra != nil && c.minProps > need {
		if len(c.props) == 0 && c.minProps == 1 { // one is never one that came twice
			o := &objects{s: s, c: c, members: members, extra: extra, limit: 2}
			return o.texts()
		}
		return nil, &Error{Where: c.whereMinProps,
			Reason: "is not supported above 1 for properties that are not listed: a name might come twice"}
	}
	o := &objects{s: s, c: c, members: members, extra: extra, limit: max(c.minProps, c.maxProps+1, 1)}
	return o.texts()
}

// withPatterns adds what patternProperties demand of a member. One that only they mention has no demands of
// additionalProperties. It tells whether there are such demands.
func (c *constraint) withPatterns(name string, is conj, unlisted bool) (all conj, matched bool, err error) {
	for _, p := range c.patternProps {
		ok, err := p.pattern.matches(name)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			continue
		}
		if unlisted && !matched {
			is = nil
		}
		matched = true
		is = slices.Concat(is, p.is)
	}
	return is, matched, nil
}

// objects makes the texts of one constraint's objects.
type objects struct {
	s       *schemas
	c       *constraint
	members []property
	extra   *expr // a member that is not listed; nil: there are none
	limit   int   // counts of members above are all alike
	texting []*expr

	ends, behind *expr // blanks; see gaps
}

func (o *objects) texts() (*expr, error) {
	o.ends, o.behind = o.s.gaps()
	for _, p := range o.members {
		is, err := o.s.value(p.is)
		if err != nil {
			return nil, err
		}
		o.texting = append(o.texting, seq(text(quote(p.name)+":"), o.behind, is))
	}
	if (len(o.members)+1)*(o.limit+1) > maxExprs/4 {
		return nil, at(o.c.path, tooCostly("minProperties or maxProperties of so many properties"))
	}
	rests := make([]*expr, o.limit+1) // what may follow, by the number of members so far
	for n := range rests {
		rests[n] = o.end(n)
	}
	for i := len(o.members) - 1; i >= 0; i-- {
		next := rests
		rests = make([]*expr, o.limit+1)
		required := slices.Contains(o.c.required, o.members[i].name)
		for n := range rests {
			comma := seq(text(","), o.behind)
			if n == 0 {
				comma = o.ends
			}
			with := &expr{op: opSeq, subs: []*expr{comma, o.texting[i], next[min(n+1, o.limit)]}}
			if o.c.maxProps >= 0 && n >= o.c.maxProps {
				with = nothing
			}
			rests[n] = with
			if !required {
				rests[n] = alt(with, next[n])
			}
		}
	}
	return seq(text("{"), rests[0]), nil
}

// end gives what may follow all listed members, n of which are there.
func (o *objects) end(n int) *expr {
	missing := max(o.c.minProps-n, 0)
	brace := seq(o.ends, text("}"))
	if n == 0 {
		brace = text("}")
	}
	if o.extra == nil {
		if missing > 0 || o.c.maxProps >= 0 && n > o.c.maxProps {
			return nothing
		}
		return brace
	}
	more := -1
	if o.c.maxProps >= 0 {
		if more = o.c.maxProps - n; more < 0 {
			return nothing
		}
	}
	again := seq(text(","), blank, o.extra)
	if n > 0 {
		return seq(repeat(again, missing, more), brace)
	}
	if more == 0 && missing == 0 {
		return brace
	}
	if more >= 0 && missing > more {
		return nothing
	}
	some := seq(blank, o.extra, repeat(again, max(missing-1, 0), max(more-1, -1)), blank, text("}"))
	if missing > 0 {
		return some
	}
	return alt(some, brace)
}
