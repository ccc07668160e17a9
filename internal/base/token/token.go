package token

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Types of piece, as tokenizer.ggml.token_type numbers them.
const (
	TypeNormal      int32 = 1
	TypeUnknown     int32 = 2
	TypeControl     int32 = 3
	TypeUserDefined int32 = 4
	TypeUnused      int32 = 5
	TypeByte        int32 = 6
)

// ErrSpec is matched by every error about a vocabulary.
var ErrSpec = errors.New("bad tokenizer")

// Space is how a piece writes ' ' (U+2581).
const Space = "▁"

// unknownText is the text of the unknown piece: SentencePiece's default unk_surface.
const unknownText = " ⁇ "

// Schemes of Metaspace in tokenizer.json, which add no space before a run that begins with one. If a text contains
// control pieces, SentencePiece and MetaspaceAlways add a space before each run of text between them, and
// MetaspaceFirst only before a run at the beginning of the text.
const (
	MetaspaceAlways = "always"
	MetaspaceFirst  = "first"
	MetaspaceNever  = "never" // it puts no space anywhere; normalized pieces with spaces are found all the same
)

// MetaspaceKey is the key of Spec.Metaspace in a GGUF file that was converted here. GGUF itself has no key for it.
const MetaspaceKey = "mixtral.tokenizer.metaspace"

// AddedScore is the highest score of user-defined pieces that were added to a vocabulary after its training. Those of
// SentencePiece itself have 0. llama.cpp's converter does the same.
const AddedScore = -1000

// Marks says whether a piece looks like a mark between the parts of a conversation, such as <|im_start|>. Some files
// do not declare these as control pieces; if they were user-defined pieces, the text of a message could turn into one.
func Marks(piece string) bool {
	return strings.HasPrefix(piece, "<|") && strings.HasSuffix(piece, "|>") && len(piece) > len("<||>")
}

// Spec is a vocabulary as in a model file. Index i of Pieces, Scores and Types describes id i.
type Spec struct {
	Pieces         []string
	Scores         []float32       // higher merges first
	Types          []int32         // TypeNormal …
	BOS, EOS, UNK  int32           // −1 where there is none
	Ends           []int32         // what ends an answer beside EOS: the end of a turn
	AddBOS         bool            // a prompt starts with BOS
	AddEOS         bool            // a raw prompt ends with EOS
	AddSpacePrefix bool            // text starts with a space that is not its own
	Metaspace      string          // where AddSpacePrefix puts none: a name above; empty: everywhere
	Flags          map[int32]Flags // of added pieces that have any
	Template       string          // Jinja chat template, if there is one
	ToolTemplate   string          // another one for conversations with tools
}

// Tokenizer encodes and decodes. It is immutable and safe for concurrent use.
type Tokenizer struct {
	spec     Spec
	ids      map[string]int32 // pieces that text can become: normal, user-defined, unused
	bytes    [256]int32       // byte piece of each byte, −1 if there is none
	text     [][]byte         // what each id adds to a text
	room     []byte           // of text, for the next ones
	maxPiece int              // bytes of the longest piece in ids
	maxText  int              // most bytes of text that a token stands for
	perWord  bool             // no piece has "▁" after another character: words are encoded independently
	user     matcher          // SentencePiece's user-defined pieces: text is split there before merging
	added    matcher          // user-defined pieces that were added later
	// normalized pieces of these are looked for after all others, see Flags
	normalized matcher
	control    matcher // control pieces, for text that may name them
	chat       chatFormat
}

// New checks a vocabulary and indexes it. Its errors match ErrSpec.
func New(s Spec) (*Tokenizer, error) {
	n := len(s.Pieces)
	switch {
	case n == 0:
		return nil, fmt.Errorf("%w: no pieces", ErrSpec)
	case n > math.MaxInt32:
		return nil, fmt.Errorf("%w: %d pieces", ErrSpec, n)
	case !slices.Contains([]string{"", MetaspaceAlways, MetaspaceFirst, MetaspaceNever}, s.Metaspace):
		return nil, fmt.Errorf("%w: %s must be %s, %s or %s, got %q", ErrSpec, MetaspaceKey, MetaspaceAlways,
			MetaspaceFirst, MetaspaceNever, s.Metaspace)
	case len(s.Scores) != n || len(s.Types) != n:
		return nil, fmt.Errorf("%w: %d pieces, but %d scores and %d types", ErrSpec, n, len(s.Scores), len(s.Types))
	}
	for _, special := range []struct {
		name string
		id   int32
	}{{"bos", s.BOS}, {"eos", s.EOS}, {"unknown", s.UNK}} {
		if special.id < -1 || int(special.id) >= n {
			return nil, fmt.Errorf("%w: %s id %d of %d pieces", ErrSpec, special.name, special.id, n)
		}
	}
	t := &Tokenizer{spec: s, ids: make(map[string]int32, n), text: make([][]byte, n), perWord: true, maxText: 1}
	for b := range t.bytes {
		t.bytes[b] = -1
	}
	for id := range s.Flags {
		if id < 0 || int(id) >= n {
			return nil, fmt.Errorf("%w: the flags of an added token are those of id %d of %d pieces", ErrSpec, id, n)
		}
	}
	for id := range int32(n) {
		if err := t.index(id); err != nil {
			return nil, err
		}
	}
	if s.UNK < 0 {
		for b, id := range t.bytes {
			if id < 0 {
				return nil, fmt.Errorf("%w: neither a piece for byte 0x%02X nor one for the unknown", ErrSpec, b)
			}
		}
	}
	for _, id := range s.Ends {
		if id < 0 || int(id) >= n {
			return nil, fmt.Errorf("%w: an end of turn has id %d of %d pieces", ErrSpec, id, n)
		}
	}
	t.user.sort()
	t.added.sort()
	t.normalized.sort()
	t.control.sort()
	t.chat = t.newChatFormat()
	return t, nil
}

// index records what id is made from and what it decodes to.
func (t *Tokenizer) index(id int32) error {
	piece, typ := t.spec.Pieces[id], t.spec.Types[id]
	if score := t.spec.Scores[id]; score != score {
		return fmt.Errorf("%w: score of piece %d %q is not a number", ErrSpec, id, piece)
	}
	switch typ {
	case TypeControl:
		t.control.add(piece, id)
	case TypeUnknown:
		t.text[id] = []byte(unknownText)
	case TypeByte:
		b, ok := parseByte(piece)
		if !ok {
			return fmt.Errorf("%w: byte piece %d must be one of <0x00>…<0xFF>, got %q", ErrSpec, id, piece)
		}
		t.text[id] = []byte{b}
		if t.bytes[b] < 0 {
			t.bytes[b] = id
		}
	case TypeNormal, TypeUserDefined, TypeUnused:
		t.text[id] = t.plain(piece)
		// A piece that is not valid UTF-8 could join stray bytes into a character; it is never made from text.
		if _, dup := t.ids[piece]; dup || piece == "" || !utf8.ValidString(piece) {
			break
		}
		t.ids[piece] = id
		switch {
		case typ != TypeUserDefined:
		case t.spec.Scores[id] > AddedScore:
			t.user.add(string(t.text[id]), id)
		case !t.spec.Flags[id].Normalized:
			t.added.add(string(t.text[id]), id)
		case t.spec.AddSpacePrefix && t.spec.Metaspace == "": // the space is put before it as before any text
			t.text[id] = append([]byte{' '}, t.text[id]...)
			t.normalized.add(string(t.text[id]), id)
		default:
			t.normalized.add(string(t.text[id]), id)
		}
		t.maxPiece = max(t.maxPiece, len(piece))
		t.maxText = max(t.maxText, len(t.text[id]))
		if strings.Contains(strings.TrimLeft(piece, Space), Space) {
			t.perWord = false
		}
	default:
		return fmt.Errorf("%w: the type of piece %d %q must be 1 to 6, got %d", ErrSpec, id, piece, typ)
	}
	return nil
}

// plain gives what a piece adds to a text. Most pieces are short: they share their memory.
func (t *Tokenizer) plain(piece string) []byte {
	if cap(t.room)-len(t.room) < len(piece) {
		t.room = make([]byte, 0, max(1<<16, len(piece)))
	}
	from := len(t.room)
	for rest := piece; ; {
		word, more, found := strings.Cut(rest, Space)
		if t.room = append(t.room, word...); !found {
			return t.room[from:len(t.room):len(t.room)]
		}
		t.room, rest = append(t.room, ' '), more
	}
}

// parseByte reads "<0x41>".
func parseByte(piece string) (byte, bool) {
	if len(piece) != 6 || piece[:3] != "<0x" || piece[5] != '>' {
		return 0, false
	}
	hi, lo := hexDigit(piece[3]), hexDigit(piece[4])
	return byte(hi<<4 | lo), hi >= 0 && lo >= 0
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// Vocab returns the number of pieces.
func (t *Tokenizer) Vocab() int { return len(t.spec.Pieces) }

// BOS returns the beginning-of-sequence id, −1 if there is none.
func (t *Tokenizer) BOS() int32 { return t.spec.BOS }

// EOS returns the end-of-sequence id, −1 if there is none.
func (t *Tokenizer) EOS() int32 { return t.spec.EOS }

// IsEnd says whether id ends an answer: EOS, or an end of turn.
func (t *Tokenizer) IsEnd(id int32) bool {
	return id >= 0 && (id == t.spec.EOS || slices.Contains(t.spec.Ends, id))
}

// Ends returns the ids that end an answer.
func (t *Tokenizer) Ends() []int32 {
	var ids []int32
	if t.spec.EOS >= 0 {
		ids = append(ids, t.spec.EOS)
	}
	for _, id := range t.spec.Ends {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Spelling returns a piece as it is in the vocabulary, "" for ids out of range.
func (t *Tokenizer) Spelling(id int32) string {
	if !t.valid(id) {
		return ""
	}
	return t.spec.Pieces[id]
}

// Has says whether a control or user-defined piece has that spelling.
func (t *Tokenizer) Has(piece string) bool {
	for _, m := range []*matcher{&t.control, &t.user} {
		if _, n := m.at(piece); n == len(piece) && n > 0 {
			return true
		}
	}
	return false
}

// Control returns the id of the control piece with that spelling, −1 if there is none.
func (t *Tokenizer) Control(piece string) int32 {
	if id, n := t.control.at(piece); n == len(piece) && n > 0 {
		return id
	}
	return -1
}

// IsControl says whether id is a control piece, which adds nothing to a text.
func (t *Tokenizer) IsControl(id int32) bool {
	return t.valid(id) && t.spec.Types[id] == TypeControl
}

// IsText says whether id stands for text: a normal, user-defined or byte piece, and not a control, unknown or unused
// one.
func (t *Tokenizer) IsText(id int32) bool {
	if !t.valid(id) {
		return false
	}
	switch t.spec.Types[id] {
	case TypeNormal, TypeUserDefined, TypeByte:
		return true
	}
	return false
}

// Piece returns the bytes that id adds to a text, which may be part of a UTF-8 sequence; nil for control pieces and
// for ids out of range. The caller must not change them.
func (t *Tokenizer) Piece(id int32) []byte {
	if !t.valid(id) {
		return nil
	}
	return t.text[id]
}

func (t *Tokenizer) valid(id int32) bool { return id >= 0 && int(id) < len(t.text) }

// GuessTypes returns the types of a vocabulary whose file does not contain them: control for BOS and EOS, unknown for
// UNK, byte for <0x00>…<0xFF>, and normal for the rest.
func GuessTypes(s Spec) []int32 {
	types := make([]int32, len(s.Pieces))
	for id, piece := range s.Pieces {
		types[id] = TypeNormal
		if _, ok := parseByte(piece); ok {
			types[id] = TypeByte
		}
	}
	for id, typ := range map[int32]int32{s.BOS: TypeControl, s.EOS: TypeControl, s.UNK: TypeUnknown} {
		if id >= 0 && int(id) < len(types) {
			types[id] = typ
		}
	}
	return types
}
