package quality

import "testing"

// TestEveryMarkIsFound: each mark has an explanation, is found in a text that has it, and is not found in a plain one.
func TestEveryMarkIsFound(t *testing.T) {
	with := map[mark]string{
		markHead: "**A heading**", markColon: "You need:", markItem: "- a pot", markEnded: "It ends.",
		markLower: "and so on", markLeans: "However, it rained.", markAdditive: "Tea is good too.",
		markCloser: "In conclusion, tea wins.", markBeginner: "Once upon a time, tea was rare.",
		markOffer: "Let me know what you think.", markSetting: "There lived a king.",
		markFigures:   "It costs 12 coins.",
		markContinues: "of all the seas", markBare: "A line without an end", markPersonal: "We saw them.",
		markDepends: "If it rains, stay.", markLate: "Finally, pour.", markEver: "We are home again.",
		markQuestion: "Is it tea?", markQuote: "The king said “no”.", markDefines: "Tea is a drink.",
		markModal: "You should rest.",
	}
	plain := newUnitText("Green tea, mostly,", words("Green tea, mostly,"), false).marks()
	for m, entry := range markTable {
		text, ok := with[mark(m)]
		if !ok || entry.says == "" || entry.find == nil {
			t.Errorf("mark %d has no sentence or no example", m)
			continue
		}
		if !newUnitText(text, words(text), false).marks()[m] {
			t.Errorf("%q: not found in %q", entry.says, text)
		}
		if plain[m] {
			t.Errorf("%q: found in a text without it", entry.says)
		}
	}
}
