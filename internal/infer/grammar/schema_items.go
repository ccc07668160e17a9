package grammar

import (
	"fmt"
	"math/bits"
	"slices"
)

// containment is a demand of contains: so many items of an array keep to a schema.
type containment struct {
	is       conj
	not      conj // what the others keep to; only where max says how many there may be
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
		for range want.min {
			d.prefix = append(d.prefix, slices.Concat(c.items, want.is))
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
			Reason: "is not supported where the items that it wants have no place behind prefixItems"}
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

const (
	mostShuffled = 7    // different values whose arrays without repetition may have any order: 2^7 sets of them
	mostPlaced   = 8000 // values of these times the places that they can have: each is a rule or two
	mostDistinct = 1000 // different values whose arrays without repetition have the order of the enum
)

// distinct gives the texts of arrays of which no two items are equal, where items are some listed values.
func (s *schemas) distinct(c *constraint, most int) (*expr, error) {
	refuse := func(why string) error {
		return &Error{Where: c.unique, Reason: "is supported where maxItems is at most 1, and where items are of an " +
			"enum, booleans, null, integers of up to 1000 between minimum and maximum, or strings of any length " +
			"without pattern and format: " + why}
	}
	if len(c.prefix) > 0 {
		return nil, refuse("here are prefixItems, or contains")
	}
	if e, err := s.distinctStrings(c, most); e != nil || err != nil {
		return e, err
	}
	values, err := s.finite(c.items)
	if err != nil {
		return nil, err
	}
	switch n := len(values); {
	case values == nil:
		return nil, refuse("other items cannot be compared while they are written")
	case n > mostDistinct:
		return nil, at(c.unique, tooCostly("for %d values, at most %d are allowed", n, mostDistinct))
	case n < c.minItems:
		return nothing, nil
	}
	if most < 0 || most > len(values) {
		most = len(values)
	}
	d := &distinctItems{s: s, values: values, lo: c.minItems, hi: most, rules: map[[2]int]*expr{}}
	if len(values) > mostShuffled {
		d.most = most
		if most == len(values) { // no end to the count: it matters until there are enough
			d.most = max(c.minItems, 1)
		}
		if n := len(values) * d.most; n > mostPlaced {
			return nil, at(c.unique, tooCostly("%d values at up to %d places each", len(values), d.most))
		}
		return seq(text("["), d.behind(0, 0), text("]")), nil
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
	lo, hi int
	most   int              // of values that behind counts
	rules  map[[2]int]*expr // by what has come
}

// item is the text of a value behind n others.
func (d *distinctItems) item(i, n int) *expr {
	if n == 0 {
		return seq(blank, text(d.values[i].spelled()))
	}
	return seq(text(","), blank, text(d.values[i].spelled()))
}

func (d *distinctItems) end(n int) []*expr {
	switch {
	case n < d.lo:
		return nil
	case n == 0:
		return []*expr{empty}
	}
	return []*expr{blank}
}

// rule makes each rest of an array once.
func (d *distinctItems) rule(key [2]int, subs func() []*expr) *expr {
	if e, ok := d.rules[key]; ok {
		return e
	}
	e := ref(d.s.add(fmt.Sprint("items ", key)))
	d.rules[key] = e
	d.s.bodies[e.rule] = alt(subs()...)
	return e
}

// after gives what may follow a set of values.
func (d *distinctItems) after(set, n int) *expr {
	return d.rule([2]int{set, 0}, func() []*expr {
		subs := d.end(n)
		for i := range d.values {
			if set>>i&1 == 0 && n < d.hi {
				subs = append(subs, seq(d.item(i, n), d.after(set|1<<i, bits.OnesCount(uint(set))+1)))
			}
		}
		return subs
	})
}

// behind gives what may follow n values, the last of which stands before the next one in the enum.
func (d *distinctItems) behind(next, n int) *expr {
	n = min(n, d.most)
	return d.rule([2]int{next, n + 1}, func() []*expr {
		subs := d.end(n)
		if next < len(d.values) && (n < d.hi || d.hi == len(d.values)) {
			subs = append(subs, seq(d.item(next, n), d.behind(next+1, n+1)), d.skip(next+1, n))
		}
		return subs
	})
}

// skip is behind for a value that does not come: the array may end only where the one before it could.
func (d *distinctItems) skip(next, n int) *expr {
	return d.rule([2]int{-next - 1, n + 1}, func() []*expr {
		if next >= len(d.values) {
			return nil
		}
		return []*expr{seq(d.item(next, n), d.behind(next+1, n+1)), d.skip(next+1, n)}
	})
}
