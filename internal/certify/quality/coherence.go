package quality

import (
	"math"
	"regexp"
	"strings"
)

// coherence scores whether the answer is meaningful English: without loops, with real words, function words in their
// places, and sentences in a sensible order.
func coherence(d *doc) []Part {
	parts := []Part{repetition(d)}
	if d.foreign {
		return parts // the measurements below are for English only
	}
	if len(d.prose) >= 3 && len(d.expected) == 0 || len(d.prose) >= 6 {
		parts = append(parts, tongue(d), spelling(d))
	}
	if len(d.prose) < 8 || len(d.source) > 0 && len(d.prose) < 12 {
		return parts // "4." has no grammar to score
	}
	parts = append(parts, grammar(d), layout(d), sequence(d))
	if d.code {
		return parts
	}
	return append(parts, ordering(d))
}

// repetition finds loops by the shares of 4-grams and of whole sentences that occurred before. Poems may have
// refrains.
func repetition(d *doc) Part {
	const n = 4
	text, lo, hi := d.prose, 0.35, 0.2
	switch {
	case d.form == "poem":
		lo, hi = 0.5, 0.35
	case len(d.source) > 0: // code repeats itself more than prose does
		text, lo, hi = d.words, 0.7, 0.5
	}
	seen := map[[n]string]bool{}
	again, all := 0, 0
	for i := 0; i+n <= len(text); i++ {
		g := [n]string(text[i : i+n])
		if seen[g] {
			again++
		}
		seen[g] = true
		all++
	}
	said := map[string]int{}
	repeats, row, longest := 0, 0, 0
	last := ""
	for _, s := range d.sentences {
		key := strings.Join(s.words, " ")
		if said[key]++; said[key] > 1 && len(s.words) > 2 {
			repeats++
		}
		if row++; key != last || len(s.words) < 3 {
			row = 0
		}
		longest, last = max(longest, row), key
	}
	grams := float64(again) / float64(max(all, 1))
	v := min(ramp(grams, lo, hi), ramp(float64(repeats)/float64(max(len(d.sentences), 1)), 0.35, 0.15),
		ramp(float64(longest), 2, 1), distinct(d), is(!looping(text)))
	return part(Coherence, "repetition", v, "%.0f %% of 4-grams and %d of %d sentences said before", 100*grams,
		repeats, len(d.sentences))
}

// looping reports whether a sequence of one to twelve words occurs four times in a row.
func looping(text []string) bool {
	for k := 1; k <= 12; k++ {
		run := 0
		for i := k; i < len(text); i++ {
			if run++; text[i] != text[i-k] || k == 1 && isNumber(text[i]) {
				run = 0
			}
			if run >= 3*k {
				return true
			}
		}
	}
	return false
}

// distinct finds loops of fewer than four words. In any 40 words of a normal text, at least a third are different.
func distinct(d *doc) float64 {
	worst := 1.0
	const window = 40
	for at := 0; at < len(d.prose); at += window {
		w := d.prose[at:min(at+window, len(d.prose))]
		if len(w) < 12 {
			break
		}
		u := map[string]bool{}
		for _, x := range w {
			u[x] = true
		}
		worst = min(worst, ramp(float64(len(u))/float64(len(w)), 0.25, 0.4))
	}
	return worst
}

// spelling scores the share of words that do not look English by their letters.
func spelling(d *doc) Part {
	bad := 0
	for _, w := range d.prose {
		if !plausible(w) {
			bad++
		}
	}
	share := float64(bad) / float64(max(len(d.prose), 1))
	return part(Coherence, "spelling", ramp(share, 0.2, 0.08), "%.1f %% of %d words do not look English", 100*share,
		len(d.prose))
}

// grammar scores the share of function words. Running English has 40–60 %, verse and notes somewhat less, and a list
// of keywords nearly none.
func grammar(d *doc) Part {
	all := len(d.prose) - countWords(d.prose, isNumber)
	share := float64(countWords(d.prose, functional)) / float64(max(all, 1))
	if all < 5 {
		return part(Coherence, "function words", 1, "too few words to score (%d)", all)
	}
	items, size := 0, 0
	for _, l := range d.lines {
		if listItem(l) || strings.HasPrefix(l, "|") {
			items++
			size += len(words(l))
		}
	}
	if 2*items > len(d.lines) && 2*size >= 5*items && (d.form == "" || d.form == "list" || d.form == "answer") {
		return part(Coherence, "function words", 1, "a list of phrases needs none (%.0f %%)", 100*share)
	}
	return part(Coherence, "function words", ramp(share, 0.04, 0.12), "%.0f %% of the words are function words",
		100*share)
}

// sequence compares the order of classes of words with that in good answers; see grammarModel. It is more lenient with
// short answers, which give less evidence.
func sequence(d *doc) Part {
	gain, n := learnedGrammar().meanGain(d)
	slack := 0.3 / math.Sqrt(float64(max(n, 1)))
	return part(Coherence, "word order", ramp(gain+slack, -0.2, -0.02),
		"%+.2f nats a word against words in random order", gain)
}

// bolded matches the beginning of a line or item with a title in bold: "1. **Cost** - it is".
var bolded = regexp.MustCompile(`^\s*(?:(?:[-*•]|\d{1,2}[.)])\s+)?\*\*[^*]+\*\*:?\s*`)

// layout finds marks inside lines that belong at the beginning of a line. They remain if the lines of a list or
// heading were joined. It also finds numbered items out of order.
func layout(d *doc) Part {
	n := 0
	for _, l := range d.lines {
		l = l[len(bolded.FindString(l)):]
		for _, mark := range []string{" # ", " ## ", " ### ", ". - ", ": - ", "** - ", ". * ", ": * ", " - **",
			"**: **", "| |", " • "} {
			n += strings.Count(l, mark)
		}
	}
	if d.openFence {
		n += 2
	}
	share := float64(n) / float64(max(len(d.sentences), 1))
	v := max(ramp(float64(n), 4, 1), ramp(share, 0.25, 0.1))
	jumps, numbers := numbering(d)
	if numbers >= 3 {
		v = min(v, ramp(float64(jumps)/float64(numbers), 0.4, 0.15))
	}
	return part(Coherence, "layout", v,
		"%d marks of lists or headings inside lines; %d of %d numbered items out of order", n, jumps, numbers)
}

// numbering counts the items that begin with a number, and how many of them neither continue the previous number nor
// begin a list.
func numbering(d *doc) (jumps, numbers int) {
	last := 0
	for _, s := range d.sentences {
		text := strings.TrimLeft(s.text, "*# ")
		i := strings.IndexAny(text, ".)")
		if i < 1 || i > 2 || i+1 >= len(text) || text[i+1] != ' ' {
			continue
		}
		n := smallNumber(text[:i])
		if n == 0 {
			continue
		}
		if numbers++; n != last+1 && n != 1 {
			jumps++
		}
		last = n
	}
	return jumps, numbers
}
