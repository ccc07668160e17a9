package grammar

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"
)

// Vocabulary is a model's tokens as a prefix tree. It is immutable and safe for concurrent use.
type Vocabulary struct {
	texts   [][]byte
	ends    []int32
	marks   []int32
	longest int // bytes of the longest token

	all     *tree
	odd     *tree    // of the tokens with characters that do not stand for themselves in a JSON string
	parting []uint64 // the tokens with a comma or an opening bracket
	opening []uint64 // those with a bracket, and behind it another one or a comma
	// plain[k] has the other tokens of up to k characters; the last one has all of them
	plain [][]uint64

	once  sync.Once
	start *tree // of all tokens, without their space in front
	blank []int32
}

// NewVocabulary indexes tokens by the bytes that they add to a text. A token without bytes is never allowed, but for
// ends, which end a text, and marks, which fixed texts may ask for; see Mark. Every byte that a text may have must be
// a token of its own, or a text could come to where no token fits.
func NewVocabulary(texts [][]byte, ends []int32, marks ...int32) (*Vocabulary, error) {
	if len(marks) > maxMarks {
		return nil, fmt.Errorf("%d marks, at most %d are possible", len(marks), maxMarks)
	}
	v := &Vocabulary{texts: slices.Clone(texts), ends: ends, marks: marks}
	var single [256]bool
	for id, text := range texts {
		if len(text) == 1 {
			single[text[0]] = true
			if !inUTF8(text[0]) {
				v.texts[id] = nil
			}
		}
	}
	for _, id := range ends {
		v.texts[id] = nil
	}
	for i, id := range marks {
		v.texts[id] = []byte(Mark(i))
	}
	for b, ok := range single {
		if !ok {
			return nil, fmt.Errorf("the vocabulary has no token for the byte 0x%02X alone", b)
		}
	}
	v.index()
	return v, nil
}

// index makes the trees and the sets of plain tokens.
func (v *Vocabulary) index() {
	var all, odd []leaf
	for id, text := range v.texts {
		if len(text) > 0 {
			v.longest = max(v.longest, len(text))
			all = append(all, leaf{text, int32(id)})
		}
	}
	sortLeaves(all)
	v.parting, v.opening = make([]uint64, v.words()), make([]uint64, v.words())
	for _, l := range all {
		if bytes.ContainsAny(l.text, ",[") {
			v.parting[l.id/64] |= 1 << (l.id % 64)
		}
		if at := bytes.IndexByte(l.text, '['); at >= 0 && bytes.ContainsAny(l.text[at+1:], ",[") {
			v.opening[l.id/64] |= 1 << (l.id % 64)
		}
	}
	v.plain = [][]uint64{make([]uint64, v.words())}
	for _, l := range all {
		n := plainLength(l.text)
		if n < 0 {
			odd = append(odd, l)
			continue
		}
		for len(v.plain) <= n {
			v.plain = append(v.plain, make([]uint64, v.words()))
		}
		v.plain[n][l.id/64] |= 1 << (l.id % 64)
	}
	for k := 1; k < len(v.plain); k++ { // with those of fewer characters
		for i, word := range v.plain[k-1] {
			v.plain[k][i] |= word
		}
	}
	v.all, v.odd = newTree(all), newTree(odd)
}

// inUTF8 says whether a text in UTF-8 can have a byte.
func inUTF8(b byte) bool { return b != 0xC0 && b != 0xC1 && b < 0xF5 }

func (v *Vocabulary) words() int { return (len(v.texts) + 63) / 64 }

// plainLength counts the characters of a text that stand for themselves in a JSON string; −1 if there are others.
func plainLength(text []byte) int {
	n := 0
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size <= 1 || r < 0x20 || r == '"' || r == '\\' {
			return -1
		}
		n++
		text = text[size:]
	}
	return n
}

// Prepare makes what NewVocabulary leaves for the first answer that needs it.
func (v *Vocabulary) Prepare() { v.atStart() }

// atStart gives the tree for the first token of an answer, of which a space in front is dropped, and the tokens that
// are then empty.
func (v *Vocabulary) atStart() (*tree, []int32) {
	v.once.Do(func() {
		var list []leaf
		for id, text := range v.texts {
			switch {
			case len(text) == 0:
			case text[0] != ' ':
				list = append(list, leaf{text, int32(id)})
			case len(text) == 1:
				v.blank = append(v.blank, int32(id))
			default:
				list = append(list, leaf{text[1:], int32(id)})
			}
		}
		sortLeaves(list)
		v.start = newTree(list)
	})
	return v.start, v.blank
}

// tree is a prefix tree, its nodes in order of a walk that goes down first.
type tree struct {
	nodes []treeNode
	ids   []int32
}

type treeNode struct {
	skip   int32 // the node behind all below this one
	lo, hi int32 // in ids: the tokens that end here
	depth  uint16
	b      byte
}

type leaf struct {
	text []byte
	id   int32
}

func sortLeaves(list []leaf) {
	slices.SortFunc(list, func(a, b leaf) int {
		return cmp.Or(bytes.Compare(a.text, b.text), cmp.Compare(a.id, b.id))
	})
}

// newTree makes a tree of sorted leaves.
func newTree(list []leaf) *tree {
	t := &tree{}
	var open []int32 // the nodes from the top down to the last one
	var last []byte
	for _, l := range list {
		if len(l.text) > 1<<16-1 {
			continue
		}
		common := 0
		for common < len(last) && common < len(l.text) && last[common] == l.text[common] {
			common++
		}
		for len(open) > common {
			t.nodes[open[len(open)-1]].skip = int32(len(t.nodes))
			open = open[:len(open)-1]
		}
		for _, c := range l.text[common:] {
			open = append(open, int32(len(t.nodes)))
			n := int32(len(t.ids))
			t.nodes = append(t.nodes, treeNode{b: c, depth: uint16(len(open)), lo: n, hi: n})
		}
		t.ids = append(t.ids, l.id)
		t.nodes[open[len(open)-1]].hi = int32(len(t.ids))
		last = l.text
	}
	for _, i := range open {
		t.nodes[i].skip = int32(len(t.nodes))
	}
	return t
}

// find gives the node that spells a text; −1 where no token begins with it.
func (t *tree) find(text []byte) int {
	at, end := 0, len(t.nodes)
	found := -1
	for _, c := range text {
		for at < end && t.nodes[at].b != c {
			at = int(t.nodes[at].skip)
		}
		if at >= end {
			return -1
		}
		found = at
		end = int(t.nodes[at].skip)
		at++
	}
	return found
}
