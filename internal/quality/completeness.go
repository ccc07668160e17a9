package quality

import (
	"slices"
	"strings"
)

// completeness asks whether the answer has everything that was asked for, in the asked form, and came to its end.
func completeness(d *doc) []Part {
	parts := []Part{ending(d), length(d), formKept(d)}
	if p, ok := facets(d); ok {
		parts = append(parts, p)
	}
	return parts
}

// ending asks finish_reason, and whether the last sentence ends.
func ending(d *doc) Part {
	last := strings.TrimRight(strings.TrimSpace(d.in.Response), "*_\"')]”’ ")
	ended := last != "" && strings.ContainsAny(last[len(last)-1:], ".!?:`}") && !strings.HasSuffix(last, ":") || strings.HasSuffix(last, "…") || strings.HasSuffix(last, "。")
	loose := d.form == "poem" || d.form == "list" || d.form == "code" || d.form == "answer" || len(d.words) > 0 && isNumber(d.words[len(d.words)-1])
	if n := len(d.lines); n > 0 && listItem(d.lines[n-1]) && n > 2 {
		loose = true
	}
	switch {
	case d.in.Finish == "length":
		return part(Completeness, "ending", 0, "cut by the token limit (finish_reason length)")
	case d.in.Finish != "" && d.in.Finish != "stop":
		return part(Completeness, "ending", 0, "finish_reason %q", d.in.Finish)
	case ended:
		return part(Completeness, "ending", 1, "the last sentence ends")
	case loose && !dangling(d):
		return part(Completeness, "ending", 1, "a %s may end without a full stop", d.form)
	}
	return part(Completeness, "ending", 0, "the last sentence does not end")
}

// dangling reports whether the last word cannot be the last one.
func dangling(d *doc) bool {
	if len(d.words) == 0 {
		return true
	}
	w := d.words[len(d.words)-1]
	return determiners[w] || preposition[w] && w != "on" && w != "in" && w != "up" && w != "through" || conjunction[w] || auxiliaries[w] && w == "the"
}

func listItem(line string) bool {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "• ") {
		return true
	}
	i := strings.IndexAny(line, ".)")
	return i > 0 && i <= 3 && isNumber(line[:i])
}

// least is the number of words under which an answer of a form cannot be whole, and that at which it surely can.
var least = map[string][2]float64{
	"answer": {0, 1}, "explanation": {10, 28}, "analysis": {20, 45}, "summary": {5, 12}, "comparison": {18, 36}, "evaluation": {20, 42},
	"story": {25, 50}, "plan": {22, 45}, "poem": {14, 26}, "code": {2, 6}, "list": {3, 8},
}

func length(d *doc) Part {
	bounds, ok := least[d.form]
	if !ok {
		bounds = [2]float64{6, 16}
	}
	return part(Completeness, "length", ramp(float64(len(d.words)), bounds[0], bounds[1]), "%d words; a %s needs about %.0f", len(d.words), orAnswer(d.form), bounds[1])
}

func orAnswer(form string) string {
	if form == "" {
		return "full answer"
	}
	return form
}

// formOf takes the form from the rubric, or reads it from the prompt's verbs and nouns.
func formOf(in Input) string {
	if in.Rubric != nil && in.Rubric.Form != "" {
		return in.Rubric.Form
	}
	low := " " + strings.Join(words(in.Prompt), " ") + " "
	for _, f := range []struct {
		form string
		any  []string
	}{
		{"poem", []string{" poem", " haiku", " sonnet", " verse ", " rhyme", " limerick", " ballad", " ode "}},
		{"story", []string{" story", " tale ", " fable"}},
		{"code", []string{" function ", " code ", " program that", " python ", " script ", " sql "}},
		{"plan", []string{" plan ", " roadmap", " strategy for", " proposal"}},
		{"comparison", []string{" compare", " contrast", " difference between", " differences between", " versus "}},
		{"summary", []string{" summarize", " summarise", " summary"}},
		{"evaluation", []string{" evaluate", " assess", " review the"}},
		{"analysis", []string{" analyze", " analyse", " implications", " discuss", " examine"}},
		{"list", []string{" list ", " name three", " name five", " name four", " name two"}},
		{"explanation", []string{" explain", " describe", " how does", " how do", " why ", " what are the"}},
	} {
		if slices.ContainsFunc(f.any, func(k string) bool { return strings.Contains(low, k) }) {
			return f.form
		}
	}
	if in.Rubric != nil && len(in.Rubric.Answers) > 0 || strings.HasPrefix(low, " what is ") && len(words(in.Prompt)) <= 8 {
		return "answer"
	}
	return ""
}

// formKept checks what can be seen of a form from outside.
func formKept(d *doc) Part {
	switch d.form {
	case "poem":
		short := 0
		for _, l := range d.lines {
			if n := len(words(l)); n > 0 && n <= 14 {
				short++
			}
		}
		share := float64(short) / float64(max(len(d.lines), 1))
		return part(Completeness, "form", min(ramp(float64(short), 1, 4), ramp(share, 0.4, 0.8)), "%d of %d lines are verse lines", short, len(d.lines))
	case "comparison":
		n := 0
		for _, w := range []string{"while", "whereas", "but", "however", "unlike", "contrast", "differ", "both", "on the other hand", "similar", "more", "less", "instead", "than", "alike", "same", "without", "common"} {
			if d.matches(w) {
				n++
			}
		}
		return part(Completeness, "form", ramp(float64(n), 0, 2), "%d kinds of comparing words", n)
	case "plan":
		marks := 0
		for _, w := range []string{"first", "step", "goal", "market", "month", "year", "team", "budget", "cost", "launch", "revenue", "then", "next", "finally", "week", "day", "plan", "phase", "marketing", "risk", "will"} {
			if d.matches(w) {
				marks++
			}
		}
		return part(Completeness, "form", ramp(float64(marks), 0, 3), "%d kinds of planning words", marks)
	case "story":
		past := 0
		for _, w := range d.words {
			if len(w) > 3 && strings.HasSuffix(w, "ed") || w == "was" || w == "were" || w == "had" || w == "said" || w == "went" || w == "found" || w == "saw" || w == "began" {
				past++
			}
		}
		return part(Completeness, "form", ramp(float64(past), 0, 3), "%d words of narrative past", past)
	case "code":
		return part(Completeness, "form", map[bool]float64{true: 1}[d.code || strings.ContainsAny(d.in.Response, "{}()=;")], "code present: %t", d.code)
	}
	return part(Completeness, "form", 1, "nothing to check for a %s", orAnswer(d.form))
}

// facets are the parts that the rubric or the prompt itself asks for: "considering economic, social, and ethical dimensions",
// "compare A and B".
func facets(d *doc) (Part, bool) {
	if r := d.in.Rubric; r != nil && len(r.Facets) > 0 {
		got, all, missing := coverage(d, r.Facets)
		return part(Completeness, "facets", ramp(got/all, 0.3, 0.95), "%.0f %% of the asked facets%s", 100*got/all, missing), true
	}
	asked := askedFacets(d.in.Prompt)
	if len(asked) == 0 {
		return Part{}, false
	}
	got := 0
	var missing []string
	for _, f := range asked {
		if d.hasStem(f) {
			got++
		} else {
			missing = append(missing, f)
		}
	}
	why := ""
	if len(missing) > 0 {
		why = "; missing: " + strings.Join(missing, ", ")
	}
	return part(Completeness, "facets", ramp(float64(got)/float64(len(asked)), 0.2, 0.7), "%d of %d facets that the prompt names%s", got, len(asked), why), true
}

// askedFacets reads lists such as "a, b, and c" after words that ask for facets. The stem of each item's last content word stands for it.
func askedFacets(prompt string) []string {
	low := strings.ToLower(prompt)
	at := -1
	for _, cue := range []string{"considering ", "including ", "in terms of ", "with respect to ", "covering ", "compare and contrast ", "compare ", "difference between ", "differences between "} {
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
	var out []string
	for _, item := range strings.FieldsFunc(strings.ReplaceAll(strings.ReplaceAll(rest, " and ", ","), " or ", ","), func(r rune) bool { return r == ',' }) {
		if c := contentWords(words(item), asking); len(c) > 0 && !slices.Contains(out, c[0]) {
			out = append(out, c[0])
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}
