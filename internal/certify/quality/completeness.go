package quality

import (
	"slices"
	"strings"
)

// completeness scores whether the answer has everything that was asked for, in the form that was asked for, and is not
// cut off.
func completeness(d *doc) []Part {
	parts := []Part{ending(d), length(d), formKept(d)}
	for _, measure := range []func(*doc) (Part, bool){facets, count, announced} {
		if p, ok := measure(d); ok {
			parts = append(parts, p)
		}
	}
	return parts
}

// ending scores finish_reason, and whether the last line is complete.
func ending(d *doc) Part {
	switch {
	case d.in.Finish == "length":
		return part(Completeness, "ending", 0, "cut by the token limit (finish_reason length)")
	case d.in.Finish != "" && d.in.Finish != "stop":
		return part(Completeness, "ending", 0, "finish_reason %q", d.in.Finish)
	case len(d.lines) == 0:
		return part(Completeness, "ending", is(!d.openFence), "code only, fences closed: %t", !d.openFence)
	}
	if d.endsInCode {
		return part(Completeness, "ending", is(!d.openFence), "ends with code, fences closed: %t", !d.openFence)
	}
	last := d.lines[len(d.lines)-1]
	ok, why := ends(d, last)
	// Bold text, parentheses and quotation marks that were opened must be closed.
	if strings.Count(last, "**")%2 == 1 || strings.Count(last, "(") > strings.Count(last, ")") ||
		strings.Count(last, "\"")%2 == 1 && strings.Count(d.in.Response, "\"")%2 == 1 {
		ok, why = false, "the last line leaves a mark open"
	}
	return part(Completeness, "ending", is(ok), "%s", why)
}

// closed reports whether a line ends as a sentence does.
func closed(line string) bool {
	bare := strings.TrimRight(line, "*_\"')]”’» ")
	return bare != "" && (strings.ContainsAny(bare[len(bare)-1:], ".!?") || strings.HasSuffix(bare, "…") ||
		strings.HasSuffix(bare, "。")) || emoji(line)
}

// emoji reports whether a line ends with a pictograph, as posts often do.
func emoji(line string) bool {
	r := []rune(strings.TrimRight(line, " \ufe0f"))
	return len(r) > 0 && r[len(r)-1] >= 0x1f300
}

func ends(d *doc, last string) (bool, string) {
	switch {
	case strings.HasSuffix(last, "|") && strings.HasPrefix(last, "|"):
		return true, "ends with a table"
	case strings.HasPrefix(last, "|"):
		return false, "the last row of the table is open"
	case strings.HasSuffix(strings.TrimRight(last, "* "), ":") && len(d.source) == 0:
		return false, "ends with a colon"
	case strings.HasPrefix(last, "#"):
		return false, "ends with a heading"
	case closed(last):
		return true, "the last sentence ends"
	case dangling(d):
		return false, "the last word cannot be the last"
	}
	n := len(words(last))
	if f := last[strings.LastIndexByte(last, ' ')+1:]; len(f) > 1 && f[0] == '#' || strings.HasPrefix(last, "[") &&
		strings.HasSuffix(last, "]") {
		return true, "ends with a tag"
	}
	if listItem(last) {
		// Items may have no full stops, but a last item that differs from all others is cut off.
		open, all, size := 0, 0, 0
		for _, l := range d.lines[:len(d.lines)-1] {
			if listItem(l) {
				all++
				size += len(words(l))
				if !closed(l) {
					open++
				}
			}
		}
		switch {
		case all == 0:
			return false, "a list of one item that does not end"
		case 4*open < 3*all:
			return false, "the last item does not end, others do"
		case size > 16*all && 2*n*all < size:
			return false, "the last item is shorter than half of the others"
		}
		return true, "items without full stops"
	}
	if d.form == "poem" {
		return verseEnds(d, n)
	}
	if signedOff(d) {
		return true, "ends with a signature"
	}
	if n <= 10 && len(d.sentences) <= 2 && (len(d.expected) > 0 || d.form == "answer" || d.form == "" ||
		d.form == "list") && len(d.lines) == 1 && !slices.ContainsFunc(d.sentences,
		func(s sentence) bool { return s.ended }) {
		return true, "a short answer needs no full stop"
	}
	if len(d.expected) > 0 && len(d.lines) > 1 && n-countWords(words(last), isNumber) <= 8 {
		return true, "a last line with the answer needs no full stop"
	}
	if n <= 14 && len(d.lines) >= 3 && !slices.ContainsFunc(d.lines, closed) {
		return true, "lines without full stops"
	}
	return false, "the last sentence does not end"
}

func countWords(ws []string, is func(string) bool) int {
	n := 0
	for _, w := range ws {
		if is(w) {
			n++
		}
	}
	return n
}

// verseEnds lets a poem without punctuation end without it.
func verseEnds(d *doc, n int) (bool, string) {
	marked, size := 0, 0
	for _, l := range d.lines[:len(d.lines)-1] {
		if strings.ContainsAny(l[len(l)-1:], ".,;:!?-") || strings.HasSuffix(l, "—") {
			marked++
		}
		size += len(words(l))
	}
	if rest := len(d.lines) - 1; 5*marked >= rest || rest == 0 || 2*n*rest < size {
		return false, "the last line does not end"
	}
	return true, "verse without punctuation"
}

// signedOff reports whether the text ends like a letter: with a closing phrase near its end, such as "Kind regards,".
func signedOff(d *doc) bool {
	for _, l := range d.lines[max(0, len(d.lines)-8):] {
		low := strings.ToLower(strings.Trim(l, "*_ "))
		if len(words(low)) <= 5 && strings.HasSuffix(low, ",") &&
			containsAny(low, []string{"regards", "sincerely", "best", "yours", "thank", "cheers", "love", "wishes",
				"respectfully", "faithfully", "warmly", "cordially"}) {
			return true
		}
	}
	return false
}

// dangling reports whether the last word cannot be the last one.
func dangling(d *doc) bool {
	if len(d.prose) == 0 {
		return true
	}
	w := d.prose[len(d.prose)-1]
	if len(w) == 1 && w >= "b" && w <= "z" && w != "i" && w != "o" && w != "x" && w != "y" && w != "c" {
		return true // probably the first letter of a word
	}
	return determiners[w] || preposition[w] && w != "on" && w != "in" && w != "up" && w != "through" && w != "over" ||
		conjunction[w]
}

func listItem(line string) bool {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "• ") ||
		strings.HasPrefix(line, "+ ") {
		return true
	}
	line = strings.TrimLeft(line, "*")
	i := strings.IndexAny(line, ".)")
	return i > 0 && i <= 3 && isNumber(line[:i])
}

// least has, for each form, the number of words below which an answer cannot be complete, and the number from which on
// it may be. Short answers are allowed.
var least = map[string][2]float64{
	"answer": {0, 1}, "explanation": {5, 12}, "analysis": {10, 20}, "summary": {3, 7}, "comparison": {8, 15},
	"evaluation": {10, 20},
	"story":      {18, 32}, "plan": {14, 28}, "poem": {7, 12}, "code": {2, 5}, "list": {1, 3},
}

func length(d *doc) Part {
	bounds, ok := least[d.form]
	if !ok {
		bounds = [2]float64{0, 2}
	}
	n := float64(len(d.words))
	v := ramp(n, bounds[0], bounds[1])
	if want, ok := askedWords(d.prompt); ok && want >= 20 {
		v = min(v, ramp(n, 0.25*want, 0.5*want), ramp(n, 3.5*want, 2.5*want))
		return part(Completeness, "length", v, "%d words, the prompt asks for about %.0f", len(d.words), want)
	}
	return part(Completeness, "length", v, "%d words; %s needs about %.0f", len(d.words), aForm(d.form), bounds[1])
}

// askedWords finds the number of words in prompts such as "in 100 words", "of about 200 words" or "a 500-word essay".
func askedWords(prompt []string) (float64, bool) {
	for i, w := range prompt {
		head, isCompound := strings.CutSuffix(w, "-word")
		if !isCompound && (w != "words" || i == 0) {
			continue
		}
		if !isCompound {
			head = prompt[i-1]
		}
		if len(head) <= 4 && isNumber(head) {
			n := 0.0
			for _, c := range head {
				if c >= '0' && c <= '9' {
					n = 10*n + float64(c-'0')
				}
			}
			return n, true
		}
	}
	return 0, false
}

func aForm(form string) string {
	switch form {
	case "":
		return "a full answer"
	case "answer", "explanation", "analysis", "evaluation":
		return "an " + form
	}
	return "a " + form
}

// count compares the number of items with the number that the prompt asks for: "name five ways".
func count(d *doc) (Part, bool) {
	want := 0
	for i, w := range d.prompt {
		if v, ok := numberWord(w); ok && v >= 2 && v <= 12 && i > 0 && i+1 < len(d.prompt) &&
			(asksFor[d.prompt[i-1]] || i > 1 && asksFor[d.prompt[i-2]]) {
			want = int(v)
		} else if len(w) <= 2 && isNumber(w) && i > 0 && i+1 < len(d.prompt) && asksFor[d.prompt[i-1]] {
			want = int(w[0] - '0')
			if len(w) == 2 {
				want = 10*want + int(w[1]-'0')
			}
		}
	}
	if want < 2 || d.form != "list" && d.form != "" && d.form != "explanation" {
		return Part{}, false
	}
	items := 0
	for _, l := range d.lines {
		if listItem(l) || strings.HasPrefix(l, "#") {
			items++
		}
	}
	if items == 0 { // running text: count sentences, lines, or pieces between commas
		pieces := strings.Count(d.in.Response, ",") + strings.Count(d.in.Response, ";") +
			strings.Count(d.in.Response, " and ") - strings.Count(d.in.Response, ", and ") + 1
		items = max(len(d.sentences), len(d.lines), pieces)
	}
	return part(Completeness, "count", ramp(float64(items)/float64(want), 0.4, 0.8), "%d items of %d", items, want),
		true
}

var asksFor = set("name list give write suggest provide top tell state describe me generate recommend identify " +
	"propose find")

// announced compares a list with its introduction: two items after "four causes:" mean that the answer was cut off.
func announced(d *doc) (Part, bool) {
	for i, s := range d.sentences {
		if !s.head || i+1 >= len(d.sentences) || len(s.words) < 2 {
			continue
		}
		want := 0.0
		for _, w := range s.words {
			if v, ok := numberWord(w); ok && v >= 2 {
				want = v
			}
		}
		if want < 2 || want > 12 {
			continue
		}
		items := 0
		for _, l := range d.lines[s.line+1:] {
			if listItem(l) {
				items++
			}
		}
		if items == 0 {
			continue
		}
		return part(Completeness, "announced", ramp(float64(items)/want, 0.5, 0.9),
			"%d items where %.0f are announced", items, want), true
	}
	return Part{}, false
}

// facets scores the aspects that the rubric or the prompt asks for: "considering economic, social, and ethical
// dimensions", "compare A and B".
func facets(d *doc) (Part, bool) {
	if r := d.in.Rubric; r != nil && len(r.Facets) > 0 {
		got, all := 0.0, 0.0
		var missing []string
		for _, p := range r.Facets {
			w := max(p.Weight, is(p.Weight == 0))
			all += w
			if d.mentions(p.Any, 1) > 0 {
				got += w
			} else {
				missing = append(missing, p.Name)
			}
		}
		return facetPart(got, all, missing), true
	}
	asked := askedFacets(d.in.Prompt)
	if len(asked) == 0 || d.in.Rubric != nil && len(d.in.Rubric.Points) > 0 { // a rubric with points is more reliable
		return Part{}, false
	}
	got := 0.0
	var missing []string
	for _, f := range asked {
		if slices.ContainsFunc(f, func(s string) bool { return d.hasStem(s) || d.hasRelated(s) }) {
			got++
		} else {
			missing = append(missing, f[0])
		}
	}
	return facetPart(got, float64(len(asked)), missing), true
}

func facetPart(got, all float64, missing []string) Part {
	why := ""
	if len(missing) > 0 {
		why = "; missing: " + strings.Join(missing, ", ")
	}
	return part(Completeness, "facets", ramp(got/all, 0.35, 0.7), "%.0f %% of the asked facets%s", 100*got/all, why)
}

// askedFacets reads lists such as "a, b, and c" after phrases such as "considering". The result has the stems of each
// item's content words.
func askedFacets(prompt string) [][]string {
	low := strings.ToLower(prompt)
	at := -1
	for _, cue := range []string{"considering ", "including ", "in terms of ", "with respect to ", "covering ",
		"with sections on ", "compare and contrast ", "compare ", "difference between ", "differences between "} {
		if i := strings.Index(low, cue); i >= 0 {
			at = i + len(cue)
			break
		}
	}
	if at < 0 {
		return nil
	}
	rest := low[at:]
	if i := strings.IndexAny(rest, ".?!;:\n"); i >= 0 {
		rest = rest[:i]
	}
	var out [][]string
	for _, item := range strings.Split(strings.NewReplacer(" and ", ",", " or ", ",", " versus ", ",", " vs ", ",",
		" with ", ",").Replace(rest), ",") {
		if c := contentWords(words(item), asking); len(c) > 0 && len(out) < 12 {
			out = append(out, c)
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}
