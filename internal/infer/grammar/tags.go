package grammar

import (
	"errors"
	"fmt"
	"strings"
)

// Tags is text in which values stand between fixed texts, as calls of tools do:
//
//	Begin tag Between tag … End
//
// where each tag is one of List. Fixed texts may hold marks; see Mark.
type Tags struct {
	List                []Tag
	Begin, Between, End string
	Single              bool // one tag at most

	// What may stand in their place. With Free, that is any text without Trigger, and tags may follow it; a Trigger,
	// which Begin begins with, is where tags must begin. With Text, it is a text of that kind. With neither, there
	// must be tags.
	Free    bool
	Trigger string
	Text    *Spec
}

// Tag is an object that keeps to a JSON Schema, between fixed texts.
type Tag struct {
	Begin, End string
	Schema     string // empty: an object without members
}

// firstMark is the byte of the first mark: no UTF-8 has it, nor those behind it.
const (
	firstMark = 0xF8
	maxMarks  = 8
)

// Mark is how fixed texts spell the i-th marked token of a Vocabulary, which adds no text.
func Mark(i int) string { return string([]byte{byte(firstMark + i)}) }

func isMark(b byte) bool { return b >= firstMark }

// emptyObject is the schema of functions without parameters.
const emptyObject = `{"type":"object","additionalProperties":false}`

func readTags(t *Tags) (*rules, error) {
	if t == nil || len(t.List) == 0 {
		return nil, &Error{Reason: "must list at least one tag"}
	}
	if t.Free && (t.Trigger == "" || !strings.HasPrefix(t.Begin, t.Trigger)) {
		return nil, &Error{Reason: "a trigger must be given that the tags begin with"}
	}
	r := &rules{}
	r.add("root")
	calls, err := r.tags(t)
	if err != nil {
		return nil, err
	}
	whole := seq(text(t.Begin), calls)
	switch {
	case t.Text != nil:
		sub, err := read(*t.Text)
		if err != nil {
			return nil, err
		}
		r.bodies[0] = alt(r.include(sub), whole)
	case t.Free:
		r.bodies[0] = r.until(t.Trigger, seq(text(t.Begin[len(t.Trigger):]), calls))
	default:
		r.bodies[0] = whole
	}
	return r, nil
}

// tags gives what stands behind Begin.
func (r *rules) tags(t *Tags) (*expr, error) {
	var subs []*expr
	for i, tag := range t.List {
		value, err := readTagSchema(tag.Schema)
		if err != nil {
			var e *Error
			if errors.As(err, &e) {
				err = &Error{e.Where, e.Reason, e.costly, i + 1}
			}
			return nil, err
		}
		body := r.include(value)
		rule := r.add(fmt.Sprintf("tag %d", i))
		r.bodies[rule] = body
		subs = append(subs, seq(text(tag.Begin), ref(rule), text(tag.End)))
	}
	one := ref(r.add("tag"))
	r.bodies[one.rule] = alt(subs...)
	if t.Single {
		return seq(one, text(t.End)), nil
	}
	return seq(one, star(seq(text(t.Between), one)), text(t.End)), nil
}

// readTagSchema reads the schema of a tag, which is one of objects.
func readTagSchema(source string) (*rules, error) {
	if source == "" {
		source = emptyObject
	}
	root, err := parseJSON(source)
	if err != nil {
		return nil, err
	}
	if err := onlyObjects(root); err != nil {
		return nil, err
	}
	return readSchemaValue(root)
}

// onlyObjects makes a schema one of objects. One that lists its properties, and none, has none.
func onlyObjects(root *value) error {
	if root.kind == kindBool && root.truth {
		*root = value{kind: kindObject}
	}
	if root.kind != kindObject {
		return &Error{Where: "#", Reason: "must be a schema of objects"}
	}
	object := &value{kind: kindString, text: "object"}
	typ := root.get("type")
	switch {
	case typ == nil:
		root.members = append(root.members, member{"type", object})
	case typ.kind == kindString && typ.text == "object":
	case typ.kind == kindArray && containsText(typ.items, "object"):
		*typ = *object
	default:
		return &Error{Where: "#/type", Reason: "must be object, as arguments are, got " + typ.spelled()}
	}
	if props := root.get("properties"); props != nil && props.kind == kindObject && len(props.members) == 0 &&
		root.get("additionalProperties") == nil && root.get("patternProperties") == nil &&
		root.get("required") == nil {
		root.members = append(root.members, member{"additionalProperties", &value{kind: kindBool}})
	}
	return nil
}

func containsText(list []*value, text string) bool {
	for _, v := range list {
		if v.kind == kindString && v.text == text {
			return true
		}
	}
	return false
}

// until gives any text in which a trigger does not stand, or the text before a trigger and, behind it, what then says.
// Its rules are the states of Knuth, Morris and Pratt: how much of the trigger the text ends with.
func (r *rules) until(trigger string, then *expr) *expr {
	if isMark(trigger[0]) {
		return seq(star(runes(runeRange{0, 0x10FFFF})), optional(seq(text(trigger), then)))
	}
	letters := []rune(trigger)
	states := make([]*expr, len(letters))
	for i := range letters {
		states[i] = ref(r.add(fmt.Sprintf("text %d", i)))
	}
	var all []runeRange // the trigger's letters
	for _, c := range letters {
		all = append(all, runeRange{c, c})
	}
	all = normalRunes(all)
	for i := range letters {
		subs := []*expr{empty, seq(runes(otherRunes(all)...), states[0])}
		for _, c := range distinct(letters) {
			if n := matched(letters, i, c); n == len(letters) {
				subs = append(subs, seq(runes(runeRange{c, c}), then))
			} else {
				subs = append(subs, seq(runes(runeRange{c, c}), states[n]))
			}
		}
		r.bodies[states[i].rule] = alt(subs...)
	}
	return states[0]
}

// matched gives how much of a word a text ends with that ended with its first i letters and goes on with c.
func matched(word []rune, i int, c rune) int {
	end := string(word[:i]) + string(c)
	for n := min(i+1, len(word)); n > 0; n-- {
		if strings.HasSuffix(end, string(word[:n])) {
			return n
		}
	}
	return 0
}

func distinct(letters []rune) (out []rune) {
	for i, c := range letters {
		if !strings.ContainsRune(string(letters[:i]), c) {
			out = append(out, c)
		}
	}
	return out
}

// include adds the rules of another grammar, and gives its root.
func (r *rules) include(other *rules) *expr {
	offset := len(r.bodies)
	known := map[*expr]*expr{}
	for i, name := range other.names {
		r.add(name)
		r.bodies[offset+i] = moved(other.bodies[i], offset, known)
	}
	return ref(offset)
}

// moved gives an expression whose rules have other numbers.
func moved(e *expr, offset int, known map[*expr]*expr) *expr {
	if to, ok := known[e]; ok {
		return to
	}
	to := *e
	if e.op == opRule {
		to.rule += offset
	}
	if len(e.subs) > 0 {
		to.subs = make([]*expr, len(e.subs))
		for i, sub := range e.subs {
			to.subs[i] = moved(sub, offset, known)
		}
	}
	known[e] = &to
	return &to
}
