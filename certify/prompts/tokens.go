package prompts

import (
	"math"
	"unicode"
)

// EstimateTokens estimates the number of tokens of an English text with Mixtral's tokenizer. Its coefficients were
// fitted to 526 texts of the labelled answers: the mean error was 4 %, and 95 % of the texts were within 14 %. The
// error is larger for short texts.
func EstimateTokens(text string) int {
	words, letters, digits, marks, lines := 0, 0, 0, 0, 0
	inWord := false
	for _, r := range text {
		switch {
		case unicode.IsLetter(r):
			letters++
			if !inWord {
				words++
			}
		case unicode.IsDigit(r):
			digits++ // the tokenizer splits numbers into digits
		case r == '\n':
			lines++
		case !unicode.IsSpace(r):
			marks++
		}
		inWord = unicode.IsLetter(r)
	}
	return int(math.Round(0.889*float64(words) + 0.0594*float64(letters) + 1.484*float64(digits) +
		0.481*float64(marks) + 1.667*float64(lines)))
}
