package quality

import (
	"slices"
	"strconv"
	"strings"
)

// unit is a sentence, or a line of verse, whose place in the order is scored.
type unit struct {
	words   []string
	content []string // stems of the content words
	marks   marks    // features of its own text; see markTable

	nouns   map[string]bool // stems of the content words
	intro   map[string]bool // those after "a", "an", "named", "called"
	pointer map[string]bool // those after "this", "these", "such"
	names   map[string]bool // stems of capitalised words inside the sentence

	pronoun string // the pronoun with which it opens
	subject string // stem of the first content word
	rhyme   string // in verse: how its last word sounds
	frame   int    // -1: it opens a reply or letter; 1: it closes one
	hand    int    // 1: on the one hand; 2: on the other
	number  int    // number of an item, or of first, second, third; 0 for none
	time    int    // rank of a word of time, see timeAt; 0 for none

	indefinite float64 // 0.5 for each "a" or "an", at most 1
	surroundings
}

// surroundings are the features of a unit that depend on the prompt and the other units. newOrderModel fills them.
type surroundings struct {
	asked          bool    // its subject is a content word of the prompt
	strange        bool    // it opens with "the X", and X is not in the prompt
	topic          float64 // share of the prompt's subjects that it mentions
	facet          int     // number of the first of the prompt's subjects that it mentions; 0 for none
	points, facets float64 // mean number of the rubric's points, and facets, that it mentions; 0 for none
	central        float64 // share of its content words that also occur in other units
}

func (d *doc) units() []unit {
	var out []unit
	if d.form == "poem" {
		for _, l := range d.lines {
			if ws := words(l); len(ws) > 0 && len(out) < maxOrdered {
				out = append(out, newUnit(l, ws, strings.HasPrefix(l, "#") || strings.HasPrefix(l, "**")))
				out[len(out)-1].rhyme = rhymeOf(ws[len(ws)-1])
			}
		}
		return out
	}
	for _, s := range d.sentences[:min(len(d.sentences), maxOrdered)] {
		out = append(out, newUnit(s.text, s.words, s.head))
	}
	return out
}

// newUnit computes the features of a sentence from its text.
func newUnit(text string, ws []string, heading bool) unit {
	s := newUnitText(text, ws, heading)
	u := unit{words: ws, content: contentWords(ws, nil), marks: s.marks(), frame: s.frame(), hand: s.hand(),
		pronoun: s.pronoun(), subject: s.subject(), names: s.names()}
	if s.row { // rows of a table say nothing about order
		u.nouns, u.intro, u.pointer = map[string]bool{}, map[string]bool{}, map[string]bool{}
		return u
	}
	u.number = ordinal(s.low)
	u.nouns, u.intro, u.pointer = nounsOf(ws)
	for i, w := range ws {
		if t := timeAt(ws, i); t > 0 {
			u.time = t
		}
		if w == "a" || w == "an" {
			u.indefinite = min(1, u.indefinite+0.5)
		}
	}
	return u
}

// nounsOf finds the stems of the content words, those among them that are introduced ("a robot", "a small robot"), and
// those to which something points back ("this robot").
func nounsOf(ws []string) (nouns, intro, pointer map[string]bool) {
	nouns, intro, pointer = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, w := range ws {
		if (w == "this" || w == "these" || w == "those" || w == "such") && i+1 < len(ws) && !functional(ws[i+1]) {
			pointer[stem(ws[i+1])] = true
		}
		if functional(w) {
			continue
		}
		root := stem(w)
		nouns[root] = true
		for back := 1; back <= 2 && back <= i; back++ {
			p := ws[i-back]
			if p == "a" || p == "an" || p == "named" || p == "called" {
				intro[root] = true
			}
			if functional(p) {
				break
			}
		}
	}
	return nouns, intro, pointer
}

var (
	counted  = set("week weeks month months year phase step day stage")
	numbered = set("week month year day evening fortnight")
)

// timeAt ranks a word of time. Times of the day are below 100, months from 100 on, numbered weeks, steps and the like
// from 200 on, and years from 1000 on. Other words are 0.
func timeAt(ws []string, i int) int {
	w := ws[i]
	if k := slices.Index(clock, w); k >= 0 {
		return k + 1
	}
	if k := slices.Index(calendar, w); k >= 0 && w != "may" && w != "march" { // these two usually have another meaning
		return 100 + k
	}
	if counted[w] && i+1 < len(ws) && smallNumber(ws[i+1]) > 0 {
		return 200 + smallNumber(ws[i+1])
	}
	if numbered[w] && i > 0 && ordinal(ws[i-1]) > 0 {
		return 200 + ordinal(ws[i-1])
	}
	if year, err := strconv.Atoi(w); err == nil && year >= 1000 && year < 2100 {
		return year
	}
	return 0
}

// smallNumber reads "3" and "three". It is 0 for anything else.
func smallNumber(w string) int {
	if v, ok := numberWord(w); ok {
		return int(v)
	}
	n, err := strconv.Atoi(w)
	if err != nil || n < 0 || n > 99 {
		return 0
	}
	return n
}

func containsAny(s string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return strings.Contains(s, p) })
}

// ordinal reads "1.", "2)", "first", "secondly" and so on at the beginning of a sentence; 0 if there is none.
func ordinal(low string) int {
	for i, w := range []string{"first", "second", "third", "fourth", "fifth", "sixth"} {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(low, "the "), "my "), w) {
			return i + 1
		}
	}
	n := 0
	for i := 0; i < len(low) && i < 3; i++ {
		if isDigit(low[i]) {
			n = n*10 + int(low[i]-'0')
		} else if (low[i] == '.' || low[i] == ')' || low[i] == ':') && i > 0 {
			return n
		} else {
			return 0
		}
	}
	return 0
}

// rhymeOf is the end of a word from its last group of vowels on, roughly as it sounds.
func rhymeOf(w string) string {
	w = strings.TrimRight(w, "'’s")
	w = strings.TrimSuffix(w, "e")
	i := len(w) - 1
	for i > 0 && strings.IndexByte("aeiouy", w[i]) < 0 {
		i--
	}
	for i > 0 && strings.IndexByte("aeiou", w[i-1]) >= 0 {
		i--
	}
	if i < 0 {
		return w
	}
	return strings.NewReplacer("igh", "i", "ight", "it", "ee", "ea", "ew", "ue", "oo", "ue", "ai", "a", "ay", "a",
		"ey", "a").Replace(w[i:])
}
