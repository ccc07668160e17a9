package quality

import (
	"slices"
	"strings"
)

// formOf is the form of answer that is asked for, such as "poem": that of the rubric, or one that the words of the
// prompt name; "" if there is none.
func formOf(d *doc) string {
	if r := d.in.Rubric; r != nil && r.Form != "" {
		return r.Form
	}
	ws := d.prompt[:min(len(d.prompt), 40)] // the instruction is at the beginning; a passage may follow
	low := " " + strings.Join(ws, " ") + " "
	for _, f := range []struct {
		form string
		any  []string
	}{
		{"code", []string{" function that", " function to", " function which", " code to ", " code that ",
			" program that", " program to", " python function", " script that", " script to", " sql query",
			" regex "}},
		{"poem", []string{" a poem", " poem about", " haiku", " sonnet", " limerick", " a ballad", " short poem",
			" compose a verse"}},
		{"story", []string{" a story", " short story", " fairy tale", " a tale ", " a fable", " bedtime story"}},
		{"plan", []string{" a plan ", " business plan", " roadmap", " action plan", " training plan",
			" outline a plan", " project plan"}},
		{"comparison", []string{" compare ", " contrast ", " difference between", " differences between"}},
		{"summary", []string{" summarize", " summarise", " summary of"}},
		{"evaluation", []string{" evaluate ", " assess "}},
		{"analysis", []string{" analyze ", " analyse ", " implications of", " discuss ", " examine "}},
		{"list", []string{" list ", " name three", " name five", " name four", " name two", " name 3", " name 5"}},
		{"explanation", []string{" explain ", " describe ", " how does ", " how do ", " why "}},
	} {
		if slices.ContainsFunc(f.any, func(k string) bool { return strings.Contains(low, k) }) {
			return f.form
		}
	}
	if len(d.expected) > 0 || len(ws) <= 10 && slices.ContainsFunc([]string{" what is ", " who ", " when ", " where ",
		" which ", " how many ", " how much ", " how old ", " is ", " are ", " can ", " does ", " did "},
		func(q string) bool {
			return strings.HasPrefix(low, q)
		}) {
		return "answer"
	}
	return ""
}

// formKept checks the outward signs of the form.
func formKept(d *doc) Part {
	switch d.form {
	case "poem":
		return verseForm(d)
	case "comparison":
		n := d.kinds("while", "whereas", "but", "however", "unlike", "contrast", "differ", "both",
			"on the other hand", "similar", "more", "less", "instead", "than", "alike", "same", "without", "common",
			"yet", "although", "reversed", "better", "faster", "cheaper", "easier", "slower", "neither", "replace",
			"advantage", "in return", "in exchange", "lack", "prefer", "rather", "best", "hand", "as well as", "too",
			"against", "compared", "the other")
		return part(Completeness, "form", ramp(float64(n), -1, 2), "%d kinds of comparing words", n)
	case "plan":
		return planForm(d)
	case "story":
		return storyForm(d)
	case "code":
		return structure(d)
	}
	return part(Completeness, "form", 1, "nothing to check for %s", aForm(d.form))
}

// kinds counts how many different terms occur.
func (d *doc) kinds(terms ...string) int {
	n := 0
	for _, t := range terms {
		n += d.mentions([]string{t}, 1)
	}
	return n
}

func verseForm(d *doc) Part {
	short := 0
	for _, l := range d.lines {
		if n := len(words(l)); n > 0 && n <= 14 {
			short++
		}
	}
	share := float64(short) / float64(max(len(d.lines), 1))
	return part(Completeness, "form", min(ramp(float64(short), 1, 3), ramp(share, 0.4, 0.75)),
		"%d of %d lines are verse lines", short, len(d.lines))
}

// planForm looks for words about steps, time, means and intentions. A plan is not told in the past tense.
func planForm(d *doc) Part {
	marks := d.kinds("first", "step", "goal", "market", "month", "year", "team", "budget", "cost", "launch",
		"revenue", "then", "next", "finally", "week", "day", "plan", "phase", "marketing", "risk", "will", "should",
		"begin", "start", "after", "quarter", "customers", "aim", "timeline", "milestone", "target")
	past, _ := narrative(d)
	return part(Completeness, "form", min(ramp(float64(marks), 0, 3), ramp(past, 0.1, 0.06)),
		"%d kinds of planning words, %.0f %% narrative past", marks, 100*past)
}

// storyForm looks for what distinguishes a story from a description: the past tense, persons and speech.
func storyForm(d *doc) Part {
	past, people := narrative(d)
	speech := is(strings.Count(d.in.Response, "\"")+strings.Count(d.in.Response, "“")+strings.Count(d.in.Response,
		"”") >= 2)
	return part(Completeness, "form", ramp(past+people+0.02*speech, 0.045, 0.085),
		"%.0f %% narrative past, %.0f %% persons", 100*past, 100*people)
}

var pastVerbs = set("was were had did said went found saw began came took told knew thought left felt kept stood " +
	"ran sat made got heard held led met fell grew gave brought bought caught wrote read rose spoke woke flew drew " +
	"threw could would became looked built lay lit sent put swam dug hid")

var persons = set("i he she him her his my me we our us")

// narrative returns the shares of verbs in the past tense and of personal pronouns among the words.
func narrative(d *doc) (past, people float64) {
	for i, w := range d.prose {
		switch {
		case persons[w]:
			people++
		case pastVerbs[w]:
			past++
		case len(w) > 3 && strings.HasSuffix(w, "ed") && i > 0 && !auxiliaries[d.prose[i-1]] &&
			!determiners[d.prose[i-1]]:
			past++
		}
	}
	n := float64(max(len(d.prose), 1))
	return past / n, people / n
}
