package certify

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
)

// tokenizer is how the tokens of texts are counted.
type tokenizer struct {
	exact   bool    // by the server
	by      string  // for people
	perWord float64 // tokens of a word of a text that is made up
}

// sampleWords is the length of the text whose tokens tell how many tokens a word has: this share of the whole list of
// words.
const sampleWords = 2000

// countTokens asks the server's tokenizer how many tokens a made-up word has, and makes prompts and needles of the
// right length by it. The words are one token each in today's vocabularies, so that is what they count as if the
// server has no tokenizer.
func (r *runner) countTokens(ctx context.Context) {
	r.tokens = tokenizer{by: "estimated", perWord: 1}
	text := traffic.Text(1, 0, sampleWords)
	if n, err := r.server.client.Tokenize(ctx, r.server.model, text); err == nil &&
		plausible(float64(n)/sampleWords) {
		r.tokens = tokenizer{exact: true, by: "counted by the server's tokenizer", perWord: float64(n) / sampleWords}
	}
	r.requests.measure(r.tokens)
}

// plausible says that a word may have so many tokens: bytes are the smallest, and the longest word has 10.
func plausible(perWord float64) bool { return perWord >= 0.25 && perWord <= 16 }

// measure gives made-up texts their lengths by a tokenizer.
func (a *asker) measure(by tokenizer) {
	for _, s := range a.sources {
		s.PerWord(by.perWord)
	}
	for _, t := range a.tasks {
		t.tokens = by
	}
}

// madeUp says how the tokens of made-up texts are counted; "" where the profile makes none up.
func (r *runner) madeUp() string {
	made := false
	for _, s := range r.requests.sources {
		made = made || s.MadeUp()
	}
	for _, t := range r.requests.tasks {
		made = made || t.size() == 0
	}
	switch {
	case !made:
		return ""
	case r.tokens.exact:
		return fmt.Sprintf("; a word of made-up texts is %.3g tokens by the server's tokenizer", r.tokens.perWord)
	}
	return "; a word of made-up texts counts as a token, since the server has no /tokenize"
}

// of estimates the tokens of a text of a source.
func (t *tokenizer) of(s *traffic.Source, text string) int {
	if s.MadeUp() {
		return int(math.Ceil(float64(strings.Count(text, " ")+1) * t.perWord))
	}
	return prompts.EstimateTokens(text)
}
