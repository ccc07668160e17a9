package grammar

import "slices"

// unevaluated are the keywords about members and items that nothing else in a schema speaks of. What else speaks of
// them are the keywords beside it, and the schemas that hold because of these; schemas beside the whole do not.
var unevaluated = []string{"unevaluatedProperties", "unevaluatedItems"}

// closed gives the constraints of a schema with such keywords alone, without those that are beside it: then all that
// is evaluated is known, and the keyword says of the rest what additionalProperties and items say.
func (s *schemas) closed(l located) ([]*constraint, error) {
	list := []*constraint{anything(l.path)}
	list, err := s.join(list, l)
	if err != nil {
		return nil, err
	}
	for _, name := range unevaluated {
		is := l.child(name)
		if is.v == nil {
			continue
		}
		if err := isSchema(located{is.v, l.path}, name); err != nil {
			return nil, err
		}
		for _, c := range list {
			// A value may keep to several alternatives, and then each evaluates its part.
			c.loose = c.loose || len(list) > 1 || len(c.contains) > 0
			if is.v.kind == kindBool && is.v.truth { // all is evaluated for those around it, too
				c.loose = true
				continue
			}
			if name == "unevaluatedItems" {
				err = c.closeItems(l, is)
			} else {
				err = c.closeMembers(l, is)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

func (c *constraint) closeMembers(l, is located) error {
	if c.unsaidMembers {
		return l.fail("unevaluatedProperties", "is not supported beside a not of a not")
	}
	if c.additionalGiven {
		return nil
	}
	c.props = slices.Clone(c.props)
	for i, p := range c.props {
		_, matched, err := c.withPatterns(p.name, nil, false)
		if err != nil {
			return err
		}
		if p.unsaid && !matched {
			c.props[i].is = slices.Concat(p.is, conj{is})
		}
		c.props[i].unsaid = false
	}
	c.additional, c.additionalGiven = conj{is}, true
	return nil
}

func (c *constraint) closeItems(l, is located) error {
	if c.unsaidItems {
		return l.fail("unevaluatedItems", "is not supported beside a not of contains or of a not")
	}
	if !c.itemsGiven {
		c.items, c.itemsGiven = conj{is}, true
		c.contains = slices.Clone(c.contains)
		for i := range c.contains { // what they look for is evaluated
			c.contains[i].but = append(slices.Clip(c.contains[i].but), is)
		}
	}
	return nil
}
