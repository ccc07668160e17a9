package api

import (
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// aligner holds tokens back until the text that they made has been sent, so that what is reported of tokens adds up to
// the text: tokens of a stop string, and of calls, are not part of it, and of one that is cut by a stop string only
// its beginning is.
type aligner struct {
	text   int         // bytes of text sent
	held   []llm.Token // in their order
	ends   []int       // of held tokens: where each ends in all tokens' bytes
	raw    int         // bytes of all tokens so far
	carry  []byte      // the last of them: no whole character yet
	known  int         // bytes of tokens that are text already
	length int         // of that text
	marks  []mark      // of the text that has not been sent
	before int         // bytes of tokens that the text sent stands for
}

// mark is a place between two characters: behind so many bytes of tokens, and of text.
type mark struct{ raw, text int }

// take takes in an event and gives the tokens that go out with it.
func (a *aligner) take(e llm.Event) (out []llm.Token) {
	a.text += len(e.Text)
	for _, t := range e.Tokens {
		a.held = append(a.held, t)
		a.raw += len(t.Bytes)
		a.ends = append(a.ends, a.raw)
		a.decode(t.Bytes)
	}
	ended := e.Finish != llm.FinishNone
	if ended && a.length+len("\ufffd")*len(a.carry) == a.text {
		return a.held
	}
	sent := a.sent()
	n := 0
	for n < len(a.held) && a.ends[n] <= sent && !(ended && a.ends[n] == sent && len(a.held[n].Bytes) == 0) {
		n++
	}
	out = a.held[:n:n]
	if ended && n < len(a.held) {
		if start := a.ends[n] - len(a.held[n].Bytes); start < sent {
			cut := a.held[n]
			cut.Bytes = cut.Bytes[:sent-start]
			out = append(out, cut)
		}
	}
	a.held, a.ends = a.held[n:], a.ends[n:]
	return out
}

// decode finds the characters that more bytes complete. A byte that belongs to none is U+FFFD, as in the text.
func (a *aligner) decode(b []byte) {
	a.carry = append(a.carry, b...)
	for utf8.FullRune(a.carry) {
		r, size := utf8.DecodeRune(a.carry)
		a.carry = a.carry[size:]
		a.known += size
		a.length += utf8.RuneLen(r)
		a.marks = append(a.marks, mark{a.known, a.length})
	}
}

// sent gives how many bytes of tokens the text that was sent stands for.
func (a *aligner) sent() (raw int) {
	i := 0
	for i < len(a.marks) && a.marks[i].text <= a.text {
		i++
	}
	if i > 0 {
		a.before = a.marks[i-1].raw
		a.marks = a.marks[i:]
	}
	return a.before
}
