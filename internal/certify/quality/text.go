package quality

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// doc is an answer split into words and sentences, for all measurements.
type doc struct {
	in         Input
	form       string
	words      []string   // lower case, in order, code included
	prose      []string   // words outside code
	roots      []string   // stems of words
	sentences  []sentence // sentences of the prose; headings and list items are sentences of their own
	lines      []string   // lines of the prose without empty ones, trimmed
	source     []string   // lines of code, unchanged
	prompt     []string   // words of the prompt
	stems      map[string]int
	expected   []string // checkable answers
	code       bool     // it has code
	openFence  bool     // a block of code was not closed, or a fence is inside a line
	endsInCode bool     // the last line is code or closes it
	foreign    bool     // the prompt is not English, or asks for another language
}

// sentence is one sentence, heading or list item.
type sentence struct {
	text  string
	words []string
	line  int  // index of its line
	ended bool // ends with . ! ? or a similar mark
	head  bool // a heading, or a line that introduces a list
}

func read(in Input) *doc {
	d := &doc{in: in, stems: map[string]int{}}
	d.prompt = words(in.Prompt)
	d.expected = expectedAnswers(in)
	d.form = formOf(d)
	d.foreign = asksForeign(d)
	raw := strings.Split(strings.ToValidUTF8(in.Response, "\uFFFD"), "\n")
	bare := looksLikeCode(raw)
	fenced := false
	for _, line := range raw {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			fenced = !fenced
			d.code, d.endsInCode = true, true
			d.openFence = d.openFence || strings.Contains(trimmed[3:], "```")
		case fenced || bare && codeLine(line):
			d.source = append(d.source, line)
			d.words = append(d.words, words(line)...)
			d.code, d.endsInCode = true, true
		case trimmed != "":
			d.endsInCode = false
			d.openFence = d.openFence || strings.Contains(trimmed, "```")
			d.lines = append(d.lines, trimmed)
			first := len(d.sentences)
			d.addLine(trimmed, len(d.lines)-1)
			for _, s := range d.sentences[first:] {
				d.words = append(d.words, s.words...)
				d.prose = append(d.prose, s.words...)
			}
		}
	}
	d.openFence = d.openFence || fenced
	d.roots = stemAll(d.words)
	for _, r := range d.roots {
		d.stems[r]++
	}
	return d
}

// addLine splits a line into sentences.
func (d *doc) addLine(line string, index int) {
	head := strings.HasPrefix(line, "#") || strings.HasSuffix(line, ":") || strings.HasSuffix(line, ":**")
	start := 0
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRuneInString(line[i:])
		end := i + size
		i = end
		if !strings.ContainsRune(".!?…。！？", r) {
			continue
		}
		for i < len(line) && strings.IndexByte(`.!?"')*_`, line[i]) >= 0 { // closing quotes belong to the sentence
			i++
		}
		if i < len(line) && line[i] != ' ' || r == '.' && abbreviates(line[start:end]) {
			continue // "3.5", "e.g.", "1. item"
		}
		d.addSentence(line[start:i], index, true, head)
		start = i
	}
	if strings.TrimSpace(line[start:]) != "" {
		d.addSentence(line[start:], index, strings.HasSuffix(line, "”"), head)
	}
}

func (d *doc) addSentence(text string, line int, ended, head bool) {
	text = strings.TrimSpace(text)
	if w := words(text); len(w) > 0 {
		d.sentences = append(d.sentences, sentence{text: text, words: w, line: line, ended: ended, head: head})
	}
}

// abbreviates reports whether the full stop at the end of s does not end a sentence, because it follows a list number,
// a single letter or an abbreviation.
func abbreviates(s string) bool {
	s = strings.TrimLeft(strings.TrimSpace(s), "*-# ")
	last := s[strings.LastIndexByte(s, ' ')+1:]
	last = strings.ToLower(strings.TrimSuffix(last, "."))
	if strings.IndexByte(s, ' ') < 0 && isNumber(last) {
		return true
	}
	switch last {
	case "e.g", "i.e", "eg", "ie", "vs", "mr", "mrs", "ms", "dr", "prof", "st", "no", "fig", "cf", "approx":
		return true
	}
	return utf8.RuneCountInString(last) == 1 && last >= "a" && last <= "z" && last != "i"
}

// words returns the words and numbers of a text in lower case. An apostrophe or hyphen inside a word belongs to it.
func words(text string) []string {
	var out []string
	start := -1
	low := strings.ReplaceAll(strings.ToLower(text), "’", "'")
	for i, r := range low {
		in := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
		if !in && start >= 0 && (r == '\'' || r == '-' || r == '.' && isDigit(low[i-1])) {
			next, _ := utf8.DecodeRuneInString(low[i+utf8.RuneLen(r):])
			in = unicode.IsLetter(next) && r != '.' || unicode.IsDigit(next)
		}
		switch {
		case in && start < 0:
			start = i
		case !in && start >= 0:
			out = append(out, low[start:i])
			start = -1
		}
	}
	if start >= 0 {
		out = append(out, low[start:])
	}
	return out
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isNumber(s string) bool {
	digits := 0
	for i := range len(s) {
		if isDigit(s[i]) {
			digits++
		} else if s[i] != '.' && s[i] != ',' && s[i] != '-' {
			return false
		}
	}
	return digits > 0
}

// stem removes common English endings, so that "learning", "learns" and "learned" have the same stem. It is cautious
// on purpose: two different words with the same stem do more harm than two related words with different ones.
func stem(w string) string {
	w = strings.TrimSuffix(strings.TrimSuffix(w, "'s"), "’s")
	for _, e := range [...]struct {
		end, with string
		min       int // letters that must remain
	}{
		{"ization", "iz", 3}, {"isation", "iz", 3}, {"ations", "at", 3}, {"ation", "at", 3}, {"iveness", "iv", 3},
		{"fulness", "ful", 3}, {"ousness", "ous", 3}, {"ements", "", 4}, {"ement", "", 4}, {"ically", "ic", 3},
		{"ingly", "", 4},
		{"ities", "it", 3}, {"ies", "i", 2}, {"ings", "", 4}, {"ity", "it", 3}, {"ing", "", 3}, {"edly", "", 4},
		{"ers", "", 4}, {"er", "", 4},
		{"ed", "", 3}, {"ly", "", 4}, {"sses", "ss", 2}, {"es", "", 3}, {"y", "i", 3}, {"e", "", 3},
	} {
		if rest, ok := strings.CutSuffix(w, e.end); ok && len(rest) >= e.min {
			return undouble(rest + e.with)
		}
	}
	if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !strings.HasSuffix(w, "us") {
		return undouble(strings.TrimSuffix(w[:len(w)-1], "e"))
	}
	return undouble(w)
}

func stemAll(ws []string) []string {
	out := make([]string, len(ws))
	for i, w := range ws {
		out[i] = stem(w)
	}
	return out
}

// undouble removes a doubled consonant at the end: "runn" becomes "run".
func undouble(w string) string {
	if n := len(w); n > 3 && w[n-1] == w[n-2] && strings.IndexByte("bdglmnprt", w[n-1]) >= 0 {
		return w[:n-1]
	}
	return w
}

// matchAt reports whether a term's words are at i, in order. Each may be the beginning of a word ("summar" finds
// "summary"), except words of up to three letters. A single word also matches by its stem, root.
func (d *doc) matchAt(i int, term []string, root string) bool {
	if len(term) == 1 && d.roots[i] == root {
		return true
	}
	for j, t := range term {
		if w := d.words[i+j]; w != t && (len(t) <= 3 || !strings.HasPrefix(w, t)) {
			return false
		}
	}
	return true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
