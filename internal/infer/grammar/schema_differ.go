package grammar

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Arrays whose items must differ, where a mere automaton cannot remember the items: repetition.go compares their
// texts. So each value must have one text only. While items of such an array are compiled, schemas.once says where
// the array's uniqueItems stands; then numbers have no exponent and no needless zeros, strings no needless escapes,
// there is one space behind each comma and colon and no other blank, and members have one order.

// differing is an array of whose items so many must differ.
type differing struct {
	item  *expr
	least int
	where string
}

// inOneWay compiles the items of such an array. Its errors are about uniqueItems.
func (s *schemas) inOneWay(c *constraint, most int) (*expr, error) {
	if s.once != "" {
		return nil, s.notOnce("arrays of this kind")
	}
	sorted := s.sorted
	s.once, s.sorted = c.unique, false
	defer func() { s.once, s.sorted = "", sorted }()
	list, err := s.list(c, most, blank, blank, func(item *expr, n int) {
		if n > 1 {
			s.differ = append(s.differ, differing{item, n, c.unique})
		}
	})
	if err != nil {
		return nil, err
	}
	rule := s.add("items that differ")
	s.bodies[rule] = list
	return &expr{op: opRule, rule: rule, distinct: true}, nil
}

// notOnce refuses what cannot be written in one way.
func (s *schemas) notOnce(what string) error {
	return &Error{Where: s.once, Reason: "is not supported where items have " + what + " in them: they cannot be " +
		"compared while they are written"}
}

// mostTried bounds the beginnings of texts that are looked at to find enough different ones.
const mostTried = 1_000_000

// mostDiffering bounds the expressions that are looked at for it.
const mostDiffering = 50_000

// enough makes sure that there are as many different items as arrays must have: else a text could come to where only
// an item can follow that was there before.
func (s *schemas) enough() error {
	known, total := map[differing]bool{}, 0
	for _, d := range s.differ {
		alike := differing{d.item, d.least, ""}
		if known[alike] {
			continue
		}
		known[alike] = true
		r, size := s.only(d.item)
		if total += size; total > mostDiffering {
			return at(d.where, tooCostly("uniqueItems with minItems in so many places"))
		}
		m, err := build(r)
		if err != nil {
			return err
		}
		n, err := m.different(d.least)
		if err != nil {
			return at(d.where, err)
		}
		if n < d.least {
			why := fmt.Sprintf("only %d different items are possible, and %d must come", n, d.least)
			return &Error{Where: d.where, Reason: why}
		}
	}
	return nil
}

// only gives the rules that an expression needs, as its own grammar, and how many expressions they have.
func (r *rules) only(root *expr) (out *rules, size int) {
	out = &rules{}
	number := map[int]int{} // of rules here → there
	known := map[*expr]*expr{}
	var queue []int
	var copied func(e *expr) *expr
	copied = func(e *expr) *expr {
		if to, ok := known[e]; ok {
			return to
		}
		size++
		to := *e
		if e.op == opRule {
			n, ok := number[e.rule]
			if !ok {
				n = out.add(r.names[e.rule])
				number[e.rule] = n
				queue = append(queue, e.rule)
			}
			to.rule = n
		}
		if len(e.subs) > 0 {
			to.subs = make([]*expr, len(e.subs))
			for i, sub := range e.subs {
				to.subs[i] = copied(sub)
			}
		}
		known[e] = &to
		return &to
	}
	out.add("items")
	out.bodies[0] = copied(root)
	for ; len(queue) > 0; queue = queue[1:] {
		out.bodies[number[queue[0]]] = copied(r.bodies[queue[0]])
	}
	return out, size
}

// different counts texts up to a number. Texts that begin in different ways are different, and whatever a state lets
// grow can be finished. So it counts beginnings of one length after the other, by the states that they lead to.
func (m *automaton) different(most int) (n int, err error) {
	open, sum := map[*state]int{m.start: 1}, 1
	for tried := 0; len(open) > 0 && n+sum < most; {
		next := map[*state]int{}
		sum = 0
		for s, times := range open {
			if s.accept {
				n = min(n+times, most)
			}
			for class := range m.classes {
				if tried++; tried > mostTried {
					return 0, tooCostly("finding %d different items takes more than %d steps", most, mostTried)
				}
				to, err := m.step(s, uint8(class))
				if err != nil {
					return 0, err
				}
				if to == m.dead {
					continue
				}
				width := 256 - int(m.first[class])
				if class+1 < m.classes {
					width = int(m.first[class+1]) - int(m.first[class])
				}
				next[to] = min(next[to]+times*width, most)
				sum = min(sum+times*width, most)
			}
		}
		open = next
	}
	return min(n+sum, most), nil
}

// onceDigits is how many digits from the first to the last that is not 0 a number has, so that two texts are not one
// number of binary64.
const onceDigits = 15

// onceNumbers has each number in one way: without exponent and needless zeros, and without a sign before 0.
var onceNumbers = func() *expr {
	first := runes(runeRange{'1', '9'})
	small := seq(text("0."), repeat(digit, 0, fracDigits-1), first) // below 1
	subs := []*expr{small, seq(first, repeat(digit, 0, onceDigits-1))}
	for whole := 1; whole < onceDigits; whole++ {
		frac := min(fracDigits, onceDigits-whole)
		subs = append(subs, seq(first, repeat(digit, whole-1, whole-1), text("."), repeat(digit, 0, frac-1), first))
	}
	return alt(text("0"), seq(optional(text("-")), alt(subs...)))
}()

// onceNumber gives the numbers of e that are written in one way.
func (s *schemas) onceNumber(e *expr) (*expr, error) {
	a, err := determinise(e)
	if err != nil {
		return nil, at(s.once, err)
	}
	b, err := determinise(onceNumbers)
	if err == nil {
		a, err = both(a, b)
	}
	if err == nil && a.isEmpty() && !e.isNothing() {
		err = fmt.Errorf("numbers of more than %d digits", onceDigits)
		return nil, s.notOnce(err.Error())
	}
	return &expr{op: opDFA, auto: a}, at(s.once, err)
}

// onceAny gives any value but an object, whose members could have any order.
func (s *schemas) onceAny() *expr {
	if s.anyOnce == nil {
		ends, behind := s.gaps()
		s.anyOnce = ref(s.add("any value in one way"))
		array := brackets(seq(s.anyOnce, star(seq(text(","), behind, s.anyOnce))), ends, true)
		s.bodies[s.anyOnce.rule] = alt(text("null"), text("true"), text("false"), onceNumbers,
			stringOf(repeat(plainChar, 0, -1)), array)
	}
	return s.anyOnce
}

// spelledOnce gives the text of a listed value. Members come in the order of their names: where other alternatives
// have objects too, theirs do as well.
func (s *schemas) spelledOnce(v *value) (string, error) {
	var parts []string
	add := func(before string, of *value) error {
		part, err := s.spelledOnce(of)
		parts = append(parts, before+part)
		return err
	}
	switch v.kind {
	case kindInteger, kindFraction:
		n := v.number()
		digits := digitsOf(n)
		if digits < 0 || digits > farDigits || n.Cmp(farAway) > 0 || new(big.Rat).Neg(n).Cmp(farAway) > 0 {
			return "", s.notOnce("the number " + v.text)
		}
		spelled := n.FloatString(digits)
		if digits > 0 {
			spelled = strings.TrimRight(spelled, "0")
		}
		return spelled, nil
	case kindArray:
		for _, item := range v.items {
			if err := add("", item); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(parts, ", ") + "]", nil
	case kindObject:
		members := slices.Clone(v.members)
		slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
		for _, m := range members {
			if err := add(quote(m.name)+": ", m.value); err != nil {
				return "", err
			}
		}
		return "{" + strings.Join(parts, ", ") + "}", nil
	}
	return v.spelled(), nil
}

// spell gives the text of a listed value.
func (s *schemas) spell(v *value) (*expr, error) {
	if s.once == "" {
		return text(v.spelled()), nil
	}
	spelled, err := s.spelledOnce(v)
	return text(spelled), err
}

// gaps are the blanks at the inner ends of brackets, and behind commas and colons.
func (s *schemas) gaps() (ends, behind *expr) {
	if s.once != "" {
		return empty, text(" ")
	}
	return blank, blank
}

// inOrder gives members in the order of their names where several alternatives could have them in different ones.
func (s *schemas) inOrder(members []property) []property {
	if s.once != "" && s.sorted {
		slices.SortStableFunc(members, func(a, b property) int { return strings.Compare(a.name, b.name) })
	}
	return members
}
