package grammar

import (
	"regexp"
)

// anyChars gives the inside of JSON strings of so many characters, each written as itself or by an escape.
func anyChars(lo, hi int) *expr { return repeat(jsonChar, lo, hi) }

var jsonChar = alt(runes(plainRunes...), seq(text(`\`), jsonEscape))

// jsonEscape is what may follow a backslash. Halves of surrogate pairs come in pairs.
var jsonEscape = func() *expr {
	hex := runes(runeRange{'0', '9'}, runeRange{'a', 'f'}, runeRange{'A', 'F'})
	class := func(s string) *expr {
		var ranges []runeRange
		for _, r := range s {
			ranges = append(ranges, runeRange{r, r})
		}
		return runes(ranges...)
	}
	unit := alt(seq(class("0123456789abcefABCEF"), hex, hex, hex), seq(class("dD"), class("01234567"), hex, hex))
	pair := seq(class("dD"), class("89abAB"), hex, hex, text(`\u`), class("dD"), class("cdefCDEF"), hex, hex)
	return alt(class(`"\/bfnrt`), seq(text("u"), alt(unit, pair)))
}()

// plainChar is a character as it is written where it is written in one way: with an escape only if it needs one.
var plainChar = func() *expr {
	subs := []*expr{runes(plainRunes...)}
	for _, r := range otherRunes(plainRunes) {
		for c := r.lo; c <= min(r.hi, 0x7F); c++ {
			subs = append(subs, text(quotedByte(byte(c))))
		}
	}
	return alt(subs...)
}()

func stringOf(inside *expr) *expr { return seq(text(`"`), inside, text(`"`)) }

// str gives the texts of strings.
func (s *schemas) str(c *constraint) (*expr, error) {
	if c.maxLen >= 0 && c.maxLen < c.minLen {
		return nothing, nil
	}
	if len(c.patterns)+len(c.notPatterns) == 0 && !c.excludes(kindString) && len(c.formats) == 1 &&
		c.minLen == 0 && c.maxLen < 0 {
		if e := s.formats[c.formats[0].text]; e != nil {
			return stringOf(e), nil
		}
	}
	contents, where, err := c.contents()
	switch {
	case err != nil:
		return nil, err
	case len(contents) == 0 && s.once != "":
		return stringOf(repeat(plainChar, c.minLen, c.maxLen)), nil
	case len(contents) == 0 && c.minLen == 0 && c.maxLen < 0:
		return s.strs, nil
	case len(contents) == 0:
		return stringOf(anyChars(c.minLen, c.maxLen)), nil
	case len(contents) == 1 && c.minLen == 0 && c.maxLen < 0:
		e := quotedText(contents[0])
		if len(c.formats) == 1 && len(c.notPatterns) == 0 && !c.excludes(kindString) {
			rule := s.add("format " + c.formats[0].text)
			s.bodies[rule] = e
			e = ref(rule)
			s.formats[c.formats[0].text] = e
		}
		return stringOf(e), nil
	}
	all, err := c.content(contents)
	if err != nil {
		return nil, at(where, err)
	}
	return stringOf(&expr{op: opDFA, auto: all, quoted: true}), nil
}

// maxOpen is the greatest maxLength with which openURI fits an automaton. Texts of uri hardly get there.
const maxOpen = 1000

// contents gives what patterns and formats each allow, and where the last of them stands.
func (c *constraint) contents() (list []*expr, where string, err error) {
	for _, p := range c.patterns {
		e, err := regexText(p.text, false)
		if err != nil {
			return nil, "", at(p.path, err)
		}
		list, where = append(list, e), p.path
	}
	for _, f := range c.formats {
		source, known := formats[f.text]
		switch {
		case !known && len(c.patterns) > 0: // a name for what the pattern says
			continue
		case !known:
			return nil, "", &Error{Where: f.path, Reason: "unknown format " + quote(f.text)}
		case source == "":
			continue
		}
		if source == uri && c.maxLen >= 0 && c.maxLen <= maxOpen {
			source = openURI
		}
		e, err := regexText(source, true)
		if err != nil {
			return nil, "", at(f.path, err)
		}
		list, where = append(list, e), f.path
	}
	other, err := c.otherStrings()
	if other != nil {
		list = append(list, other)
	}
	return list, where, err
}

// content gives the contents of strings that a constraint allows.
func (c *constraint) content(contents []*expr) (*dfa, error) {
	if len(contents) == 0 {
		contents = []*expr{star(anyRune)}
	}
	var all *dfa
	for _, e := range contents {
		d, err := determinise(e)
		if err == nil && all != nil {
			d, err = both(all, d)
		}
		if err != nil {
			return nil, err
		}
		all = d
	}
	lo, hi := c.minLen, c.maxLen
	if shortest, longest := all.lengths(); shortest >= lo && longest >= 0 && (hi < 0 || longest <= hi) {
		return all, nil
	}
	if max(lo, hi)*5 > maxDFA {
		return nil, tooCostly("a length of %d together with a pattern or format", max(lo, hi))
	}
	d, err := determinise(repeat(anyRune, lo, hi))
	if err != nil {
		return nil, err
	}
	return both(all, d)
}

// quotedText gives the inside of the JSON strings whose contents e gives, with no escapes but those that are needed.
func quotedText(e *expr) *expr {
	switch e.op {
	case opText:
		q := quote(e.text)
		return text(q[1 : len(q)-1])
	case opRunes:
		subs := []*expr{runes(commonRunes(e.runes, plainRunes)...)}
		for _, r := range commonRunes(e.runes, otherRunes(plainRunes)) {
			for c := r.lo; c <= r.hi; c++ {
				subs = append(subs, text(quotedByte(byte(c))))
			}
		}
		return alt(subs...)
	case opDFA:
		q := *e
		q.quoted = true
		return &q
	}
	q := *e
	q.subs = make([]*expr, len(e.subs))
	for i, sub := range e.subs {
		q.subs[i] = quotedText(sub)
	}
	return &q
}

// matches says whether a pattern matches a name.
func (p source) matches(name string) (bool, error) {
	if _, err := parseRegex(p.text); err != nil {
		return false, at(p.path, err)
	}
	re, err := regexp.Compile(goSyntax(p.text))
	if err != nil {
		return false, &Error{Where: p.path, Reason: err.Error()}
	}
	return re.MatchString(name), nil
}

// isFree says that a constraint wants an object and nothing of its members.
func (c *constraint) isFree() bool {
	return !c.additionalGiven && len(c.props)+len(c.patternProps)+len(c.required) == 0
}

// extra gives the members that are not listed; nil where there are none. Names are written without escapes, and are
// never those of listed members, which have demands of their own.
func (s *schemas) extra(c *constraint, members []property) (*expr, error) {
	free := c.isFree()
	if !free && !c.additionalGiven && len(c.patternProps) == 0 || c.maxProps == 0 {
		return nil, nil
	}
	var names []*expr
	for _, p := range members {
		names = append(names, text(p.name))
	}
	listed, err := determinise(alt(names...))
	if err != nil {
		return nil, at(c.path, err)
	}
	var subs []*expr
	add := func(name *dfa, is conj) error {
		e, err := s.value(is)
		if err == nil && !name.isEmpty() && !e.isNothing() {
			subs = append(subs, seq(stringOf(&expr{op: opDFA, auto: name}), text(":"), blank, e))
		}
		return err
	}
	allowed, err := s.names(c)
	if err != nil {
		return nil, err
	}
	patterns, others, err := c.patternNames(allowed, listed)
	if err != nil {
		return nil, err
	}
	for i, p := range c.patternProps {
		if err := add(patterns[i], p.is); err != nil {
			return nil, err
		}
	}
	if c.additionalGiven || free {
		if err := add(others, c.additional); err != nil {
			return nil, err
		}
	}
	if len(subs) == 0 {
		return nil, nil
	}
	return alt(subs...), nil
}

// names gives the names that members may have: such as need no escapes, and as propertyNames allows.
func (s *schemas) names(c *constraint) (*dfa, error) {
	all, err := determinise(star(runes(plainRunes...)))
	if err != nil || len(c.names) == 0 {
		return all, at(c.path, err)
	}
	variants, err := s.expand(c.names)
	if err != nil {
		return nil, err
	}
	var subs []*expr
	for _, v := range variants {
		if v.valid&kindString == 0 {
			continue
		}
		if v.values != nil {
			for _, x := range v.values {
				if ok, err := s.holds(v, x, 0); err != nil {
					return nil, err
				} else if ok && x.kind == kindString {
					subs = append(subs, text(x.text))
				}
			}
			continue
		}
		contents, where, err := v.contents()
		if err != nil {
			return nil, err
		}
		d, err := v.content(contents)
		if err != nil {
			return nil, at(where, err)
		}
		subs = append(subs, &expr{op: opDFA, auto: d})
	}
	allowed, err := determinise(alt(subs...))
	if err == nil {
		all, err = both(all, allowed)
	}
	return all, at(c.names[0].path, err)
}

// patternNames gives the names for each of patternProperties, and those for none. A name that several match is none's.
func (c *constraint) patternNames(allowed, listed *dfa) (each []*dfa, others *dfa, err error) {
	if others, err = without(allowed, listed); err != nil {
		return nil, nil, at(c.path, err)
	}
	var matched []*dfa
	for _, p := range c.patternProps {
		e, err := regexText(p.pattern.text, false)
		if err != nil {
			return nil, nil, at(p.pattern.path, err)
		}
		d, err := determinise(e)
		if err == nil {
			d, err = both(d, others)
		}
		if err != nil {
			return nil, nil, at(p.pattern.path, err)
		}
		matched = append(matched, d)
	}
	for i, d := range matched {
		for j, other := range matched {
			if i != j && err == nil {
				d, err = without(d, other)
			}
		}
		each = append(each, d)
	}
	for _, d := range matched {
		if err == nil {
			others, err = without(others, d)
		}
	}
	return each, others, at(c.path, err)
}
