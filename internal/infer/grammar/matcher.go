package grammar

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNotAllowed is matched when a token is accepted that the grammar does not allow.
var ErrNotAllowed = errors.New("the grammar does not allow this token")

// Matcher follows one answer through a grammar. It is a small value: a copy follows the answer another way. It is for
// one goroutine; Matchers of one Grammar may be used at the same time.
type Matcher struct {
	g     *Grammar
	s     *state
	strip bool // a space in front of the next token is dropped
	said  said
}

// Start gives a Matcher at the start of an answer. dropSpace says that a space in front of the first token is not part
// of the text, as it is in the answers of a chat.
func (g *Grammar) Start(dropSpace bool) Matcher {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Matcher{g: g, s: g.m.start, strip: dropSpace}
}

// Allowed gives the tokens that may come next, end of sequence among them where the text may end. Its error is an
// *Error: it would take too long to find out.
func (m *Matcher) Allowed() (*Mask, error) {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	m.s = m.g.m.adopt(m.s)
	find := m.g.w.mask
	if m.strip {
		find = m.g.w.startMask
	}
	mask, err := find(m.s)
	if err != nil {
		return nil, err
	}
	return m.g.withoutRepetition(mask, m.s, m.said, m.strip)
}

// Ready says whether Allowed has its answer already.
func (m *Matcher) Ready() bool {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	return m.strip && m.s.atStart != nil || !m.strip && m.s.allowed != nil
}

// Accept goes on behind a token. Where it is not allowed the error matches ErrNotAllowed, and the Matcher stays.
func (m *Matcher) Accept(id int32) error {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	v := m.g.w.v
	if id < 0 || int(id) >= len(v.texts) || len(v.texts[id]) == 0 {
		return fmt.Errorf("%w: %d", ErrNotAllowed, id)
	}
	text := v.texts[id]
	if m.strip && text[0] == ' ' {
		text = text[1:]
	}
	m.s = m.g.m.adopt(m.s)
	m.g.m.work = 0
	to, next, err := m.g.remember(m.s, text, m.said)
	if err != nil {
		return err
	}
	if to == m.g.m.dead {
		return fmt.Errorf("%w: %d, %q", ErrNotAllowed, id, text)
	}
	m.s, m.strip, m.said = to, false, next.settled()
	return nil
}

// follow goes along a text.
func (g *Grammar) follow(s *state, text []byte) (*state, error) {
	var err error
	for _, c := range text {
		if s, err = g.m.step(s, g.m.class[c]); err != nil || s == g.m.dead {
			break
		}
	}
	return s, err
}

// Accepting says whether the text may end here, and Ended whether it must: nothing may follow.
func (m *Matcher) Accepting() bool { return m.s.accept }

// Ended says whether nothing may follow.
func (m *Matcher) Ended() bool { return len(m.s.places) == 0 }

// Prefix counts the tokens of a guess that are allowed.
func (m Matcher) Prefix(ids []int32) int {
	for i, id := range ids {
		if m.Accept(id) != nil {
			return i
		}
	}
	return len(ids)
}

// Forced gives tokens that spell what must come next, as far as they are certain: those that the tokenizer itself
// would make of the text, and that no other way to go on could change. before are the tokens of the answer so far;
// encode makes tokens of a text as it stands, without a space in front.
func (m *Matcher) Forced(before []int32, encode func(text string) []int32) ([]int32, error) {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	m.s = m.g.m.adopt(m.s)
	text, end, err := m.g.forcedText(m.s)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	stable, err := m.g.stable(text, end)
	if err != nil || stable == 0 {
		return nil, err
	}
	if m.strip && !isMark(text[0]) {
		text, stable = append([]byte(" "), text...), stable+1
	}
	ids := m.g.spell(before, text, encode)
	n := 0
	for at := 0; n < len(ids); n++ {
		if at += len(m.g.w.v.texts[ids[n]]); at > stable {
			break
		}
	}
	return ids[:n], nil
}

// forcedText gives the bytes that must follow a state, and the state behind them.
func (g *Grammar) forcedText(s *state) (text []byte, end *state, err error) {
	for len(text) < maxForced {
		b := g.m.forced(s)
		if b < 0 {
			break
		}
		text = append(text, byte(b))
		if s, err = g.m.step(s, g.m.class[b]); err != nil {
			return nil, nil, err
		}
	}
	return text, s, nil
}

// stable gives how much of a forced text keeps its tokens whatever follows: up to where a token could begin that goes
// on beyond it.
func (g *Grammar) stable(text []byte, end *state) (int, error) {
	g.m.work = 0
	if len(end.places) == 0 {
		return len(text), nil
	}
	for at := max(0, len(text)-g.w.v.longest+1); at < len(text); at++ {
		if crosses, err := g.w.crosses(text[at:], end); crosses || err != nil {
			return at, err
		}
	}
	return len(text), nil
}

// maxContext bounds the tokens before a forced text that are encoded again with it.
const maxContext = 32

// spell gives the tokens of a text with marks behind others.
func (g *Grammar) spell(before []int32, text []byte, encode func(string) []int32) (ids []int32) {
	for len(text) > 0 {
		if isMark(text[0]) {
			ids = append(ids, g.w.v.marks[text[0]-firstMark])
			text, before = text[1:], ids
			continue
		}
		n := slices.IndexFunc(text, isMark)
		if n < 0 {
			n = len(text)
		}
		ids = append(ids, g.spellText(before, text[:n], encode)...)
		text = text[n:]
	}
	return ids
}

// spellText gives the tokens of a text behind others: those of both together if the others are as the tokenizer makes
// them, those of the text alone if not.
func (g *Grammar) spellText(before []int32, text []byte, encode func(string) []int32) []int32 {
	var context []byte
	from := len(before)
	for from > 0 && len(before)-from < maxContext { // back to the start of a word, as words are encoded one by one
		from--
		piece := g.w.v.texts[before[from]]
		if len(piece) > 0 && isMark(piece[0]) { // what follows is a text of its own
			from++
			break
		}
		context = append(append([]byte(nil), piece...), context...)
		if len(piece) > 0 && piece[0] == ' ' {
			break
		}
	}
	if known := before[from:]; len(known) > 0 {
		all := encode(string(context) + string(text))
		if len(all) >= len(known) && equal(all[:len(known)], known) {
			return all[len(known):]
		}
	}
	return encode(string(text))
}

func equal(a, b []int32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
