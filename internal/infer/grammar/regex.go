package grammar

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"
)

// readRegex reads a regular expression that the whole text must match: RE2's syntax, as Go's package regexp/syntax has
// it, with \uHHHH and \Z of other dialects. Of assertions it may have ^, $, \A and \z, anywhere; (?m) and \b are
// refused, as are back references, which are not regular, look-behind, and look-ahead within a repetition.
func readRegex(source string) (*rules, error) {
	e, err := regexText(source, true)
	if err != nil {
		return nil, err
	}
	return &rules{names: []string{"regular expression"}, bodies: []*expr{e}}, nil
}

// regexText gives the texts that a regular expression matches: as a whole, or somewhere.
func regexText(source string, whole bool) (*expr, error) {
	looks, source, err := takeLooks(source)
	if err != nil {
		return nil, err
	}
	re, err := parseRegex(source)
	if err != nil {
		return nil, err
	}
	t := &translator{looks: looks, marks: len(looks) > 0}
	begins, ends := false, false
	for whole || !begins || !ends {
		inner, b, e := trimAnchors(re)
		if !b && !e {
			break
		}
		re, begins, ends = inner, begins || b, ends || e
	}
	begin, end := text(beginMark), text(endMark)
	rest := empty
	if len(looks) > 0 { // it sees the end, too
		rest = repeat(end, 1, -1)
		if !whole && !ends {
			rest = seq(star(anyRune), rest)
		}
	}
	body, err := t.before(re, rest)
	if err != nil {
		return nil, err
	}
	anyText := star(anyRune)
	if !t.marks {
		if !whole && !begins {
			body = seq(anyText, body)
		}
		if !whole && !ends {
			body = seq(body, anyText)
		}
		return body, nil
	}
	// Anchors in other places: they match marks, which stand at both ends of the text and are taken away again.
	if whole || begins {
		body = seq(star(begin), body)
	} else {
		body = seq(star(alt(anyRune, begin)), body)
	}
	if len(looks) == 0 && (whole || ends) {
		body = seq(body, star(end))
	} else if len(looks) == 0 {
		body = seq(body, star(alt(anyRune, end)))
	}
	return unmarked(body)
}

// Bytes that no UTF-8 text has.
const (
	beginMark = "\xfe"
	endMark   = "\xff"
)

var anyRune = runes(runeRange{0, unicode.MaxRune})

// unmarked gives the texts of a language, all marks where they belong and then taken away.
func unmarked(body *expr) (*expr, error) {
	marked, err := determinise(body)
	if err != nil {
		return nil, err
	}
	form, err := determinise(seq(star(text(beginMark)), star(anyRune), star(text(endMark))))
	if err != nil {
		return nil, err
	}
	marked, err = both(marked, form)
	if err != nil {
		return nil, err
	}
	clean, err := determinise(&expr{op: opDFA, auto: marked, marked: true})
	return &expr{op: opDFA, auto: clean}, err
}

// parseRegex parses with Go's own parser.
func parseRegex(source string) (*syntax.Regexp, error) {
	if err := checkText(source); err != nil {
		return nil, err
	}
	if len(source) > maxRegex {
		return nil, tooCostly("regular expression of %d bytes, at most %d are allowed", len(source), maxRegex)
	}
	re, err := syntax.Parse(goSyntax(source), syntax.Perl)
	var bad *syntax.Error
	switch {
	case errors.As(err, &bad) && (bad.Code == syntax.ErrLarge || bad.Code == syntax.ErrNestingDepth ||
		bad.Code == syntax.ErrInvalidRepeatSize):
		return nil, tooCostly("regular expression: %s: `%s`", bad.Code, bad.Expr)
	case errors.As(err, &bad):
		reason := bad.Code.String()
		if bad.Code == syntax.ErrInvalidPerlOp || strings.HasPrefix(bad.Expr, "(?<=") ||
			strings.HasPrefix(bad.Expr, "(?<!") {
			reason = "look-around and other groups of Perl are not supported"
		}
		return nil, &Error{Reason: fmt.Sprintf("bad regular expression: %s: `%s`", reason, bad.Expr)}
	case err != nil:
		return nil, &Error{Reason: "bad regular expression: " + err.Error()}
	}
	return re, nil
}

// goSyntax writes what other dialects spell in another way as Go's parser reads it.
func goSyntax(source string) string {
	var out strings.Builder
	for i := 0; i < len(source); i++ {
		if source[i] != '\\' || i+1 == len(source) {
			out.WriteByte(source[i])
			continue
		}
		i++
		switch c := source[i]; {
		case c == 'u' && i+4 < len(source) && isHex(source[i+1:i+5]):
			out.WriteString(`\x{` + source[i+1:i+5] + `}`)
			i += 4
		case c == 'Z':
			out.WriteString(`\z`)
		default:
			out.WriteByte('\\')
			out.WriteByte(c)
		}
	}
	return out.String()
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// trimAnchors takes ^ and $ from the ends of an expression.
func trimAnchors(re *syntax.Regexp) (inner *syntax.Regexp, begins, ends bool) {
	switch re.Op {
	case syntax.OpBeginText:
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}, true, false
	case syntax.OpEndText:
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}, false, true
	case syntax.OpCapture:
		return trimAnchors(re.Sub[0])
	case syntax.OpConcat:
		sub := re.Sub
		for len(sub) > 0 && sub[0].Op == syntax.OpBeginText {
			sub, begins = sub[1:], true
		}
		for len(sub) > 0 && sub[len(sub)-1].Op == syntax.OpEndText {
			sub, ends = sub[:len(sub)-1], true
		}
		if len(sub) == 1 {
			return sub[0], begins, ends
		}
		return &syntax.Regexp{Op: syntax.OpConcat, Sub: sub}, begins, ends
	}
	return re, false, false
}

// translator makes an expression of a parsed regular expression.
type translator struct {
	marks bool   // it has marks for anchors
	looks []look // what was taken from it; see takeLooks
}

func (t *translator) translate(re *syntax.Regexp) (*expr, error) {
	switch re.Op {
	case syntax.OpNoMatch:
		return nothing, nil
	case syntax.OpEmptyMatch:
		return empty, nil
	case syntax.OpLiteral:
		return literal(re.Rune, re.Flags&syntax.FoldCase != 0), nil
	case syntax.OpCharClass:
		var ranges []runeRange
		for i := 0; i < len(re.Rune); i += 2 {
			ranges = append(ranges, runeRange{re.Rune[i], re.Rune[i+1]})
		}
		return runes(ranges...), nil
	case syntax.OpAnyChar:
		return anyRune, nil
	case syntax.OpAnyCharNotNL:
		return runes(otherRunes([]runeRange{{'\n', '\n'}})...), nil
	case syntax.OpBeginText:
		t.marks = true
		return repeat(text(beginMark), 1, -1), nil
	case syntax.OpEndText:
		t.marks = true
		return repeat(text(endMark), 1, -1), nil
	case syntax.OpCapture:
		return t.translate(re.Sub[0])
	case syntax.OpConcat, syntax.OpAlternate:
		var subs []*expr
		for _, s := range re.Sub {
			e, err := t.translate(s)
			if err != nil {
				return nil, err
			}
			subs = append(subs, e)
		}
		if re.Op == syntax.OpConcat {
			return seq(subs...), nil
		}
		return alt(subs...), nil
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		body, err := t.translate(re.Sub[0])
		if err != nil {
			return nil, err
		}
		lo, hi := re.Min, re.Max
		switch re.Op {
		case syntax.OpStar:
			lo, hi = 0, -1
		case syntax.OpPlus:
			lo, hi = 1, -1
		case syntax.OpQuest:
			lo, hi = 0, 1
		}
		return repeat(body, lo, hi), nil
	}
	return nil, &Error{Reason: fmt.Sprintf("regular expression: the assertion `%s` is not supported", re)}
}

// literal gives a text, in any case if fold says so.
func literal(s []rune, fold bool) *expr {
	if !fold {
		return text(string(s))
	}
	var subs []*expr
	for _, r := range s {
		class := []runeRange{{r, r}}
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			class = append(class, runeRange{f, f})
		}
		subs = append(subs, runes(class...))
	}
	return seq(subs...)
}

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return &Error{Reason: "is not valid UTF-8"}
	}
	return nil
}
