package chat

import "strings"

// text is a string that knows which of its bytes come from the messages.
type text struct {
	s     string
	loose []span // sorted, apart from each other, not empty
}

// span is the bytes from … to−1.
type span struct{ from, to int }

// own is a text of the template.
func own(s string) text { return text{s: s} }

// theirs is a text of the messages.
func theirs(s string) text {
	if s == "" {
		return text{}
	}
	return text{s, []span{{0, len(s)}}}
}

// like gives s, a text made from others in a way that loses which bytes came from where: all of it counts as from the
// messages if any of these does.
func like(s string, from ...text) text {
	for _, t := range from {
		if len(t.loose) > 0 {
			return theirs(s)
		}
	}
	return own(s)
}

// slice gives the bytes from … to−1.
func (t text) slice(from, to int) text {
	r := text{s: t.s[from:to]}
	for _, l := range t.loose {
		if l := (span{max(l.from, from) - from, min(l.to, to) - from}); l.from < l.to {
			r.loose = append(r.loose, l)
		}
	}
	return r
}

// trim takes characters off the ends.
func (t text) trim(set string, left, right bool) text {
	from, to := 0, len(t.s)
	cut := func(s string, f func(string, string) string, g func(string, func(rune) bool) string) int {
		if set == "" {
			return len(s) - len(g(s, isSpace))
		}
		return len(s) - len(f(s, set))
	}
	if left {
		from = cut(t.s, strings.TrimLeft, strings.TrimLeftFunc)
	}
	if right {
		to -= cut(t.s[from:], strings.TrimRight, strings.TrimRightFunc)
	}
	return t.slice(from, to)
}

// builder puts texts together.
type builder struct {
	b     strings.Builder
	loose []span
}

func (b *builder) add(t text) {
	at := b.b.Len()
	b.b.WriteString(t.s)
	for _, l := range t.loose {
		l.from, l.to = l.from+at, l.to+at
		if n := len(b.loose); n > 0 && b.loose[n-1].to == l.from {
			b.loose[n-1].to = l.to
			continue
		}
		b.loose = append(b.loose, l)
	}
}

func (b *builder) text() text { return text{b.b.String(), b.loose} }

// concat joins texts.
func concat(all ...text) text {
	var b builder
	for _, t := range all {
		b.add(t)
	}
	return b.text()
}

// replace puts new for old, count times at most; −1 for all.
func (t text) replace(old, new text, count int) text {
	var b builder
	for count != 0 {
		at := strings.Index(t.s, old.s)
		if at < 0 || old.s == "" {
			break
		}
		b.add(t.slice(0, at))
		b.add(new)
		t = t.slice(at+len(old.s), len(t.s))
		count--
	}
	b.add(t)
	return b.text()
}

// split cuts at sep, or at runs of white space if it is empty; −1 for all.
func (t text) split(sep string, count int) []text {
	var all []text
	if sep == "" {
		for t = t.trim("", true, false); t.s != ""; t = t.trim("", true, false) {
			at := strings.IndexFunc(t.s, isSpace)
			if at < 0 || count == 0 {
				break
			}
			all = append(all, t.slice(0, at))
			t = t.slice(at, len(t.s))
			count--
		}
		if t.s != "" {
			all = append(all, t)
		}
		return all
	}
	for count != 0 {
		at := strings.Index(t.s, sep)
		if at < 0 {
			break
		}
		all = append(all, t.slice(0, at))
		t = t.slice(at+len(sep), len(t.s))
		count--
	}
	return append(all, t)
}

// parts cuts a text where it changes hands.
func (t text) parts() []Part {
	var all []Part
	at := 0
	for _, l := range t.loose {
		if at < l.from {
			all = append(all, Part{Text: t.s[at:l.from]})
		}
		all = append(all, Part{Text: t.s[l.from:l.to], Content: true})
		at = l.to
	}
	if at < len(t.s) {
		all = append(all, Part{Text: t.s[at:]})
	}
	return all
}
