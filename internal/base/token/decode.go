package token

import (
	"strings"
	"unicode/utf8"
)

// Decode returns the text of a whole sequence. Control pieces and ids out of range add nothing, the space prefix is
// removed, and each byte that does not belong to a UTF-8 sequence becomes U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	d := t.NewDecoder()
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(d.Write(id))
	}
	text.WriteString(d.Flush())
	return text.String()
}

// Decoder turns ids into text as they arrive, and never splits a UTF-8 sequence. It is for one goroutine.
type Decoder struct {
	t       *Tokenizer
	strip   bool   // the space prefix has not come yet
	pending []byte // an unfinished UTF-8 sequence, at most utf8.UTFMax − 1 bytes between calls
}

// NewDecoder decodes a sequence from its beginning, or a chat answer: without the space prefix.
func (t *Tokenizer) NewDecoder() *Decoder {
	return &Decoder{t: t, strip: t.spec.AddSpacePrefix}
}

// NewContinuation decodes what follows a raw prompt: a space before the first word belongs to the text and is kept.
func (t *Tokenizer) NewContinuation() *Decoder {
	return &Decoder{t: t}
}

// Piece returns the bytes that an id would add to the text if it came next.
func (d *Decoder) Piece(id int32) []byte {
	piece := d.t.Piece(id)
	if d.strip && len(piece) > 0 && piece[0] == ' ' && d.t.spec.Types[id] != TypeUnknown {
		return piece[1:]
	}
	return piece
}

// DropsSpace says whether a space before the next piece will be removed, because it is the space prefix.
func (d *Decoder) DropsSpace() bool { return d.strip }

// Write adds the next id and returns the text that is complete now, which may be empty.
func (d *Decoder) Write(id int32) string {
	piece := d.Piece(id)
	if len(d.t.Piece(id)) == 0 {
		return ""
	}
	d.strip = false
	if len(d.pending) == 0 && utf8.Valid(piece) {
		return string(piece)
	}
	d.pending = append(d.pending, piece...)
	var text []byte
	rest := d.pending
	// FullRune is true for bytes that can no longer become a character; DecodeRune then returns U+FFFD and one byte.
	for utf8.FullRune(rest) {
		r, size := utf8.DecodeRune(rest)
		text = utf8.AppendRune(text, r)
		rest = rest[size:]
	}
	d.pending = append(d.pending[:0], rest...)
	return string(text)
}

// Flush ends the text: each byte of an unfinished sequence becomes U+FFFD. The Decoder can be used further.
func (d *Decoder) Flush() string {
	text := strings.Repeat(string(utf8.RuneError), len(d.pending))
	d.pending = d.pending[:0]
	return text
}
