package demo_test

import (
	"compress/gzip"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/hxp-enterprise/mixtral/certify/prompts"
)

// plain gives a prompt's words, lower case, without marks.
func plain(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' &&
			r <= '9' || r == '+')
	})
}

func trigrams(words []string) map[[3]string]bool {
	set := map[[3]string]bool{}
	for i := 0; i+3 <= len(words); i++ {
		set[[3]string(words[i:])] = true
	}
	return set
}

// likeness is the share of trigrams that two texts have in common, of all that either has (Jaccard).
func likeness(a, b map[[3]string]bool) float64 {
	both := 0
	for g := range a {
		if b[g] {
			both++
		}
	}
	return float64(both) / float64(max(1, len(a)+len(b)-both))
}

// same says for each of the nine prompts which words, in any order, ask for the same. It is written from the nine
// prompts, apart from the generator's own rules.
var same = map[string][]*regexp.Regexp{
	"reasoning/simple":  rules(`\b(2|two) (\+|plus|and) (2|two)\b`),
	"reasoning/medium":  rules(`^(please |can you |how would you )?(explain|define|describe)\b.*\bmachine learning\b`, `^what (is|does) machine learning\b( mean)?$`, `tell me about machine learning`, `introduction to machine learning`),
	"reasoning/complex": rules(`(implications|impact|effects|consequences) of artificial intelligence\b`),
	"analysis/simple":   rules(`^(please )?(summarize|summarise|shorten|sum up|list|give|what are)( [a-z]+){0,6} text$`),
	"analysis/medium": rules(`\bsupervised (learning )?(and|with|from) unsupervised`,
		`\bunsupervised (learning )?(and|with|from) supervised`),
	"analysis/complex": rules(`neural network architectures .*natural language`,
		`natural language .*neural network architectures`),
	"generation/simple": rules(`\b(story|tale)\b.*\brobots?\b`),
	"generation/medium": rules(`\bbusiness plan\b.*\btech(nology)? (startup|company)`,
		`^(help me|make a|outline a|draft a)( short)? plan (for )?a tech(nology)? startup`),
	"generation/creative": rules(`\b(poem|verses)\b.*\bfuture of (artificial intelligence|ai)\b`),
}

func rules(patterns ...string) []*regexp.Regexp {
	var out []*regexp.Regexp
	for _, p := range patterns {
		out = append(out, regexp.MustCompile(p))
	}
	return out
}

// maxLikeness parts "the same task on another subject", which the model must learn from, from the prompt itself: a
// prompt of eight words in which one is replaced keeps at most two thirds of its trigrams.
const maxLikeness = 0.75

// TestPromptsAreNotInTheTrainingText reads every distinct prompt of the training text (corpus.py prompts).
func TestPromptsAreNotInTheTrainingText(t *testing.T) {
	var text []byte
	readGzip(t, "testdata/prompts.txt.gz", func(z *gzip.Reader) (err error) { text, err = io.ReadAll(z); return err })
	trained := strings.Split(string(text), "\n")
	if len(trained) < 10_000 {
		t.Fatalf("only %d prompts", len(trained))
	}
	closest := map[string]float64{}
	for _, p := range prompts.Default().Prompts {
		words := strings.Join(plain(p.Text), " ")
		grams := trigrams(plain(p.Text))
		for _, other := range trained {
			others := plain(other)
			joined := strings.Join(others, " ")
			if joined == words {
				t.Errorf("%s is trained on: %q", p.Key(), other)
			}
			like := likeness(grams, trigrams(others))
			closest[p.Key()] = max(closest[p.Key()], like)
			if like >= maxLikeness {
				t.Errorf("%s: %q is too close (%.2f)", p.Key(), other, like)
			}
			for _, rule := range same[p.Key()] {
				if rule.MatchString(joined) {
					t.Errorf("%s: %q asks for the same", p.Key(), other)
				}
			}
		}
	}
	t.Logf("%d training prompts; the closest by trigrams: %v", len(trained), closest)
}

// TestSameKnowsTheSeed: the rules above would find the nine prompts themselves.
func TestSameKnowsTheSeed(t *testing.T) {
	for _, p := range prompts.Default().Prompts {
		found := false
		for _, rule := range same[p.Key()] {
			found = found || rule.MatchString(strings.Join(plain(p.Text), " "))
		}
		if !found {
			t.Errorf("%s: no rule finds %q", p.Key(), p.Text)
		}
	}
}
