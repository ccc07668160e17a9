package token

import (
	"unicode/utf8"
)

// Encode returns the ids of text. User-defined pieces are found first, the longest at each position; the text between
// them is merged. With addBOS they start with BOS, unless prompts of the vocabulary have none. Any bytes are allowed:
// invalid UTF-8 is encoded as byte pieces. Time is O(n log n) in the length of the longest word.
func (t *Tokenizer) Encode(text string, addBOS bool) []int32 {
	var ids []int32
	if addBOS && t.spec.AddBOS && t.spec.BOS >= 0 {
		ids = append(ids, t.spec.BOS)
	}
	return t.appendParts(ids, []Part{{text, true}})
}

// EncodeInside returns the ids of text that follows other text: unchanged, without a space prefix.
func (t *Tokenizer) EncodeInside(text string) []int32 {
	return (&merger{t: t}).encodeParts([]Part{{text, true}}, noSpace)
}

// AtLeast returns a lower bound of the number of tokens of a text with so many bytes, at once, for texts that are too
// long to be worth encoding.
func (t *Tokenizer) AtLeast(bytes int) int { return bytes / t.maxText }

// appendText encodes a run of raw text: the start of a sequence, or what follows a special token. It therefore has a
// space prefix if the vocabulary uses one. Empty text has no ids.
func (t *Tokenizer) appendText(ids []int32, text string) []int32 {
	before := noSpace
	if t.spec.AddSpacePrefix {
		before = space
	}
	return (&merger{t: t, ids: ids}).encodeParts([]Part{{text, true}}, before)
}

// prefix is what is added before a run of text.
type prefix int

const (
	noSpace  prefix = iota
	space           // one more
	oneSpace        // one, if the run does not begin with one
)

// prefix returns what the vocabulary adds before a run of text. first says that the whole text begins with it.
func (t *Tokenizer) prefix(first bool) prefix {
	switch {
	case !t.spec.AddSpacePrefix, t.spec.Metaspace == MetaspaceFirst && !first:
		return noSpace
	case t.spec.Metaspace != "":
		return oneSpace
	}
	return space
}

// run appends the ids of a text without added pieces.
func (m *merger) run(text string) {
	t := m.t
	afterSpace := true // a word begins at a space that follows another character
	for len(text) > 0 {
		if id, n := t.user.at(text); n > 0 { // nothing merges across it
			m.flush()
			m.ids = append(m.ids, id)
			text, afterSpace = text[n:], true
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == ' ':
			if t.perWord && !afterSpace {
				m.flush()
			}
			m.add(Space)
		case r == '▁':
			// Byte by byte, so that it stays separate from a space: no piece is part of a character.
			for i := range size {
				m.add(text[i : i+1])
			}
		default:
			m.add(text[:size])
		}
		afterSpace = r == ' '
		text = text[size:]
	}
	m.flush()
}

// symbol is a part of the merger's text; symbols form a doubly linked list. One that was merged into its left
// neighbour has size 0.
type symbol struct {
	start, size int32 // bytes
	prev, next  int32 // −1 at the ends
}

// pair is a possible merge of two neighbouring symbols.
type pair struct {
	score       float32
	left, right int32 // symbols
	size        int32 // bytes of both when the pair was found: the pair is stale if they differ now
}

// before orders merges: the higher score, then the leftmost.
func (p pair) before(q pair) bool {
	return p.score > q.score || p.score == q.score && p.left < q.left
}

// merger encodes one word after another. Its buffers are reused.
type merger struct {
	t       *Tokenizer
	ids     []int32 // the result
	text    []byte
	symbols []symbol
	heap    []pair
	unused  map[int32]int32 // unused piece → size of the left half that it was merged from
}

// maxWord bounds the buffers (about 1 GB at worst) and keeps offsets within int32. A longer word is split, which only
// loses merges across the split.
const maxWord = 1 << 24

// add appends one character, or one byte that belongs to none.
func (m *merger) add(s string) {
	if len(m.text) >= maxWord {
		m.flush()
	}
	n := int32(len(m.symbols))
	if n > 0 {
		m.symbols[n-1].next = n
	}
	m.symbols = append(m.symbols, symbol{start: int32(len(m.text)), size: int32(len(s)), prev: n - 1, next: -1})
	m.text = append(m.text, s...)
}

// flush merges what was added, appends the ids and empties the buffers.
func (m *merger) flush() {
	for i := 1; i < len(m.symbols); i++ {
		m.propose(int32(i-1), int32(i))
	}
	for len(m.heap) > 0 {
		p := m.pop()
		left, right := &m.symbols[p.left], &m.symbols[p.right]
		if left.size == 0 || right.size == 0 || left.size+right.size != p.size {
			continue
		}
		left.size, right.size = p.size, 0
		left.next = right.next
		if left.next >= 0 {
			m.symbols[left.next].prev = p.left
			m.propose(p.left, left.next)
		}
		if left.prev >= 0 {
			m.propose(left.prev, p.left)
		}
	}
	for i := int32(0); i >= 0 && len(m.symbols) > 0; i = m.symbols[i].next {
		s := m.symbols[i]
		m.emit(m.text[s.start : s.start+s.size])
	}
	m.text, m.symbols = m.text[:0], m.symbols[:0]
	clear(m.unused)
}

// propose queues the merge of two neighbours if it makes a piece.
func (m *merger) propose(left, right int32) {
	l, r := m.symbols[left], m.symbols[right]
	size := l.size + r.size
	if int(size) > m.t.maxPiece {
		return
	}
	id, ok := m.t.ids[string(m.text[l.start:l.start+size])]
	if !ok {
		return
	}
	m.push(pair{score: m.t.spec.Scores[id], left: left, right: right, size: size})
	if m.t.spec.Types[id] == TypeUnused {
		if m.unused == nil {
			m.unused = make(map[int32]int32)
		}
		m.unused[id] = l.size
	}
}

// emit appends the ids of one final symbol. An unused piece is only a step towards longer ones, so it is split again.
func (m *merger) emit(s []byte) {
	id, ok := m.t.ids[string(s)]
	if !ok {
		for _, b := range s {
			id := m.t.bytes[b]
			if id < 0 {
				id = m.t.spec.UNK
			}
			m.ids = append(m.ids, id)
		}
		return
	}
	if half, ok := m.unused[id]; ok {
		m.emit(s[:half])
		m.emit(s[half:])
		return
	}
	m.ids = append(m.ids, id)
}

// push and pop implement a binary heap with the best pair first. container/heap would allocate for every pair.
func (m *merger) push(p pair) {
	h := append(m.heap, p)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !p.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = p
	m.heap = h
}

func (m *merger) pop() pair {
	h := m.heap
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(last) {
			break
		}
		h[i] = h[child]
		i = child
	}
	if len(h) > 0 {
		h[i] = last
	}
	m.heap = h
	return top
}
