package dataset

import "strings"

// porterStem strips English endings as NLTK's PorterStemmer does in its default mode, which MLPerf's ROUGE uses:
// Porter's algorithm of 1980 with NLTK's exceptions. The word must be lower case.
func porterStem(w string) string {
	if s, ok := irregular[w]; ok {
		return s
	}
	if len(w) <= 2 {
		return w
	}
	w = plural(w)
	w = past(w)
	if n := len(w); n > 2 && w[n-1] == 'y' && consonant(w, n-2) {
		w = w[:n-1] + "i"
	}
	w = derived(w)
	w = firstRule(w, step3, func(stem, _ string) bool { return measure(stem) > 0 })
	w = firstRule(w, step4, func(stem, end string) bool {
		return measure(stem) > 1 && (end != "ion" || stem[len(stem)-1] == 's' || stem[len(stem)-1] == 't')
	})
	if stem, ok := strings.CutSuffix(w, "e"); ok {
		if m := measure(stem); m > 1 || m == 1 && !endsCVC(stem) {
			w = stem
		}
	}
	if strings.HasSuffix(w, "ll") && measure(w[:len(w)-1]) > 1 {
		w = w[:len(w)-1]
	}
	return w
}

var irregular = map[string]string{
	"sky": "sky", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news", "innings": "inning",
	"inning":  "inning",
	"outings": "outing", "outing": "outing", "cannings": "canning", "canning": "canning", "howe": "howe",
	"proceed": "proceed", "exceed": "exceed", "succeed": "succeed",
}

// plural is the algorithm's step 1a.
func plural(w string) string {
	switch {
	case strings.HasSuffix(w, "ies"):
		if len(w) == 4 {
			return w[:3]
		}
		return w[:len(w)-2]
	case strings.HasSuffix(w, "sses"):
		return w[:len(w)-2]
	case strings.HasSuffix(w, "ss") || !strings.HasSuffix(w, "s"):
		return w
	}
	return w[:len(w)-1]
}

// past is step 1b: it removes -ed and -ing, and repairs the stem.
func past(w string) string {
	if strings.HasSuffix(w, "ied") {
		if len(w) == 4 {
			return w[:3]
		}
		return w[:len(w)-2]
	}
	if stem, ok := strings.CutSuffix(w, "eed"); ok {
		if measure(stem) > 0 {
			return stem + "ee"
		}
		return w
	}
	stem, ok := strings.CutSuffix(w, "ed")
	if !ok || !hasVowel(stem) {
		if stem, ok = strings.CutSuffix(w, "ing"); !ok || !hasVowel(stem) {
			return w
		}
	}
	n := len(stem)
	switch {
	case strings.HasSuffix(stem, "at"), strings.HasSuffix(stem, "bl"), strings.HasSuffix(stem, "iz"):
		return stem + "e"
	case n >= 2 && stem[n-1] == stem[n-2] && consonant(stem, n-1):
		if c := stem[n-1]; c == 'l' || c == 's' || c == 'z' {
			return stem
		}
		return stem[:n-1]
	case measure(stem) == 1 && endsCVC(stem):
		return stem + "e"
	}
	return stem
}

// derived is step 2.
func derived(w string) string {
	if stem, ok := strings.CutSuffix(w, "alli"); ok && measure(stem) > 0 {
		return derived(stem + "al")
	}
	return firstRule(w, step2, func(stem, end string) bool {
		if end == "logi" { // the l belongs to the stem
			return measure(stem+"l") > 0
		}
		return measure(stem) > 0
	})
}

type suffixRule struct{ end, with string }

var (
	step2 = []suffixRule{{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
		{"bli", "ble"}, {"alli", "al"}, {"entli", "ent"},
		{"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"}, {"ation", "ate"}, {"ator", "ate"}, {"alism", "al"},
		{"iveness", "ive"}, {"fulness", "ful"}, {"ousness", "ous"},
		{"aliti", "al"}, {"iviti", "ive"}, {"biliti", "ble"}, {"fulli", "ful"}, {"logi", "log"}}
	step3 = []suffixRule{{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"},
		{"ful", ""}, {"ness", ""}}
	step4 = []suffixRule{{"al", ""}, {"ance", ""}, {"ence", ""}, {"er", ""}, {"ic", ""}, {"able", ""}, {"ible", ""},
		{"ant", ""}, {"ement", ""}, {"ment", ""}, {"ent", ""},
		{"ion", ""}, {"ou", ""}, {"ism", ""}, {"ate", ""}, {"iti", ""}, {"ous", ""}, {"ive", ""}, {"ize", ""}}
)

// firstRule applies the first rule whose ending matches. If its condition fails, no other rule is tried.
func firstRule(w string, rules []suffixRule, condition func(stem, end string) bool) string {
	for _, r := range rules {
		if stem, ok := strings.CutSuffix(w, r.end); ok {
			if condition(stem, r.end) {
				return stem + r.with
			}
			return w
		}
	}
	return w
}

// consonant says whether the letter at i is a consonant: it is no vowel, and no y after a consonant.
func consonant(w string, i int) bool {
	switch w[i] {
	case 'a', 'e', 'i', 'o', 'u':
		return false
	case 'y':
		return i == 0 || !consonant(w, i-1)
	}
	return true
}

// measure counts the changes from a vowel to a consonant.
func measure(w string) int {
	n, vowel := 0, false
	y := true // whether the letter before was a consonant; without it, a run of y would take quadratic time
	for i := range len(w) {
		c := w[i]
		isVowel := c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y' && i > 0 && y
		if vowel && !isVowel {
			n++
		}
		vowel, y = isVowel, !isVowel
	}
	return n
}

func hasVowel(w string) bool {
	y := true
	for i := range len(w) {
		c := w[i]
		if c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y' && i > 0 && y {
			return true
		}
		y = true
	}
	return false
}

// endsCVC says whether a word ends in a consonant, a vowel and a consonant other than w, x and y. A word that is just
// a vowel and a consonant counts too.
func endsCVC(w string) bool {
	n := len(w)
	if n == 2 {
		return !consonant(w, 0) && consonant(w, 1)
	}
	return n >= 3 && consonant(w, n-3) && !consonant(w, n-2) && consonant(w, n-1) && w[n-1] != 'w' && w[n-1] != 'x' &&
		w[n-1] != 'y'
}
