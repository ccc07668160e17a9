package report

import "regexp"

// verdictWord is a verdict at the start of a line of Text or DiffText.
var verdictWord = regexp.MustCompile(`(?m)^(PASS|FAIL|INVALID|INFO|worse|better)\b`)

// colours of verdicts on a terminal. The words stay, so nothing depends on the colours.
var colours = map[string]string{string(Pass): "32", Better: "32", string(Fail): "1;31", Worse: "1;31",
	string(Invalid): "1;33", string(Info): "2"}

// Paint colours the verdicts of a text report for a terminal.
func Paint(text string) string {
	return verdictWord.ReplaceAllStringFunc(text, func(word string) string {
		return "\x1b[" + colours[word] + "m" + word + "\x1b[0m"
	})
}
