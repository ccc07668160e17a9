package grammar

import (
	"fmt"
	"math/big"
	"strings"
)

// Numbers have at most so many digits, so that every reader takes them for what they are: integers up to 2⁵³ are exact
// in JavaScript, and so are 15 digits of any number in binary64.
const (
	wholeDigits = 15
	fracDigits  = 10
)

var digit = runes(runeRange{'0', '9'})

// wholeText gives integers without sign: 0, or up to so many digits.
func wholeText(digits int) *expr {
	return alt(text("0"), seq(runes(runeRange{'1', '9'}), repeat(digit, 0, digits-1)))
}

// numberText gives any number, with fraction and exponent.
func numberText() *expr {
	exponent := seq(runes(runeRange{'E', 'E'}, runeRange{'e', 'e'}), optional(alt(text("+"), text("-"))),
		repeat(digit, 1, 2))
	return seq(optional(text("-")), wholeText(wholeDigits), optional(fraction(1)), optional(exponent))
}

// fraction is a point and at least so many digits.
func fraction(least int) *expr { return seq(text("."), repeat(digit, least, fracDigits)) }

// wholeFormats are OpenAPI's formats of integers, and their bits.
var wholeFormats = map[string]int{"int32": 32, "int64": 64}

// number gives the texts of numbers.
func (s *schemas) number(c *constraint) (*expr, error) {
	if c.low.at != nil && c.high.at != nil && c.low.at.Cmp(c.high.at) > 0 {
		return nothing, nil
	}
	whole := c.kinds&kindFraction == 0
	low, high := c.low, c.high
	for _, f := range c.formats {
		if bits := wholeFormats[f.text]; bits > 0 && whole {
			end := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(bits-1)))
			low.tighten(limit{new(big.Rat).Neg(end), false}, true)
			high.tighten(limit{end, true}, false)
		}
	}
	free := c.low.at == nil && c.high.at == nil
	if low.isFar(-1) {
		low = limit{}
	}
	if high.isFar(1) {
		high = limit{}
	}
	if low.isFar(1) || high.isFar(-1) {
		return nil, at(c.path, tooCostly("numbers with more than %d digits before the point", farDigits))
	}
	var e *expr
	switch {
	case whole:
		e = wholeRange(wholeLimits(low, high))
	case free && len(c.multiples) == 0 && s.once != "":
		return onceNumbers, nil
	case free && len(c.multiples) == 0:
		return s.nums, nil
	case low.at == nil && high.at == nil:
		e = seq(optional(text("-")), wholeText(wholeDigits), optional(fraction(1)))
	default:
		var err error
		if e, err = decimalRange(low, high); err != nil {
			return nil, at(c.path, err)
		}
	}
	if c.kinds&kindInteger == 0 { // only where a type excludes them in a combination
		return nil, &Error{Where: c.path, Reason: "numbers that are not integers alone are not supported"}
	}
	for _, m := range c.multiples {
		d, err := m.automaton(whole)
		if err != nil {
			return nil, err
		}
		all, err := determinise(e)
		if err == nil {
			all, err = both(all, d)
		}
		if err != nil {
			return nil, at(m.path, err)
		}
		e = &expr{op: opDFA, auto: all}
	}
	if s.once != "" {
		return s.onceNumber(e)
	}
	return e, nil
}

// farDigits is how many digits a limit may have. Numbers that are made have wholeDigits where no limit has more, so
// that they keep to a limit beyond, such as the greatest number of binary64, by themselves.
const farDigits = 40

var farAway = new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(farDigits), nil))

// isFar says whether a limit is farther from 0 than numbers that are made, upwards or downwards.
func (l limit) isFar(sign int) bool {
	return l.at != nil && l.at.Sign() == sign && new(big.Rat).Abs(l.at).Cmp(farAway) >= 0
}

// wholeRange gives the integers from lo to hi; nil means no limit.
func wholeRange(lo, hi *big.Int) *expr {
	if lo == nil && hi == nil {
		return alt(wholeText(wholeDigits), seq(text("-"), runes(runeRange{'1', '9'}), repeat(digit, 0, wholeDigits-1)))
	}
	one := big.NewInt(1)
	var subs []*expr
	if hi == nil || hi.Sign() >= 0 {
		from := new(big.Int)
		if lo != nil && lo.Sign() > 0 {
			from = lo
		}
		subs = append(subs, magnitudes(from, hi))
	}
	if lo == nil || lo.Sign() < 0 {
		from := one
		if hi != nil && hi.Sign() < 0 {
			from = new(big.Int).Neg(hi)
		}
		var to *big.Int
		if lo != nil {
			to = new(big.Int).Neg(lo)
		}
		subs = append(subs, seq(text("-"), magnitudes(from, to)))
	}
	return alt(subs...)
}

// magnitudes gives the integers from lo to hi, both at least 0; hi nil is no limit but that of digits.
func magnitudes(lo, hi *big.Int) *expr {
	a := lo.String()
	var b string
	if hi == nil {
		b = strings.Repeat("9", max(wholeDigits, len(a)))
	} else if b = hi.String(); lo.Cmp(hi) > 0 {
		return nothing
	}
	if len(a) == len(b) {
		return between(a, b)
	}
	subs := []*expr{between(a, strings.Repeat("9", len(a)))}
	for n := len(a) + 1; n < len(b); n++ {
		subs = append(subs, seq(runes(runeRange{'1', '9'}), repeat(digit, n-1, n-1)))
	}
	return alt(append(subs, between("1"+strings.Repeat("0", len(b)-1), b))...)
}

// between gives the texts of digits from a to b, which have the same length.
func between(a, b string) *expr {
	switch {
	case a == b:
		return text(a)
	case a[0] == b[0]:
		return seq(text(a[:1]), between(a[1:], b[1:]))
	case strings.Trim(a, "0") == "" && strings.Trim(b, "9") == "":
		return repeat(digit, len(a), len(a))
	}
	rest := len(a) - 1
	lo, hi := rune(a[0]), rune(b[0])
	var subs []*expr
	if strings.Trim(a[1:], "0") != "" {
		subs = append(subs, seq(text(a[:1]), between(a[1:], strings.Repeat("9", rest))))
		lo++
	}
	if strings.Trim(b[1:], "9") != "" {
		subs = append(subs, seq(text(b[:1]), between(strings.Repeat("0", rest), b[1:])))
		hi--
	}
	if lo <= hi {
		subs = append(subs, seq(runes(runeRange{lo, hi}), repeat(digit, rest, rest)))
	}
	return alt(subs...)
}

// decimalRange gives the numbers within limits, written without exponent.
func decimalRange(low, high limit) (*expr, error) {
	zero := new(big.Rat)
	var subs []*expr
	if high.at == nil || high.at.Cmp(zero) >= 0 {
		from := limit{zero, false}
		if low.at != nil && low.at.Sign() >= 0 {
			from = low
		}
		e, err := decimals(from, high)
		if err != nil {
			return nil, err
		}
		subs = append(subs, e)
	}
	if low.at == nil || low.at.Sign() < 0 {
		from := limit{zero, true}
		if high.at != nil && high.at.Sign() <= 0 {
			from = limit{new(big.Rat).Neg(high.at), high.exclusive || high.at.Sign() == 0}
		}
		var to limit
		if low.at != nil {
			to = limit{new(big.Rat).Neg(low.at), low.exclusive}
		}
		e, err := decimals(from, to)
		if err != nil {
			return nil, err
		}
		subs = append(subs, seq(text("-"), e))
	}
	return alt(subs...), nil
}

// decimals gives the numbers from lo to hi, lo at least 0, without sign.
func decimals(lo, hi limit) (*expr, error) {
	above, err := aboveOrBelow(lo, true)
	if err != nil || hi.at == nil {
		return above, err
	}
	below, err := aboveOrBelow(hi, false)
	if err != nil {
		return nil, err
	}
	a, err := determinise(above)
	if err != nil {
		return nil, err
	}
	b, err := determinise(below)
	if err != nil {
		return nil, err
	}
	d, err := both(a, b)
	return &expr{op: opDFA, auto: d}, err
}

// aboveOrBelow gives the numbers on one side of a limit that is at least 0.
func aboveOrBelow(l limit, above bool) (*expr, error) {
	digits := digitsOf(l.at)
	if digits < 0 || digits > 2*fracDigits {
		return nil, &Error{Reason: fmt.Sprintf("the limit %s has too many digits behind its point", l.at.RatString())}
	}
	whole, frac, _ := strings.Cut(l.at.FloatString(digits), ".")
	frac = strings.TrimRight(frac, "0")
	at, _ := new(big.Int).SetString(whole, 10)
	one := big.NewInt(1)
	// Digits behind the point so few that a reader's binary64 does not round a number over its limit.
	most := max(len(frac)+1, min(fracDigits, wholeDigits-len(whole)))
	any := optional(seq(text("."), repeat(digit, 1, most)))
	var side, beside *expr
	if above {
		side = seq(magnitudes(new(big.Int).Add(at, one), nil), any)
		beside = seq(text(whole), fracAbove(frac, l.exclusive, most))
	} else {
		beside = seq(text(whole), fracBelow(frac, l.exclusive, most))
		side = nothing
		if at.Sign() > 0 {
			side = seq(magnitudes(new(big.Int), new(big.Int).Sub(at, one)), any)
		}
	}
	return alt(side, beside), nil
}

// fracAbove gives the fractions above or equal to the digits f, or none if that is not less.
func fracAbove(f string, exclusive bool, most int) *expr {
	var subs []*expr
	for i := range len(f) {
		if f[i] < '9' {
			subs = append(subs, seq(text("."+f[:i]), runes(runeRange{rune(f[i]) + 1, '9'}),
				repeat(digit, 0, most-i-1)))
		}
	}
	zeros := max(most-len(f)-1, 0)
	if exclusive { // f, and then something above zero
		subs = append(subs, seq(text("."+f), repeat(text("0"), 0, zeros), runes(runeRange{'1', '9'})))
	} else if f == "" {
		subs = append(subs, empty, seq(text("."), repeat(digit, 1, most)))
	} else {
		subs = append(subs, seq(text("."+f), repeat(digit, 0, most-len(f))))
	}
	return alt(subs...)
}

// fracBelow gives the fractions below or equal to the digits f, none among them.
func fracBelow(f string, exclusive bool, most int) *expr {
	var subs []*expr
	for i := range len(f) { // equal before digit i, lower there
		if f[i] > '0' {
			subs = append(subs, seq(text("."+f[:i]), runes(runeRange{'0', rune(f[i]) - 1}),
				repeat(digit, 0, most-i-1)))
		}
		if i > 0 { // a shorter number: the rest of f is above zero
			subs = append(subs, text("."+f[:i]))
		}
	}
	if f != "" {
		subs = append(subs, empty)
	}
	if !exclusive {
		zeros := repeat(text("0"), 0, max(most-len(f), 0))
		if f == "" {
			subs = append(subs, empty, seq(text(".0"), zeros))
		} else {
			subs = append(subs, seq(text("."+f), zeros))
		}
	}
	return alt(subs...)
}

// automaton gives the numbers that are multiples: with a sign or without, integers or with a fraction.
func (m multiple) automaton(whole bool) (*dfa, error) {
	digits := 0
	if !whole {
		if digits = digitsOf(m.of); digits < 0 || digits > fracDigits {
			return nil, &Error{Where: m.path, Reason: fmt.Sprintf(
				"must have an end as a decimal number, got %s", m.of.RatString())}
		}
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	of := new(big.Rat).Mul(m.of, new(big.Rat).SetInt(scale))
	if !of.Num().IsInt64() || of.Num().Int64() > int64(maxDFA/(digits+2)) {
		return nil, at(m.path, tooCostly("%s needs an automaton of more than %d states", m.of.RatString(), maxDFA))
	}
	n := int32(of.Num().Int64()) // of an integer, only what is left in lowest terms counts
	// State 0 is the start, 1 stands behind the sign, then come blocks of n remainders by digits behind the point.
	d := &dfa{states: []dfaState{{edges: []edge{{'-', '-', 1}}}, {}}}
	rest := func(j int, r int32) int32 { return 2 + int32(j)*n + r }
	for c := range int32(10) {
		for _, i := range []int{0, 1} {
			d.states[i].edges = append(d.states[i].edges, edge{byte('0' + c), byte('0' + c), rest(0, c%n)})
		}
	}
	for j := range digits + 1 {
		factor := int64(1) // the digits behind the point that may still come
		for range digits - j {
			factor = factor * 10 % int64(n)
		}
		for r := range n {
			s := dfaState{accept: int64(r)*factor%int64(n) == 0}
			if j == 0 && digits > 0 {
				s.edges = append(s.edges, edge{'.', '.', rest(1, r) + int32(digits)*n})
			}
			if j == 0 || j < digits {
				for c := range int32(10) {
					to := rest(j, (r*10+c)%n)
					if j > 0 {
						to = rest(j+1, (r*10+c)%n)
					}
					s.edges = append(s.edges, edge{byte('0' + c), byte('0' + c), to})
				}
			}
			d.states = append(d.states, s)
		}
	}
	if digits > 0 { // right behind the point: a digit must come
		for r := range n {
			var s dfaState
			for c := range int32(10) {
				s.edges = append(s.edges, edge{byte('0' + c), byte('0' + c), rest(1, (r*10+c)%n)})
			}
			d.states = append(d.states, s)
		}
	}
	return d, nil
}
