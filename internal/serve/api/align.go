package api

import (
	"unicode/utf8"

	"github.com/hxp-enterprise/mixtral/internal/llm"
)

// aligner holds tokens back until the text that they form has been sent, so that the reported tokens add up to the
// text. Tokens of a stop string and of tool calls are not part of the text; of a token that a stop string cuts, only
// the beginning is.
type aligner struct {
	text   int         // bytes of text sent
	held   []llm.Token // in their order
	ends   []int       // for each held token: its end in the bytes of all tokens
	raw    int         // bytes of all tokens so far
	carry  []byte      // the last of these: not a whole character yet
	known  int         // bytes of tokens that were decoded to text
	length int         // of that text
	marks  []mark      // in the text that has not been sent
	before int         // bytes of tokens that form the text sent so far
}

// mark is a position between two characters, as a number of bytes of tokens and of text.
type mark struct{ raw, text int }

// take takes an event and returns the tokens that are sent with it.
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

// decode finds the characters that more bytes complete. A byte that belongs to no character is U+FFFD, as in the text.
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

// sent returns how many bytes of tokens form the text that was sent.
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
