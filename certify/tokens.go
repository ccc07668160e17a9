package certify

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
	"github.com/hxp-enterprise/mixtral/internal/certify/traffic"
)

// tokenizer says how tokens are counted.
type tokenizer struct {
	exact   bool    // the server counts them
	by      string  // the same in words, for the report
	perWord float64 // tokens per word of a made-up text
}

// sampleWords is the length, in words, of the sample text whose tokens are counted.
const sampleWords = 2000

// countTokens asks the server's tokenizer how many tokens a word of a made-up text has, so that made-up prompts and
// needles get the right length. If the server has no tokenizer, a word counts as one token, which it is in today's
// vocabularies.
func (r *runner) countTokens(ctx context.Context) {
	r.tokens = tokenizer{by: "estimated", perWord: 1}
	text := traffic.Text(1, 0, sampleWords)
	if n, err := r.server.client.Tokenize(ctx, r.server.model, text); err == nil &&
		plausible(float64(n)/sampleWords) {
		r.tokens = tokenizer{exact: true, by: "counted by the server's tokenizer", perWord: float64(n) / sampleWords}
	}
	r.requests.measure(r.tokens)
}

// plausible says whether words can have this many tokens on average. A token has at least one byte, and the longest
// word has 10 letters.
func plausible(perWord float64) bool { return perWord >= 0.25 && perWord <= 16 }

// measure sets the tokenizer that determines the length of made-up texts.
func (a *asker) measure(by tokenizer) {
	for _, s := range a.sources {
		s.PerWord(by.perWord)
	}
	for _, t := range a.tasks {
		t.tokens = by
	}
}

// madeUp says how the tokens of made-up texts are counted, or returns "" if the profile has none.
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

// of estimates the tokens of a text from a source.
func (t *tokenizer) of(s *traffic.Source, text string) int {
	if s.MadeUp() {
		return int(math.Ceil(float64(strings.Count(text, " ")+1) * t.perWord))
	}
	return prompts.EstimateTokens(text)
}
