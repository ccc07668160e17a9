package grammar

import (
	"fmt"
	"slices"
)

// containment is a demand of contains: so many items of an array keep to a schema.
type containment struct {
	is       conj
	not      conj // what the others keep to; only where max says how many there may be
	but      conj // what the schemas of items say of all but these
	min, max int  // of max, −1: no limit
	path     string
}

// readContains reads contains together with minContains and maxContains.
func (s *schemas) readContains(c *constraint, l located) error {
	is := l.child("contains")
	if is.v == nil {
		return nil
	}
	if err := isSchema(located{is.v, l.path}, "contains"); err != nil {
		return err
	}
	want := containment{is: conj{is}, min: 1, max: -1, path: is.path}
	for name, to := range map[string]*int{"minContains": &want.min, "maxContains": &want.max} {
		v := l.v.get(name)
		if v == nil {
			continue
		}
		n, err := count(located{v, l.path}, name)
		if err != nil {
			return err
		}
		*to = n
	}
	if want.max >= 0 {
		not, err := s.negated(l, "maxContains", is)
		if err != nil {
			return err
		}
		want.not = conj{not}
	}
	c.contains = append(c.contains, want)
	return nil
}

// placed gives the items that contains demands places behind the prefix. Texts with them at others would be valid too.
func (c *constraint) placed() (*constraint, error) {
	d := *c
	d.prefix = slices.Clone(c.prefix)
	for _, want := range c.contains {
		if want.max >= 0 && want.max < want.min {
			d.minItems, d.maxItems = 1, 0 // there is no such array
			return &d, nil
		}
		if want.not != nil {
			for i := range d.prefix {
				d.prefix[i] = slices.Concat(d.prefix[i], want.not)
			}
		}
		items := slices.DeleteFunc(slices.Clone(c.items), func(l located) bool { return slices.Contains(want.but, l) })
		for range want.min {
			d.prefix = append(d.prefix, slices.Concat(items, want.is))
		}
		if len(d.prefix) > maxVariants {
			return nil, at(want.path, tooCostly("more than %d items", maxVariants))
		}
		if want.min > 0 {
			d.minItems = max(d.minItems, len(d.prefix))
		}
		if want.not != nil {
			d.items, d.itemsGiven = slices.Concat(d.items, want.not), true
		}
	}
	if most := c.maxItems; most >= 0 && most < d.minItems && most >= c.minItems {
		return nil, &Error{Where: c.contains[0].path,
			Reason: "is not supported if prefixItems leaves no place for the items that it demands"}
	}
	d.contains = nil
	return &d, nil
}

// holdsContained says whether a whole array has the items that contains demands.
func (s *schemas) holdsContained(c *constraint, v *value, depth int) (bool, error) {
	for _, want := range c.contains {
		n := 0
		for _, item := range v.items {
			ok, err := s.holdsAll(want.is, item, depth)
			if err != nil {
				return false, err
			}
			if ok {
				n++
			}
		}
		if n < want.min || want.max >= 0 && n > want.max {
			return false, nil
		}
	}
	return true, nil
}

// mostShuffled is up to how many different values arrays without repetition are made of by rules, one for each set of
// values that have come: 2^7 of them. Other items are remembered; see repetition.go.
const mostShuffled = 7

// distinct gives the texts of arrays of which no two items are equal.
func (s *schemas) distinct(c *constraint, most int) (*expr, error) {
	if len(c.prefix) > 0 {
		return s.inOneWay(c, most)
	}
	values, err := s.finite(c.items)
	if err != nil {
		return nil, err
	}
	if values == nil || len(values) > mostShuffled {
		return s.inOneWay(c, most)
	}
	if len(values) < c.minItems {
		return nothing, nil
	}
	if most < 0 || most > len(values) {
		most = len(values)
	}
	d := &distinctItems{s: s, values: values, lo: c.minItems, hi: most, rules: map[int]*expr{}}
	d.ends, d.behind = s.gaps()
	for _, v := range values {
		e, err := s.spell(v)
		if err != nil {
			return nil, err
		}
		d.texts = append(d.texts, e)
	}
	return seq(text("["), d.after(0, 0), text("]")), nil
}

// finite lists the values that a schema allows; nil where they cannot be listed.
func (s *schemas) finite(c conj) ([]*value, error) {
	list, err := s.expand(c)
	if err != nil || len(c) == 0 {
		return nil, err
	}
	values := []*value{}
	for _, x := range list {
		candidates := x.values
		if candidates == nil {
			whole := *x
			if x.kinds&kindInteger == 0 {
				whole.values = nil
			} else if !whole.fewIntegers() {
				return nil, nil
			}
			if x.kinds&^(kindNull|kindBool|kindInteger) != 0 {
				return nil, nil
			}
			candidates = append(whole.values, truth(true), truth(false), &value{kind: kindNull})
		}
		for _, v := range candidates {
			ok, err := s.holds(x, v, 0)
			if err != nil {
				return nil, err
			}
			if ok && !slices.ContainsFunc(values, v.same) {
				values = append(values, v)
			}
		}
	}
	return values, nil
}

// distinctItems makes the texts of arrays without repetition.
type distinctItems struct {
	s      *schemas
	values []*value
	texts  []*expr
	lo, hi int
	rules  map[int]*expr // by the set of values that have come

	ends, behind *expr // blanks; see gaps
}

// item is the text of a value behind n others.
func (d *distinctItems) item(i, n int) *expr {
	if n == 0 {
		return seq(d.ends, d.texts[i])
	}
	return seq(text(","), d.behind, d.texts[i])
}

// after gives what may follow a set of n values.
func (d *distinctItems) after(set, n int) *expr {
	if e, ok := d.rules[set]; ok {
		return e
	}
	e := ref(d.s.add(fmt.Sprint("items ", set)))
	d.rules[set] = e
	var subs []*expr
	switch {
	case n < d.lo:
	case n == 0:
		subs = append(subs, empty)
	default:
		subs = append(subs, d.ends)
	}
	for i := range d.values {
		if set>>i&1 == 0 && n < d.hi {
			subs = append(subs, seq(d.item(i, n), d.after(set|1<<i, n+1)))
		}
	}
	d.s.bodies[e.rule] = alt(subs...)
	return e
}
